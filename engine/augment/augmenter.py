"""The augmentations of a job as one function of a batch, and whether they fit the dataset and the model at all."""

from dataclasses import dataclass

import torch
from torch import Tensor

from engine.augment import mixing, pictures, sounds, tokens
from engine.augment.fits import check
from engine.data import Dataset
from engine.objective import Objective
from engine.signature import Signature
from pith.augmentation import Augmentation

Batch = tuple[tuple[Tensor, ...], Tensor | None]


@dataclass(frozen=True)
class Augmenter:
    """``augmenter(inputs, labels, seed, classes)`` gives the changed batch; mixed labels are shares of the classes."""

    steps: tuple[Augmentation, ...]
    dataset: Dataset

    def __call__(self, inputs: tuple[Tensor, ...], labels: Tensor | None, seed: int, classes: int) -> Batch:
        torch.manual_seed(seed)
        layout = inputs[0].is_contiguous(memory_format=torch.channels_last) if inputs[0].ndim == 4 else False
        for step in self.steps:
            inputs, labels = self._applied(step, inputs, labels, classes)
        if layout:
            inputs = (inputs[0].contiguous(memory_format=torch.channels_last), *inputs[1:])
        return inputs, labels

    def _applied(self, step: Augmentation, inputs: tuple[Tensor, ...], labels: Tensor | None, classes: int) -> Batch:
        first, rest = inputs[0], inputs[1:]
        match step.kind:
            case "mixup":
                return mixing.mixup(inputs, labels, step.alpha, classes)
            case "cutmix":
                return mixing.cutmix(inputs, labels, step.alpha, classes)
            case "flip":
                return (pictures.flip(first, step.horizontal, step.vertical), *rest), labels
            case "crop":
                return (pictures.crop(first, step.padding, self._black(first)), *rest), labels
            case "color_jitter":
                return (pictures.color_jitter(first, step, *self._scale(first)), *rest), labels
            case "rand_augment":
                return (pictures.rand_augment(first, step, *self._scale(first)), *rest), labels
            case "noise":
                return (sounds.noise(first, step), *rest), labels
            case "time_shift":
                return (sounds.time_shift(first, step.fraction, self._silence()), *rest), labels
            case "spec_augment":
                return (sounds.spec_augment(first, step), *rest), labels
            case "token_dropout":
                assert self.dataset.tokens is not None
                return tokens.dropout(inputs, step.probability, self.dataset.tokens), labels

    def _silence(self) -> float:
        return sounds.silence(self.dataset.fitted.facts if self.dataset.fitted else None)

    def _scale(self, like: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and deviation by which pictures were normalized, of shape (channels, 1, 1)."""
        how = self.dataset.fitted.facts.preprocessing if self.dataset.fitted else None
        if how is None or how.kind != "image":
            return torch.zeros(like.shape[1], 1, 1), torch.ones(like.shape[1], 1, 1)
        mean, std = torch.tensor(how.mean or (0.0,)), torch.tensor(how.std or (1.0,))
        return mean.expand(how.channels).view(-1, 1, 1), std.expand(how.channels).view(-1, 1, 1)

    def _black(self, like: Tensor) -> Tensor:
        """The value of a black pixel in each channel; 0 where pictures came as tensors."""
        mean, std = self._scale(like)
        return -mean / std


def augmenter(
    steps: tuple[Augmentation, ...], dataset: Dataset | None, signature: Signature, objective: Objective, trains: bool
) -> Augmenter | None:
    """None when nothing is asked for.

    Raises:
        PithError: ``augmentation_mismatch``.
    """
    if not steps:
        return None
    check(steps, dataset, signature, objective, trains)
    assert dataset is not None
    return Augmenter(steps, dataset)
