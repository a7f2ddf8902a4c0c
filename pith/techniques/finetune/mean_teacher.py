"""``finetune.mean_teacher``."""

from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need, Step
from pith.ids import DatasetId
from pith.outlook import Given, Outlook, Refusal
from pith.second import no_mixing, of_dataset
from pith.training import TrainingOptions

FORGETS = 3
"""Lengths of the average, 1 / (1 - ema_decay) steps each, after which a twentieth of its start is left."""
MIXED = "two views of one sample are compared here"


class FinetuneMeanTeacher(Step, TrainingOptions):
    """Train on labelled samples, and to agree with an average of the model's own past weights on unlabelled ones.

    That average, the teacher, is what the step hands on. Both see the samples with different noise: the job's
    augmentation, Gaussian noise, and the model's own dropout.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Tarvainen and Valpola 2017, arXiv 1703.01780"
    limits: ClassVar[str] = "Token ids have no Gaussian noise; without dropout or augmentation their two views are one."

    kind: Literal["finetune.mean_teacher"] = "finetune.mean_teacher"
    unlabelled: DatasetId | None = Field(
        None, description="Dataset whose training split is used without its labels; null: the job's own, once more."
    )
    consistency_weight: float = Field(
        10.0, ge=0, le=10_000, description="Of the mean squared difference of probabilities, when it is ramped up."
    )
    ramp_up: float = Field(
        0.2,
        ge=0,
        le=1,
        description="Share of the training in which that weight grows, as exp(-5 (1 - t)²); 0 begins with all of it.",
    )
    unlabelled_ratio: int = Field(
        3, ge=1, le=100, description="Samples without labels beside each labelled one in an optimizer step."
    )
    ema_decay: float = Field(
        0.99,
        ge=0,
        lt=1,
        description="Share of the average that stays at each optimizer step; a training of fewer than a few times "
        "1 / (1 - ema_decay) steps gains little.",
    )
    input_noise: float = Field(
        0.15, ge=0, le=10, description="Deviation of the noise added to inputs that are numbers."
    )

    def datasets(self) -> Mapping[str, DatasetId]:
        return {} if self.unlabelled is None else {"unlabelled": self.unlabelled}

    def outlook(self, given: Given) -> Outlook:
        beside = f"the dataset {self.unlabelled} without labels" if self.unlabelled else "the same samples again"
        return Outlook(
            does=f"Trains all {given.parameters:,} parameters for {self.foreseen(given.samples)}, in step with the "
            f"average of its own weights on {beside}, and keeps that average.",
            touched=tuple(layer.name for layer in given.layers),
            trained=(1 + self.unlabelled_ratio) * self.epochs * (given.samples or 0),
            run=self.unlabelled_ratio * self.epochs * (given.samples or 0),
            batch=(1 + self.unlabelled_ratio) * self.together(given.samples),
            refusals=tuple(self._refusals(given)),
            notes=tuple(self._notes(given.samples)),
        )

    def _notes(self, samples: int | None) -> Iterator[str]:
        wanted = round(FORGETS / (1 - self.ema_decay))
        if samples and self.ema_decay and self.steps(samples) < wanted:
            few = f"{self.steps(samples):,} optimizer steps are fewer than {FORGETS} / (1 - ema_decay) = {wanted:,}"
            forgotten = "the average has hardly begun to forget the weights of its start"
            yield f"{few}: {forgotten}; raise epochs or lower ema_decay."

    def _refusals(self, given: Given) -> Iterator[Refusal]:
        if given.mixes():
            yield no_mixing(MIXED)
        yield from of_dataset(given, self.unlabelled, "unlabelled", labelled=False)
