"""What there is to do when memory runs out: cut each batch into more pieces, whose gradients are added up."""

import gc
from collections.abc import Sequence

import torch
from torch import Tensor, nn

FEWEST = 2
"""Samples of a piece: batch norms need two."""
_SIGNS = ("out of memory", "can't allocate memory", "failed to allocate memory", "bad_alloc", "bad allocation")
_NORMS = (nn.modules.batchnorm._BatchNorm,)


def ran_out(error: BaseException) -> bool:
    """Whether an exception means that there was not enough memory, on whichever device."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in said for sign in _SIGNS)


def cut(samples: int, pieces: int) -> list[slice]:
    """A batch in at most so many pieces of nearly the same size."""
    count = max(1, min(pieces, samples // FEWEST))
    return [slice(at * samples // count, (at + 1) * samples // count) for at in range(count)]


def tidy() -> None:
    """Give back what is not used any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


class Buffers:
    """What a forward pass changes in modules besides gradients, to be put back when it did not come to its end."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.live = [buffer for module in modules for buffer in module.buffers()]
        self._kept = [buffer.clone() for buffer in self.live]

    @torch.no_grad()
    def keep(self) -> None:
        _copy(self._kept, self.live)

    @torch.no_grad()
    def put_back(self) -> None:
        _copy(self.live, self._kept)


def _copy(to: list[Tensor], of: list[Tensor]) -> None:
    if to:
        torch._foreach_copy_(to, of)


def sentence(size: int, pieces: int, processes: int, graph: nn.Module) -> str:
    """What the reader of the report must know."""
    who = f" by {processes} processes" if processes > 1 else ""
    why = ", because memory ran out," if pieces > processes else ""
    largest = max(piece.stop - piece.start for piece in cut(size, pieces))
    norms = any(isinstance(module, _NORMS) for module in graph.modules())
    but = " Batch norms see the pieces, not the batch." if norms else ""
    return (
        f"Batches of {size} samples are computed{who} in pieces of {largest} at most{why} and their gradients are "
        f"added up: batch size, learning rate and number of steps are as asked.{but}"
    )
