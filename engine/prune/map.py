"""The map of a model: what ``prune.channel`` may take from each layer, with which others, and why not."""

from dataclasses import dataclass

from engine.model import Model
from engine.prune.channels import Channels
from engine.prune.proof import proven


@dataclass(frozen=True)
class PrunableLayer:
    """``group`` numbers layers that lose channels together; ``left_alone`` says why this one loses none."""

    name: str
    kind: str
    width: int
    group: int | None
    left_alone: str | None


def prunable(model: Model) -> tuple[PrunableLayer, ...]:
    """One entry for each convolution and linear layer, in the order they are named. The model stays as it is."""
    channels = proven(model)
    alone, numbers = channels.left_alone(), _numbers(channels)
    return tuple(
        PrunableLayer(name, type(module).__name__, width(module), numbers.get(name), alone.get(name))
        for name, module in model.layers()
    )


def width(module: object) -> int:
    """Output channels of a convolution or linear layer."""
    return int(getattr(module, "out_channels", 0) or getattr(module, "out_features", 0))


def _numbers(channels: Channels) -> dict[str, int]:
    """Layers that share a unit, directly or through others, have one number."""
    parent: dict[str, str] = {}

    def top(name: str) -> str:
        while parent.setdefault(name, name) != name:
            name = parent[name]
        return name

    for group in channels.groups:
        first, *others = group.layers
        for other in others:
            parent[top(other)] = top(first)
        top(first)
    order = {root: index for index, root in enumerate(dict.fromkeys(top(name) for name in list(parent)))}
    return {name: order[top(name)] for name in parent}
