"""``finetune.contrastive``."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.fit import split_of
from pith.ids import DatasetId
from pith.outlook import Given, Outlook, Refusal
from pith.second import no_mixing, of_dataset
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
    unlabelled: DatasetId | None = Field(
        None, description="Dataset whose training split is learnt from instead of the job's own; its labels are unused."
    )
    temperature: float = Field(0.5, gt=0, le=100, description="Divisor of the similarities before the softmax.")
    projection: int = Field(
        128,
        ge=2,
        le=4096,
        description="Numbers in what is compared, behind two layers that are thrown away afterwards.",
    )

    def required(self) -> frozenset[Need]:
        return self.needs if self.unlabelled is None else frozenset()

    def datasets(self) -> Mapping[str, DatasetId]:
        return {} if self.unlabelled is None else {"unlabelled": self.unlabelled}

    def outlook(self, given: Given) -> Outlook:
        samples = self._samples(given)
        head = given.model.head.name if given.model.head else ""
        return Outlook(
            does=f"Trains all before {head or 'the head'} for {self.foreseen(samples)}, without labels, so that "
            "two views of a sample have features alike.",
            touched=tuple(layer.name for layer in given.layers if layer.name != head),
            left_alone={head: "features are taken before it"} if head else {},
            trained=2 * self.epochs * (samples or 0),
            batch=2 * self.together(samples),
            refusals=tuple(self._refusals(given)),
            notes=("The outputs mean little after this step until a later one trains the head.",),
        )

    def _samples(self, given: Given) -> int | None:
        if self.unlabelled is None:
            return given.samples
        facts = given.datasets.get(self.unlabelled)
        train = split_of(facts, "train") if facts else None
        return train.samples if train else None

    def _refusals(self, given: Given) -> Iterator[Refusal]:
        if given.model.head is None:
            yield Refusal(reason=NO_HEAD, way_out="use finetune.full")
        if given.mixes():
            yield no_mixing(MIXED)
        yield from of_dataset(given, self.unlabelled, "unlabelled", labelled=False)
