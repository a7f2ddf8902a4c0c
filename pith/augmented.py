"""Whether augmentations make sense for the samples of a job. The plan and the engine ask the same question here."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pith.augmentation import Augmentation, Crop
from pith.errors import PithError
from pith.kinds import SAID, Sizes

_PICTURES = frozenset({"flip", "crop", "cutmix"})
_COLORS = frozenset({"color_jitter", "rand_augment"})
MIXING = frozenset({"mixup", "cutmix"})
Fault = tuple[str, str]


@dataclass(frozen=True)
class Trained:
    """What is trained on: the family of the samples (image, audio, text, tabular, tensor) and the model's first input.

    ``shape`` is of one sample, ``classes`` says whether labels are class numbers, ``tokens`` whether texts become ids.
    """

    family: str
    shape: tuple[int | None, ...]
    floating: bool
    classes: bool
    mel: bool
    tokens: bool

    def said(self) -> str:
        if self.family == "tensor":
            return f"tensors of the shape {self.shape}"
        return SAID[self.family] + (" as waveforms" if self.family == "audio" and not self.mel else "")


def augmentation_problems(steps: Sequence[Augmentation], trained: Trained | None) -> Iterator[tuple[int, PithError]]:
    """``augmentation_mismatch`` with the index of each step that does not fit; ``trained`` is None without training."""
    counts: Counter[str] = Counter(step.kind for step in steps)
    for index, step in enumerate(steps):
        fault = _fault(step, trained) or _clash(step.kind, counts)
        if fault is not None:
            problem, way_out = fault
            yield (
                index,
                PithError("augmentation_mismatch", index=index, kind=step.kind, problem=problem, way_out=way_out),
            )


def _clash(kind: str, counts: Counter[str]) -> Fault | None:
    if counts[kind] > 1:
        return "is named twice", "keep one of them"
    if kind == "cutmix" and counts["mixup"]:
        return "mixes labels that mixup has mixed already", "keep one of them"
    return None


def _fault(step: Augmentation, trained: Trained | None) -> Fault | None:
    kind = step.kind
    if trained is None:
        return "has nothing to change: no step of the recipe trains on data", "leave it out, or add such a step"
    if kind in _PICTURES and (len(trained.shape) != 3 or trained.family in ("audio", "text", "tabular")):
        return f"is for pictures, and the samples are {trained.said()}", "leave it out"
    if isinstance(step, Crop) and any(size is not None and size <= step.padding for size in trained.shape[1:]):
        return _too_much_padding(step.padding, trained.shape[1:])
    if kind in _COLORS and trained.family != "image":
        way_out = "send pictures, or uint8 tensors with preprocessing of the kind image"
        return f"works on colours of 0 to 255, and the samples are {trained.said()}", way_out
    if kind in MIXING and not (trained.classes and trained.floating):
        return "mixes inputs and class numbers, and this task has other ones", "leave it out"
    return _sequence_fault(kind, trained)


def _too_much_padding(padding: int, sizes: Sizes) -> Fault:
    most = min(size for size in sizes if size is not None) - 1
    said = " x ".join("any" if size is None else str(size) for size in sizes)
    problem = f"pads by {padding}, and the pictures are {said}: windows without a part of them would be cut out"
    return problem, f"lower padding to {most} or less" if most else "leave it out"


def _sequence_fault(kind: str, trained: Trained) -> Fault | None:
    said = trained.said()
    if kind == "noise" and not trained.floating:
        return f"is for numbers, and the samples are {said}", "leave it out"
    if kind == "time_shift" and trained.family != "audio":
        return f"is for sounds, and the samples are {said}", "leave it out"
    if kind == "spec_augment" and not (trained.family == "audio" and trained.mel):
        way_out = 'set "features" of the preprocessing to mel' if trained.family == "audio" else "leave it out"
        return f"is for spectrograms, and the samples are {said}", way_out
    if kind == "token_dropout" and not trained.tokens:
        return f"is for texts, and the samples are {said}", "leave it out"
    return None
