"""The arguments of an operator call by name."""

from typing import Any

from torch import fx


def bind(node: fx.Node) -> dict[str, Any]:
    """The arguments of an operator call by name, defaults filled in."""
    operator: Any = node.target
    schema = operator._schema.arguments
    given = dict(zip((argument.name for argument in schema), node.args, strict=False))
    return {
        argument.name: given.get(argument.name, node.kwargs.get(argument.name, argument.default_value))
        for argument in schema
    }
