"""What a named architecture becomes: a module with example inputs, and what its library says about its use."""

from dataclasses import dataclass

import torch
from torch import nn

from pith.dataset import Preprocessing
from pith.task import Task


@dataclass(frozen=True)
class Built:
    """A float32 module in eval mode. ``inputs`` are two samples each, in the order of ``forward``.

    ``free`` says for each input which dimensions besides the batch may vary: a text's length.
    """

    name: str
    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    input_names: tuple[str, ...]
    task: Task | None = None
    preprocessing: Preprocessing | None = None
    free: tuple[tuple[int, ...], ...] = ()
    notes: tuple[str, ...] = ()
