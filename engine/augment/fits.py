"""Whether augmentations make sense for these samples, this model and this recipe."""

from collections import Counter

from engine.data import Dataset
from engine.objective import Objective
from engine.signature import Signature, TensorSpec
from pith.augmentation import Augmentation
from pith.errors import PithError

_PICTURES = frozenset({"flip", "crop", "cutmix"})
_COLORS = frozenset({"color_jitter", "rand_augment"})
_MIXING = frozenset({"mixup", "cutmix"})
Fault = tuple[str, str]


def check(
    steps: tuple[Augmentation, ...], dataset: Dataset | None, signature: Signature, objective: Objective, trains: bool
) -> None:
    """
    Raises:
        PithError: ``augmentation_mismatch``.
    """
    counts = Counter(step.kind for step in steps)
    for index, step in enumerate(steps):
        fault = _fault(step, dataset, signature.inputs[0], objective, trains)
        if fault is None and counts[step.kind] > 1:
            fault = ("is named twice", "keep one of them")
        if fault is None and step.kind == "cutmix" and counts["mixup"]:
            fault = ("mixes labels that mixup has mixed already", "keep one of them")
        if fault is not None:
            raise PithError("augmentation_mismatch", index=index, kind=step.kind, problem=fault[0], way_out=fault[1])


def _fault(
    step: Augmentation, dataset: Dataset | None, spec: TensorSpec, objective: Objective, trains: bool
) -> Fault | None:
    if dataset is None or dataset.train is None or not trains:
        return "has nothing to change: no step of the recipe trains on data", "leave it out, or add such a step"
    kind = step.kind
    if kind in _PICTURES and (len(spec.shape) != 4 or dataset.family in ("audio", "text", "tabular")):
        return f"is for pictures, and the samples are {_said(dataset, spec)}", "leave it out"
    if kind in _COLORS and dataset.family != "image":
        way_out = "send pictures, or uint8 tensors with preprocessing of the kind image"
        return f"works on colours of 0 to 255, and the samples are {_said(dataset, spec)}", way_out
    if kind in _MIXING and not (objective.classes and spec.dtype.is_floating_point):
        return "mixes inputs and class numbers, and this task has other ones", "leave it out"
    return _sound_fault(step, dataset, spec)


def _sound_fault(step: Augmentation, dataset: Dataset, spec: TensorSpec) -> Fault | None:
    said = _said(dataset, spec)
    if step.kind == "noise" and not spec.dtype.is_floating_point:
        return f"is for numbers, and the samples are {said}", "leave it out"
    if step.kind == "time_shift" and dataset.family != "audio":
        return f"is for sounds, and the samples are {said}", "leave it out"
    if step.kind == "spec_augment" and not (dataset.family == "audio" and _is_mel(dataset)):
        return f"is for spectrograms, and the samples are {said}", 'set "features" of the preprocessing to mel'
    if step.kind == "token_dropout" and dataset.tokens is None:
        return f"is for texts, and the samples are {said}", "leave it out"
    return None


def _is_mel(dataset: Dataset) -> bool:
    how = dataset.fitted.preprocessing if dataset.fitted else None
    return how is not None and how.kind == "audio" and how.features == "mel"


def _said(dataset: Dataset, spec: TensorSpec) -> str:
    if dataset.family == "tensor":
        return f"tensors of the shape {tuple(spec.example[1:])}"
    waveform = dataset.family == "audio" and not _is_mel(dataset)
    return {"image": "pictures", "audio": "sounds", "text": "texts", "tabular": "rows of a table"}[dataset.family] + (
        " as waveforms" if waveform else ""
    )
