"""What a technique is handed beside the model and its options."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from engine.augment.augmenter import augmenter
from engine.checkpoint import Checkpoints
from engine.curves import Curves
from engine.data import Dataset, Split
from engine.data.prepare import open_other
from engine.events import EventStream
from engine.group import ALONE, Group
from engine.jobdir import EngineJob, JobDir
from engine.judge import judge
from engine.model import Model, read_model
from engine.objective import Objective, objective
from engine.position import Finished
from engine.randomness import generator
from pith.base import Step
from pith.errors import PithError
from pith.kinds import split_way_out

HELD_OUT = 1_000_003
HELD_OUT_MOST = 5000


class Context:
    """Data, other models, device, random seed, events and checkpoints of one run.

    ``step`` is the index of the running step and ``phase`` the part of it; with the seed they name a random stream.
    ``memo`` is small JSON that a step wants to find again when it is resumed. ``pieces`` is how many each batch of a
    training is cut into, so that memory suffices; it never shrinks.
    """

    def __init__(
        self, folder: JobDir, job: EngineJob, baseline: Model, dataset: Dataset | None, group: Group = ALONE
    ) -> None:
        self.folder = folder
        self.job = job
        self.spec = job.spec
        self.baseline = baseline
        self.dataset = dataset
        self.group = group
        self.device = _device(job.device, group)
        self.events = EventStream(folder.events)
        self.checkpoints = Checkpoints(folder.checkpoint, job.checkpoint_seconds, folder.stop)
        self.step = 0
        self.phase = 0
        self.phase_count = 1
        self.pieces = group.shared(job.pieces)
        self.memo: dict[str, Any] = {}
        self.notes: list[str] = []
        self.finished: list[Finished] = []
        self.curves = Curves()
        self.augmenter = augmenter(
            self.spec.augmentation, dataset, baseline.signature, objective(dataset), self.spec.trains()
        )
        self._training: dict[str, Any] | None = None

    @property
    def config(self) -> Step:
        return self.spec.recipe[self.step]

    @property
    def resuming(self) -> bool:
        """Whether a checkpoint of this phase's training waits; then what comes before it is already done."""
        return self._training is not None

    def resume(self) -> Model | None:
        """The model of the last checkpoint, this context moved to its place; None when there is none."""
        found = self.checkpoints.load(self.folder.scratch)
        if found is None:
            return None
        position, model, self._training = found
        self.step, self.phase, self.memo = position.step, position.phase, dict(position.memo)
        self.finished = list(position.finished)
        self.curves = Curves(position.curves)
        if self._training is not None:
            self.curves.resume(self.step, self.phase)
        self.pieces = self.group.shared(max(self.pieces, position.pieces))
        return model

    def begin(self, step: int) -> None:
        """Enter a step; a resumed one keeps its phase and memo."""
        if not self.resuming:
            self.phase, self.memo, self.curves = 0, {}, Curves()
        self.step, self.events.step, self.notes, self.phase_count = step, step, [], 1

    def phases(self, count: int) -> Iterator[int]:
        """Numbers 0 to count - 1, from where a checkpoint left off."""
        self.phase_count = count
        for phase in range(self.phase, count):
            self.phase = phase
            yield phase

    def take_training(self) -> dict[str, Any] | None:
        state, self._training = self._training, None
        return state

    def save(self, model: Model, training: dict[str, Any] | None, step: int | None = None) -> None:
        """Write a checkpoint: inside the training of this phase, or before ``step`` when one is given.

        Raises:
            Drained: the run was asked to stop.
        """
        inside = step is None
        self.checkpoints.save(
            model,
            training,
            step=self.step if step is None else step,
            phase=self.phase if inside else 0,
            memo=self.memo if inside else {},
            finished=tuple(self.finished),
            pieces=self.pieces,
            curves=self.curves.drawn() if inside else (),
        )

    def note(self, sentence: str) -> None:
        """Something that the reader of the report must know about this step."""
        self.notes.append(sentence)
        self.events.emit("warning", sentence)

    def progress(self, fraction: float, message: str) -> None:
        """``fraction`` is of the running phase."""
        weights = [_weight(step) for step in self.spec.recipe]
        done = sum(weights[: self.step]) + weights[self.step] * (self.phase + fraction) / self.phase_count
        self.events.progress((1 + done) / (2 + sum(weights)), message)

    def training_data(self, labels: bool) -> Split:
        """The training split.

        Raises:
            PithError: ``dataset_split_missing``.
        """
        split = self.dataset.train if self.dataset else None
        if split is None or (labels and split.y is None):
            raise PithError(
                "dataset_split_missing",
                index=self.step,
                kind=self.config.kind,  # type: ignore[attr-defined]
                needs="a labelled training split" if labels else "a training split",
                present=self.dataset.names() if self.dataset else "nothing",
                way_out=split_way_out(None, there=split is not None),
            )
        return split

    def objective(self, label_smoothing: float = 0.0) -> Objective:
        """What the dataset's task asks for.

        Raises:
            PithError: ``technique_inapplicable`` for label smoothing without classes.
        """
        found = objective(self.dataset, label_smoothing)
        if label_smoothing and not found.classes:
            raise self.inapplicable("label_smoothing is for classes, which this task has not", "leave it out")
        return found

    def model(self, name: str) -> Model:
        """A copy of the baseline, or the model of that id, which the step names in ``models``.

        Raises:
            PithError: any ``model_…`` code.
        """
        if name == "baseline":
            return self.baseline.copy()
        return read_model(self.folder.other(name).given_model(), scratch_folder(self.folder, name))

    def teacher(self, name: str) -> Model:
        """The same, ready to be run and not to be trained.

        Raises:
            PithError: any ``model_…`` code.
        """
        return self.model(name).frozen(self.device)

    def other_dataset(self, id: str, model: Model) -> Dataset:
        """The dataset of that id, which the step names in ``datasets``, prepared as the job's own is.

        Raises:
            PithError: any ``dataset_…`` code.
        """
        like = self.dataset.fitted if self.dataset else None
        return open_other(self.folder, id, model.signature, like)

    def judge(self, model: Model) -> float:
        """Accuracy, or minus the mean cost, on ``validation``; higher is better. The model is at rest afterwards.

        Raises:
            PithError: ``dataset_split_missing``.
        """
        split = self.validation()
        if split.y is None:
            self.training_data(labels=True)
        if model.trainable:
            model.place(self.device)
        found = judge(model, split, self.objective(), self.device)
        if model.trainable:
            model.at_rest()
        return found

    def validation(self) -> Split:
        """What choices are made on, and never the test split: the validation split; without one, the last tenth of the
        training split in an order of the job's seed.

        Raises:
            PithError: ``dataset_split_missing``.
        """
        if self.dataset is not None and self.dataset.validation is not None:
            return self.dataset.validation
        return self._parted()[1]

    def fitting(self) -> Split:
        """The training split without what ``validation`` takes of it.

        Raises:
            PithError: ``dataset_split_missing``.
        """
        whole = self.dataset is not None and self.dataset.validation is not None
        return self.training_data(labels=False) if whole else self._parted()[0]

    def _parted(self) -> tuple[Split, Split]:
        split = self.training_data(labels=False)
        order = torch.randperm(len(split), generator=generator(self.spec.seed, HELD_OUT)).numpy()
        held = min(max(1, len(split) // 10), HELD_OUT_MOST)
        return split.part(np.sort(order[held:])), split.part(np.sort(order[:held]))

    def inapplicable(self, reason: str, way_out: str) -> PithError:
        """The error of a technique that cannot work on this model."""
        kind = self.config.kind  # type: ignore[attr-defined]
        return PithError("technique_inapplicable", index=self.step, kind=kind, reason=reason, way_out=way_out)


def scratch_file(folder: JobDir, name: str) -> Path:
    folder.scratch.mkdir(parents=True, exist_ok=True)
    return folder.scratch / name


def scratch_folder(folder: JobDir, name: str) -> Path:
    path = folder.scratch / name
    path.mkdir(parents=True, exist_ok=True)
    return path


def _weight(step: Step) -> float:
    """A step's share of the progress bar: its epochs, and one for the rest of it."""
    recovery = getattr(step, "recovery", None)
    epochs = getattr(step, "epochs", 0) + (recovery.epochs * getattr(step, "iterations", 1) if recovery else 0)
    return 1.0 + float(epochs)


def _device(wanted: str, group: Group) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted, group.rank) if wanted == "cuda" and group.size > 1 else torch.device(wanted)
