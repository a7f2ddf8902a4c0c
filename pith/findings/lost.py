"""Where quality was lost: by class, between classes, and sample by sample."""

from pydantic import Field

from pith.base import Frozen
from pith.findings.shown import Shown


class ClassLoss(Frozen):
    """One class. Recall is the share of its samples that are taken for it, precision the share of those taken for it
    that are its own; null where nothing was."""

    name: str
    samples: int = Field(ge=0)
    recall_before: float | None
    recall_after: float | None
    precision_before: float | None
    precision_after: float | None


class Confusion(Frozen):
    """How many samples of each class (rows) are taken for each (columns)."""

    classes: tuple[str, ...] = Field(max_length=20)
    before: tuple[tuple[int, ...], ...]
    after: tuple[tuple[int, ...], ...]


class Confused(Frozen):
    """One class taken for another, before and after."""

    truth: str
    taken_for: str
    before: int = Field(ge=0)
    after: int = Field(ge=0)


class Flipped(Frozen):
    """A sample that was right and is wrong. Confidence is the largest softmax of the scores; null where scores are
    none."""

    sample: int = Field(ge=0, description="Its place in the split.")
    truth: str
    before: str
    after: str
    confidence_before: float | None
    confidence_after: float | None
    shown: Shown | None


class Worse(Frozen):
    """A sample that costs more than it did, where quality is a mean of costs."""

    sample: int = Field(ge=0, description="Its place in the split.")
    truth: str = Field(description="The target, shortened.")
    before: float
    after: float
    shown: Shown | None


class Lost(Frozen):
    """On the samples that quality was measured on; where there are no labels, what the baseline says is the truth."""

    classes: tuple[ClassLoss, ...] = Field((), max_length=1000, description="Those that lost most first.")
    confusion: Confusion | None = Field(None, description="Of at most 20 classes.")
    confused: tuple[Confused, ...] = Field((), max_length=12, description="Pairs whose number grew most.")
    flipped: tuple[Flipped, ...] = Field((), max_length=12, description="The most confident mistakes first.")
    worse: tuple[Worse, ...] = Field((), max_length=12, description="Those that lost most first.")
