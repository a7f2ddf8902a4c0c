"""How much each channel matters: a number for every unit of channels that go together."""

import torch
from torch import Tensor, nn

from engine.batches import Batches
from engine.context import Context
from engine.model import Model
from engine.objective import Batch
from engine.prune.axes import Owned
from engine.prune.channels import Channels, Group
from engine.randomness import generator
from pith.techniques.prune.channel import PruneChannel, without_norms

_BATCH = 64
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.GroupNorm, nn.LayerNorm, nn.InstanceNorm2d)


def importance(channels: Channels, config: PruneChannel, ctx: Context) -> dict[int, float]:
    """Of every unit, higher is more important; to be compared inside a group."""
    match config.importance:
        case "l1":
            return channels.importance(1)
        case "l2":
            return channels.importance(2)
        case "lamp":
            return lamp(channels)
        case "bn_scale":
            if bare := _bare(channels, _scales(channels)):
                _note(without_norms([name for group in bare for name in group.layers]), ctx)
            return bn_scale(channels)
        case "taylor":
            return taylor(channels, config.samples, ctx)
    return _random(channels, ctx)


def lamp(channels: Channels) -> dict[int, float]:
    """s_u / Σ of s_v over the v with s_v ≥ s_u, s being squared norms (Lee et al. 2020, arXiv 2010.07611, equation 1,
    for channels instead of weights)."""
    sizes = channels.importance(2)
    found = dict(sizes)
    for group in channels.groups:
        total = 0.0
        for unit in sorted(group.units.tolist(), key=lambda unit: (-sizes[unit], -unit)):
            total += sizes[unit]
            found[unit] = sizes[unit] / total if total else 0.0
    return found


def bn_scale(channels: Channels) -> dict[int, float]:
    """|γ| of the norms behind a channel (Liu et al. 2017, arXiv 1708.06519); the norm of its weights where a group of
    channels has no norm with a scale."""
    scales, sizes = _scales(channels), channels.importance(2)
    return scales | {unit: sizes[unit] for group in _bare(channels, scales) for unit in group.units.tolist()}


def _scales(channels: Channels) -> dict[int, float]:
    return channels.sums(lambda owned: owned.tensor.detach().abs().double() if _is_scale(owned) else None)


def _bare(channels: Channels, scales: dict[int, float]) -> list[Group]:
    """Groups of channels that have no norm with a scale."""
    return [group for group in channels.groups if not any(scales[unit] for unit in group.units.tolist())]


def _note(sentence: str, ctx: Context) -> None:
    """Once in a step, not in every phase."""
    if ctx.phase == 0:
        ctx.note(sentence)


def taylor(channels: Channels, samples: int, ctx: Context) -> dict[int, float]:
    """(Σ w · dL/dw)² over the weights of a channel, the mean over batches (Molchanov et al. 2019, arXiv 1906.10771,
    equation 8). The graph is run in eval mode; nothing is trained."""
    model: Model = channels.model
    batches, loss = Batches(ctx.training_data(labels=True), _BATCH, model, ctx.device), ctx.objective().loss
    graph = model.place(ctx.device, batches.layout).eval()
    found: dict[int, float] = {}
    for chosen in batches.epoch(generator(ctx.spec.seed, ctx.step, ctx.phase), 0):
        if chosen.batch * batches.size >= samples:
            break
        given = Batch(model.run(chosen.inputs), chosen.inputs, chosen.labels, chosen.rows, 0, chosen.batch)
        loss(given).backward()  # type: ignore[no-untyped-call]
        for unit, value in channels.sums(_product).items():
            found[unit] = found.get(unit, 0.0) + value**2
        graph.zero_grad(set_to_none=True)
    model.at_rest()
    return found


def _product(owned: Owned) -> Tensor | None:
    gradient = owned.tensor.grad
    return None if gradient is None else (owned.tensor.detach() * gradient).double().cpu()


def _is_scale(owned: Owned) -> bool:
    return any(name == "weight" and isinstance(module, _NORMS) for module, name in owned.owners)


def _random(channels: Channels, ctx: Context) -> dict[int, float]:
    drawn = torch.rand(channels.axes.count, generator=generator(ctx.spec.seed, ctx.step, ctx.phase))
    return dict(enumerate(drawn.tolist()))
