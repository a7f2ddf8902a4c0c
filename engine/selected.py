"""The layers that a step is about."""

from collections.abc import Iterable

from engine.context import Context
from engine.model import Model, Weighted
from pith.patterns import named_by, unmatched
from pith.selective import NO_LAYERS, Selective


def ignored(names: Iterable[str], patterns: Iterable[str], ctx: Context) -> set[str]:
    """The names that the option ``ignore`` leaves alone.

    Raises:
        PithError: ``technique_inapplicable`` for a pattern that matches none.
    """
    known = list(names)
    for refusal in unmatched(patterns, known, "ignore"):
        raise ctx.inapplicable(refusal.reason, refusal.way_out)
    return set(named_by(patterns, known))


def selected(model: Model, config: Selective, ctx: Context) -> dict[str, Weighted]:
    """Convolutions and linear layers by their names, without those that the step ignores.

    Raises:
        PithError: ``technique_inapplicable`` for a pattern that matches no layer, or when no layer is left.
    """
    layers = dict(model.layers())
    aside = ignored(layers, config.ignore, ctx)
    found = {name: layer for name, layer in layers.items() if name not in aside}
    if not found:
        raise ctx.inapplicable(NO_LAYERS, config.without_layers())
    return found
