"""Several models side by side, each with one vote for a class (Hansen and Salamon 1990)."""

import torch
from torch import Tensor, nn

from engine.context import Context
from engine.merge.ensemble import ends, members, refuse, side_by_side
from engine.model import Model
from pith.peers import no_classes
from pith.techniques.merge.vote import MergeVote

_LEAST = 1e-12


def apply(model: Model, config: MergeVote, ctx: Context) -> Model:
    found = members(model, config, ctx)
    refuse(no_classes(config.kind, ends(model), ctx.objective().classes), ctx)
    return side_by_side(found, Vote())


class Vote(nn.Module):
    """``tally`` for the first output, the mean for the others."""

    def forward(self, *stacked: Tensor) -> tuple[Tensor, ...]:
        return tally(stacked[0]), *(each.mean(0) for each in stacked[1:])


def tally(scores: Tensor) -> Tensor:
    """log((v + p / 2) / (n + 1 / 2)) for scores of shape (n members, batch, classes).

    v are the votes for each class and p the mean of the probabilities. One vote outweighs any p, so that p decides
    between classes of equally many votes and nothing else; softmax of the result sums to one by itself.
    """
    chosen = scores.argmax(-1, keepdim=True)
    votes = torch.zeros_like(scores).scatter(-1, chosen, 1.0).sum(0)
    probabilities = torch.softmax(scores, -1).mean(0)
    return torch.log(((votes + probabilities / 2) / (scores.shape[0] + 0.5)).clamp(min=_LEAST))
