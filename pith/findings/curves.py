"""How training went, epoch by epoch."""

from pydantic import Field

from pith.base import Frozen


class Curve(Frozen):
    """One figure of one training; ``x`` is the epoch, counted from 1."""

    step: int = Field(ge=0, description="Of the recipe.")
    phase: int = Field(0, ge=0, description="Which training of the step.")
    name: str = Field(description="loss, or what was judged on validation samples.")
    resumed: tuple[float, ...] = Field(
        (), max_length=500, description="The last epochs that an attempt kept before another one went on."
    )
    points: tuple[tuple[float, float], ...] = Field(max_length=500)
