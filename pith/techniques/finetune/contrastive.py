"""``finetune.contrastive``."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.outlook import Given, Outlook, Refusal
from pith.second import no_mixing
from pith.training import TrainingOptions

MIXED = "two views of one sample are drawn together here"
NO_HEAD = "the first output is not made by one linear layer or convolution, so there is nothing to take features before"


class FinetuneContrastive(Step, TrainingOptions):
    """Train all but the head so that two random views of a sample have features alike, and other samples have not.

    No labels are used. Views are the job's augmentation, drawn twice; without one, pictures are cropped and noisy, and
    other inputs have three values in ten swapped with those of other samples.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Chen, Kornblith, Norouzi and Hinton 2020, arXiv 2002.05709 (SimCLR, NT-Xent)"
    limits: ClassVar[str] = (
        "The head is left as it was and does not suit the new features: a step that trains it must follow."
    )

    kind: Literal["finetune.contrastive"] = "finetune.contrastive"
    temperature: float = Field(0.5, gt=0, le=100, description="Divisor of the similarities before the softmax.")
    projection: int = Field(
        128,
        ge=2,
        le=4096,
        description="Numbers in what is compared, behind two layers that are thrown away afterwards.",
    )

    def outlook(self, given: Given) -> Outlook:
        head = given.model.head.name if given.model.head else ""
        return Outlook(
            does=f"Trains all before {head or 'the head'} for {self.foreseen(given.samples)}, without labels, so that "
            "two views of a sample have features alike.",
            touched=tuple(layer.name for layer in given.layers if layer.name != head),
            left_alone={head: "features are taken before it"} if head else {},
            trained=2 * self.epochs * (given.samples or 0),
            batch=2 * self.together(given.samples),
            refusals=tuple(self._refusals(given)),
            notes=("The outputs mean little after this step until a later one trains the head.",),
        )

    def _refusals(self, given: Given) -> Iterator[Refusal]:
        if given.model.head is None:
            yield Refusal(reason=NO_HEAD, way_out="use finetune.full")
        if given.mixes():
            yield no_mixing(MIXED)
