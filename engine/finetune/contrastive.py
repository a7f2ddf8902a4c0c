"""Self-supervised training of features (SimCLR: Chen, Kornblith, Norouzi and Hinton 2020, arXiv 2002.05709).

The views of inputs that are no pictures, when nobody has named any, are those of SCARF: Bahri, Jiang, Tay and Metzler
2021, arXiv 2106.15147.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from engine.batches import Batches
from engine.context import Context
from engine.data import Split
from engine.finetune.second import Inputs, other_data, view_seed
from engine.head import output_layers
from engine.model import Model
from engine.objective import Batch
from engine.randomness import stream
from engine.taps import Tap, before_head, tapped
from engine.train import Aids, train
from pith.augmented import MIXING
from pith.second import no_mixing
from pith.techniques.finetune.contrastive import MIXED, NO_HEAD, FinetuneContrastive

SMALLEST_CROP, NOISE, SWAPPED = 0.6, 0.1, 0.3


def apply(model: Model, config: FinetuneContrastive, ctx: Context) -> Model:
    """
    Raises:
        PithError: ``technique_inapplicable`` for a model without one head, augmentations that mix samples,
            or a dataset without a training split.
    """
    tap = before_head(model)
    if tap is None:
        raise ctx.inapplicable(NO_HEAD, "use finetune.full")
    if not MIXING.isdisjoint(step.kind for step in ctx.spec.augmentation):
        raise ctx.inapplicable(no_mixing(MIXED).reason, no_mixing(MIXED).way_out)
    given = config.unlabelled
    data = ctx.training_data(labels=False) if given is None else other_data(given, "unlabelled", False, model, ctx)[1]
    split = Split(data.x, None)
    (head,) = (model.graph.get_submodule(name) for name in output_layers(model.graph))
    torch.manual_seed(stream(ctx.spec.seed, ctx.step))
    projection = _projection(int(head.get_parameter("weight").shape[1]), config.projection)
    features = Features(model, tap, last=isinstance(head, nn.Linear))
    batches = Batches(split, config.batch_size, model, ctx.device)

    def loss(batch: Batch) -> Tensor:
        inputs, _ = batches.take(batch.rows)
        one, other = (view(inputs, view_seed(ctx, batch.epoch, batch.index, number), ctx) for number in range(2))
        both = tuple(torch.cat(pair) for pair in zip(one, other, strict=True))
        return nt_xent(projection(features(both)).float(), config.temperature)

    # The loop's own forward pass is not needed: both views go through the model together, in the loss.
    aids = Aids(forward=lambda *inputs: inputs, helpers=projection, watched=False)
    train(model, split, config, loss, ctx, aids)
    return model


def nt_xent(projected: Tensor, temperature: float) -> Tensor:
    """The mean of ``-log(exp(s(i, j) / t) / Σ_{k ≠ i} exp(s(i, k) / t))`` over all 2N views i, where j is the other
    view of the same sample, N rows further on, and s the cosine (equation 1)."""
    alike = functional.normalize(projected, dim=1)
    scores = alike @ alike.T / temperature
    scores = scores.masked_fill(torch.eye(len(scores), dtype=torch.bool, device=scores.device), float("-inf"))
    partner = torch.arange(len(scores), device=scores.device).roll(len(scores) // 2)
    return functional.cross_entropy(scores, partner)


@dataclass
class Features:
    """What the head reads, one row a sample: the mean over places where there are some. The graph that gives it is put
    together when it is first asked for, on the device where the model is by then."""

    model: Model
    tap: Tap
    last: bool
    graph: fx.GraphModule | None = None

    def __call__(self, inputs: Inputs) -> Tensor:
        if self.graph is None:
            self.graph = tapped(self.model, [self.tap])
        found: Tensor = self.graph(*inputs)[-1]
        if found.ndim == 2:
            return found
        return found.flatten(1, -2).mean(1) if self.last else found.flatten(2).mean(2)


def view(inputs: Inputs, seed: int, ctx: Context) -> Inputs:
    """One random view of these samples."""
    if ctx.augmenter is not None:
        return ctx.augmenter(inputs, None, seed, 0)[0]
    torch.manual_seed(seed)
    first = inputs[0]
    changed = _cropped(first) if first.ndim == 4 and first.is_floating_point() else _swapped(first)
    return (changed, *inputs[1:])


def _projection(width: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, outputs))


def _cropped(pictures: Tensor) -> Tensor:
    """Each enlarged from a random window, with noise."""
    side = SMALLEST_CROP + (1 - SMALLEST_CROP) * torch.rand(len(pictures), 1)
    shift = (1 - side) * (torch.rand(len(pictures), 2) * 2 - 1)
    turn = torch.diag_embed(side.expand(-1, 2))
    where = torch.cat([turn, shift.unsqueeze(2)], 2).to(pictures.device)
    grid = functional.affine_grid(where, list(pictures.shape), align_corners=False)
    windows = functional.grid_sample(pictures, grid, padding_mode="border", align_corners=False)
    return windows + NOISE * pictures.std() * torch.randn_like(pictures)


def _swapped(values: Tensor) -> Tensor:
    """Some values taken from other samples, at the same place."""
    others = values[torch.randperm(len(values)).to(values.device)]
    return torch.where((torch.rand(values.shape) < SWAPPED).to(values.device), others, values)
