"""Processes that train one job together: each computes its pieces of every batch, and all have the same gradients.

By gloo, over the loopback interface; tensors of a GPU travel through the machine's memory. Every process runs the
same steps on the same data; what only a clock or a GPU's rounding decides, the first one decides for all.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn

_PATIENCE = timedelta(days=30)
"""The first process exports and weighs while the others wait; one that has ended is noticed at once all the same."""


@dataclass(frozen=True)
class Group:
    """This process is number ``rank`` of so many; number 0 writes what there is to be written."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def shared(self, pieces: int) -> int:
        """So many pieces or a few more, of which each process has as many."""
        return -(-pieces // self.size) * self.size

    def add_up(self, parameters: Sequence[nn.Parameter], loss: Tensor | None) -> Tensor | None:
        """The sum of everybody's losses, with their gradients added up in place; None when one of them has none."""
        if self.size == 1:
            return loss
        have = [parameter.grad is not None for parameter in parameters]
        said = torch.tensor([float(loss is None), float(loss or 0), *map(float, have)])
        flat = torch.cat([said, *(_gradient(each).flatten().float().cpu() for each in parameters)])
        dist.all_reduce(flat)
        said, *summed = torch.split(flat, [len(said), *(each.numel() for each in parameters)])
        for parameter, anybody, gradient in zip(parameters, said[2:], summed, strict=True):
            if anybody:
                parameter.grad = _gradient(parameter)
                parameter.grad.copy_(gradient.view(parameter.shape))
        return None if said[0] else said[1]

    @torch.no_grad()
    def spread(self, tensors: Iterable[Tensor]) -> None:
        """Everybody has what the first process has in these."""
        kinds: dict[torch.dtype, list[Tensor]] = defaultdict(list)
        for tensor in tensors if self.size > 1 else ():
            kinds[tensor.dtype].append(tensor)
        for alike in kinds.values():
            flat = torch.cat([tensor.flatten().cpu() for tensor in alike])
            dist.broadcast(flat, 0)
            for tensor, part in zip(alike, torch.split(flat, [each.numel() for each in alike]), strict=True):
                tensor.copy_(part.view(tensor.shape))

    def told(self, number: float) -> float:
        """What the first process says."""
        said = torch.tensor(number, dtype=torch.float64)
        if self.size > 1:
            dist.broadcast(said, 0)
        return float(said)

    def insist(self, named: Iterable[tuple[str, Tensor]]) -> None:
        """
        Raises:
            RuntimeError: the processes do not have tensors of the same names and shapes.
        """
        text = repr([(name, tuple(tensor.shape)) for name, tensor in named])
        mine = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=6).digest(), "big")
        if self.added(float(self.told(mine) != mine)):
            raise RuntimeError("the processes that train together have come to different models")

    def added(self, number: float) -> float:
        said = torch.tensor(number, dtype=torch.float64)
        if self.size > 1:
            dist.all_reduce(said)
        return float(said)

    def wait(self) -> None:
        """Until everybody is here."""
        self.added(0)


ALONE = Group()


def form(rank: int, size: int, meeting: Path) -> Group:
    """Meet the others by a file that is not there yet. Starts threads: nothing may be forked from here on."""
    where = f"file://{meeting.absolute()}"
    dist.init_process_group("gloo", init_method=where, rank=rank, world_size=size, timeout=_PATIENCE)
    return Group(rank, size)


def _gradient(parameter: nn.Parameter) -> Tensor:
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
