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
    refuse_unmatched(patterns, known, "ignore", ctx)
    return set(named_by(patterns, known))


def refuse_unmatched(patterns: Iterable[str], names: Iterable[str], field: str, ctx: Context) -> None:
    """Every pattern of the option ``field`` has to match one of these names.

    Raises:
        PithError: ``technique_inapplicable``, with what earlier steps took of what the pattern named.
    """
    patterns, names = list(patterns), list(names)
    for refusal in unmatched(patterns, names, field):
        gone = _taken(patterns[int(refusal.field.rpartition("/")[2])], ctx)
        raise ctx.inapplicable(refusal.reason + gone, refusal.way_out)


def _taken(pattern: str, ctx: Context) -> str:
    """What the pattern named in the uploaded model, and the steps that have changed its layers since."""
    since = dict.fromkeys(step.kind for step in ctx.spec.recipe[: ctx.step] if "shapes" in step.changes)
    found = named_by([pattern], [name for name, _ in ctx.baseline.graph.named_modules()])
    return f": {' or '.join(since)} took {', '.join(list(found)[:10])}" if since and found else ""


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
