"""The layers that a step is about."""

from engine.context import Context
from engine.model import Model, Weighted
from pith.patterns import named_by, unmatched
from pith.selective import NO_LAYERS, Selective


def selected(model: Model, config: Selective, ctx: Context) -> dict[str, Weighted]:
    """Convolutions and linear layers by their names, without those that the step ignores.

    Raises:
        PithError: ``technique_inapplicable`` for a pattern that matches no layer, or when no layer is left.
    """
    layers = dict(model.layers())
    for refusal in unmatched(config.ignore, layers, "ignore"):
        raise ctx.inapplicable(refusal.reason, refusal.way_out)
    ignored = named_by(config.ignore, layers)
    found = {name: layer for name, layer in layers.items() if name not in ignored}
    if not found:
        raise ctx.inapplicable(NO_LAYERS, config.without_layers())
    return found
