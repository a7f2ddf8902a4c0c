"""One sample as a reader sees it: small enough to stand in a report."""

from typing import Annotated, Literal

from pydantic import Field

from pith.base import Frozen


class ShownImage(Frozen):
    """A picture, at most 96 pixels wide and high, as the model takes it; or a spectrogram, low pitches below."""

    kind: Literal["image"] = "image"
    address: str = Field(max_length=60_000, description="data:image/png;base64,…")
    width: int = Field(ge=1)
    height: int = Field(ge=1)


class ShownText(Frozen):
    """The words that the model takes, joined; cut where they are many."""

    kind: Literal["text"] = "text"
    text: str = Field(max_length=1000)


class ShownSound(Frozen):
    """A waveform as its highest and lowest value in each of at most 200 spans of time."""

    kind: Literal["audio"] = "audio"
    seconds: float | None = Field(None, description="null where the rate is not known.")
    low: tuple[float, ...] = Field(max_length=200)
    high: tuple[float, ...] = Field(max_length=200)


class ShownRow(Frozen):
    """A row of a table: columns and their values, at most 50."""

    kind: Literal["table"] = "table"
    values: tuple[tuple[str, str | float | None], ...] = Field(max_length=50)


class ShownNumbers(Frozen):
    """What is none of these: its shape and a few figures."""

    kind: Literal["numbers"] = "numbers"
    shape: tuple[int, ...]
    minimum: float
    maximum: float
    mean: float


Shown = Annotated[ShownImage | ShownText | ShownSound | ShownRow | ShownNumbers, Field(discriminator="kind")]
