"""What a model looks at: how much its answer loses when a part of the sample is covered."""

from pydantic import Field

from pith.base import Frozen
from pith.findings.shown import Shown


class Look(Frozen):
    """One sample, its parts in reading order: ``rows`` by ``columns`` of a picture or a spectrogram, spans of a sound,
    words of a text, columns of a table. Each number is how much the baseline's chosen class loses of its probability,
    or the first output of its value, when that part is covered."""

    sample: int = Field(ge=0, description="Its place in the split.")
    truth: str | None
    before_says: str
    after_says: str
    shown: Shown | None
    rows: int = Field(ge=1)
    columns: int = Field(ge=1)
    names: tuple[str, ...] = Field((), description="Of the parts, where they have any.")
    before: tuple[float, ...]
    after: tuple[float, ...]
    similarity: float | None = Field(
        ge=-1, le=1, description="Spearman's rank correlation of the two; null where one of them is flat."
    )


class Looks(Frozen):
    """By occlusion (Zeiler and Fergus 2014, arXiv 1311.2901), which asks the same of every model, integers too."""

    looks: tuple[Look, ...] = Field(max_length=8)
    similarity: float | None = Field(description="The mean over these samples.")
