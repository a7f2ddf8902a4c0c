"""Whether augmentations make sense for these samples, this model and this recipe; the rules are the contract's."""

from engine.data import Dataset
from engine.objective import Objective
from engine.signature import Signature
from pith.augmentation import Augmentation
from pith.augmented import Trained, augmentation_problems


def check(
    steps: tuple[Augmentation, ...], dataset: Dataset | None, signature: Signature, objective: Objective, trains: bool
) -> None:
    """
    Raises:
        PithError: ``augmentation_mismatch``.
    """
    trained = _trained(dataset, signature, objective) if trains else None
    for _, problem in augmentation_problems(steps, trained):
        raise problem


def _trained(dataset: Dataset | None, signature: Signature, objective: Objective) -> Trained | None:
    if dataset is None or dataset.train is None:
        return None
    spec, how = signature.inputs[0], dataset.fitted.facts.preprocessing if dataset.fitted else None
    return Trained(
        family=dataset.family,
        shape=spec.shape[1:],
        floating=spec.dtype.is_floating_point,
        classes=objective.classes,
        mel=how is not None and how.kind == "audio" and how.features == "mel",
        tokens=dataset.tokens is not None,
    )
