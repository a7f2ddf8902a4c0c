"""Constants in changes of shape, and the scale of attention: what must be loosened or pinned in a lifted graph."""

from typing import Any

import torch
from torch import fx

from engine.lift.arguments import bind

aten = torch.ops.aten

_VIEWS = {aten.view.default, aten.reshape.default, aten._unsafe_view.default}
_ATTENTION = aten.scaled_dot_product_attention.default


def rewrite(old: fx.Node, new: fx.Node) -> None:
    """Loosen a flatten; pin the scale of attention, which would follow the size of a head.

    A view becomes a reshape: whether a view is possible depends on the memory layout that other operators chose.
    Attention exported in train mode has a dropout that no mode could switch off; it goes.
    """
    if new.target in _VIEWS:
        data, shape, *_ = bind(new).values()
        new.target = aten.reshape.default
        new.args, new.kwargs = (data, _free_width(old, list(shape))), {}
    elif new.target is _ATTENTION:
        args = bind(old)
        scale = args["query"].meta["val"].shape[-1] ** -0.5 if args["scale"] is None else args["scale"]
        new.kwargs = {**new.kwargs, "scale": scale}
        if args["dropout_p"]:
            new.args = (*new.args[:4], 0.0, *new.args[5:])


def unsettled(node: fx.Node) -> bool:
    """Attention with a mask: the layout of its result depends on the kernel, and exporters choose another one."""
    if node.target is not _ATTENTION or bind(node)["attn_mask"] is None:
        return False
    return any(user.target is not aten.clone.default for user in node.users)


def settled(node: fx.Node) -> tuple[Any, tuple[fx.Node], dict[str, Any]]:
    """A call that gives the same values in one layout."""
    return aten.clone.default, (node,), {"memory_format": torch.contiguous_format}


def _free_width(old: fx.Node, shape: list[Any]) -> list[Any]:
    """Let a flattened width follow the channels that feed it, and pin every other inferred size.

    A shape with one constant, the last, is a flatten: the constant becomes -1. Elsewhere a static -1 becomes its
    value, so that a channel count that no longer fits is an error and never a silent reshuffle.
    """
    sizes = old.meta["val"].shape
    shape = [int(size) if dim == -1 and isinstance(size, int) else dim for dim, size in zip(shape, sizes, strict=True)]
    constants = [index for index, dim in enumerate(shape) if isinstance(dim, int)]
    if constants == [len(shape) - 1] and len(shape) > 1:
        shape[-1] = -1
    return shape
