"""Low-rank adapters beside layers, merged into their weights (Hu et al. 2021, arXiv 2106.09685).

The adapters and the weights as they were are the loop's helpers; the model's own graph is never other than it was, and
holds the merged weights whenever an epoch has ended. So checkpoints hold a plain graph, and a collapse is seen.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from engine.context import Context
from engine.model import Model
from engine.randomness import generator
from engine.selected import refuse_unmatched
from engine.train import Aids, train
from pith.patterns import named_by
from pith.techniques.finetune.lora import CONVOLUTIONS_TOO, GROUPED, NO_LINEAR, FinetuneLora

Adaptable = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_CONVOLVE: dict[int, Callable[..., Tensor]] = {3: functional.conv1d, 4: functional.conv2d, 5: functional.conv3d}


class Adapted(nn.Module):
    """A layer with its adapter: ``layer(x) + alpha / rank · up(down(dropout(x)))``, of which ``down`` and ``up`` learn.

    ``down`` is the paper's A, of shape (rank, inputs, *kernel), drawn as a layer's weight is; ``up`` is B, of shape
    (outputs, rank), and begins as zeros. Where the weight is sparse, the adapter is kept off its zeros.
    """

    def __init__(self, layer: Adaptable, config: FinetuneLora, random: torch.Generator) -> None:
        super().__init__()
        weight = layer.weight.detach()
        self.layer = (layer,)  # in a tuple, so that its parameters are the model's alone
        self.scale, self.dropout = config.alpha / config.rank, nn.Dropout(config.dropout)
        bound = 1 / math.sqrt(weight[0].numel())
        down = (torch.rand((config.rank, *weight.shape[1:]), generator=random) * 2 - 1) * bound
        self.down, self.up = nn.Parameter(down), nn.Parameter(torch.zeros(len(weight), config.rank))
        self.register_buffer("weight", weight.clone())
        self.register_buffer("kept", weight != 0 if _sparse(weight) else None)
        self.weight: Tensor
        self.kept: Tensor | None

    def forward(self, x: Tensor) -> Tensor:
        layer, read = self.layer[0], self.dropout(x)
        given = _run(layer, x, self.weight, layer.bias)
        if self.kept is not None:
            return given + _run(layer, read, self.product(), None)
        inner = _run(layer, read, self.down, None)
        if isinstance(layer, nn.Linear):
            return given + self.scale * functional.linear(inner, self.up)
        up = self.up.view(*self.up.shape, *([1] * (inner.ndim - 2)))
        return given + self.scale * _CONVOLVE[inner.ndim](inner, up)

    def product(self) -> Tensor:
        """What is added to the weight."""
        product = self.scale * torch.einsum("or,r...->o...", self.up, self.down)
        return product if self.kept is None else product * self.kept

    def merge(self) -> None:
        self.layer[0].weight.copy_(self.weight + self.product())


def apply(model: Model, config: FinetuneLora, ctx: Context) -> Model:
    """
    Raises:
        PithError: ``technique_inapplicable`` where no layer can take an adapter, or a pattern matches none.
    """
    split, objective = ctx.training_data(labels=True), ctx.objective(config.label_smoothing)
    random = generator(ctx.spec.seed, ctx.step)
    adapters = {name: Adapted(layer, config, random) for name, layer in chosen(model, config, ctx).items()}

    def merged(step: int, steps: int) -> None:
        if step % (steps // config.epochs) == 0:
            for adapter in adapters.values():
                adapter.merge()

    aids = Aids(forward=Beside(model, adapters), helpers=nn.ModuleList(adapters.values()), rate=_frozen, after=merged)
    train(model, split, config, objective.loss, ctx, aids)
    return model


def chosen(model: Model, config: FinetuneLora, ctx: Context) -> dict[str, Adaptable]:
    """The layers that get adapters: the linear ones, or those that are named."""
    able = {name: layer for name, layer in model.layers() if isinstance(layer, Adaptable)}
    weighted = [name for name, layer in model.graph.named_modules() if name and hasattr(layer, "weight")]
    for refusal in config.unable(able, weighted):
        raise ctx.inapplicable(refusal.reason, refusal.way_out)
    refuse_unmatched(config.targets, able, "targets", ctx)
    named = named_by(config.targets, able)
    found = {
        name: layer
        for name, layer in able.items()
        if (name in named if config.targets else isinstance(layer, nn.Linear)) and _plain(layer)
    }
    if not found:
        raise ctx.inapplicable(f"all that targets names is {GROUPED}" if named else NO_LINEAR, CONVOLUTIONS_TOO)
    if useless := config.useless({name: layer.weight.shape for name, layer in found.items()}):
        raise ctx.inapplicable(useless.reason, useless.way_out)
    if len(found) < len(named):
        ctx.note(f"{', '.join(name for name in named if name not in found)}: {GROUPED}; these layers stay as they are.")
    return found


class Beside:
    """The model's graph with adapters in the place of some layers; it is put together when it is first run, on
    whatever device the model is by then."""

    def __init__(self, model: Model, adapters: dict[str, Adapted]) -> None:
        self.model, self.adapters = model, adapters
        self.graph: fx.GraphModule | None = None

    def __call__(self, *inputs: Tensor) -> Any:
        if self.graph is None:
            copied = fx.Graph()
            copied.output(copied.graph_copy(self.model.graph.graph, {}))
            self.graph = fx.GraphModule(self.model.graph, copied)
            for name, adapter in self.adapters.items():
                self.graph.set_submodule(name, adapter)
        return self.graph(*inputs)


def _frozen(name: str, epoch: int) -> float:
    return 0.0


def _plain(layer: Adaptable) -> bool:
    return isinstance(layer, nn.Linear) or (layer.groups == 1 and layer.padding_mode == "zeros")


def _sparse(weight: Tensor) -> bool:
    """As the training loop means it: a layer of zeros alone is new."""
    return 0.01 <= 1 - int(weight.count_nonzero()) / weight.numel() < 1.0


def _run(layer: Adaptable, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    if isinstance(layer, nn.Linear):
        return functional.linear(x, weight, bias)
    return _CONVOLVE[weight.ndim](x, weight, bias, layer.stride, layer.padding, layer.dilation)
