"""Changes to texts that are token ids already."""

import torch
from torch import Tensor

from engine.data import TokenIds


def dropout(inputs: tuple[Tensor, ...], probability: float, ids: TokenIds) -> tuple[Tensor, ...]:
    """Ids replaced at random; the input of ids is the one that ``ids.place`` names."""
    tokens = inputs[ids.place]
    drawn = (torch.rand(tokens.shape) < probability).to(tokens.device)
    kept = torch.isin(tokens, torch.tensor(ids.kept, device=tokens.device))
    changed = torch.where(drawn & ~kept, torch.full((), ids.unknown).to(tokens), tokens)
    return (*inputs[: ids.place], changed, *inputs[ids.place + 1 :])
