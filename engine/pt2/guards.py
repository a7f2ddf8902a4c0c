"""Guards: conditions on the inputs that torch executes as source. They are looked at, and never kept."""

import ast
from typing import Any

from engine.pt2.checks import Wrong, show
from pith.errors import PithError

_NAMES = frozenset({"L", "math", "torch", "max", "min", "int", "float", "bool", "abs", "len", "isinstance", "round"})
_NODES = (
    ast.Expression,
    ast.BoolOp,
    ast.BinOp,
    ast.UnaryOp,
    ast.Compare,
    ast.Call,
    ast.Subscript,
    ast.Constant,
    ast.IfExp,
    ast.Tuple,
    ast.boolop,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
    ast.expr_context,
)
_METHODS = frozenset(
    {
        "size",
        "stride",
        "storage_offset",
        "numel",
        "dim",
        "inf",
        "nan",
        "isnan",
        "isinf",
        "sqrt",
        "floor",
        "ceil",
        "trunc",
    }
    | {"sym_max", "sym_min", "sym_float", "sym_int", "sym_not", "sym_ite", "shape", "dtype", "device", "pow", "log2"}
)


def no_guards(value: Any) -> list[str]:
    """An empty list, once every guard was seen to be a condition on shapes.

    Raises:
        PithError: ``model_unsafe`` for any other source.
    """
    if not isinstance(value, list):
        raise Wrong(f"{show(value)} is no list of guards")
    for guard in value:
        if not isinstance(guard, str) or not _is_condition(guard):
            raise PithError(
                "model_unsafe",
                found=f"the guard {show(guard)}",
                way_out="export it again with torch.export, without editing the file",
            )
    return []


def _is_condition(guard: str) -> bool:
    try:
        tree = ast.parse(guard.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return all(_allowed(node) for node in ast.walk(tree))


def _allowed(node: ast.AST) -> bool:
    match node:
        case ast.Name(id=name):
            return name in _NAMES
        case ast.Attribute(attr=name):
            return name in _METHODS
    return isinstance(node, _NODES)
