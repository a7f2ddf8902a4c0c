"""Symbolic sizes. Torch hands them to sympy, which evaluates them; only this small language may reach it."""

import ast
import contextlib
import math
import re
from typing import Any

from engine.pt2.checks import Wrong, show
from pith.errors import PithError

SYMBOL = re.compile(r"(?:s|u|zf|zuf)[0-9]{1,5}")
_KEY = re.compile(r"[\w ()+*/%,.-]{1,500}", re.ASCII)
_ARITHMETIC = (
    "Add Mul Max Min Mod PythonMod FloorDiv CleanDiv CeilDiv ModularIndexing Where Identity "
    "TruncToInt TruncToFloat FloorToInt CeilToInt RoundToInt ToFloat IntTrueDiv FloatTrueDiv "
    "Equality Unequality StrictLessThan LessThan StrictGreaterThan GreaterThan Eq Ne Lt Le Gt Ge And Or Not "
    "Abs floor ceiling"
)
_CALLS = frozenset(_ARITHMETIC.split())
_POWERS = frozenset({"Pow", "PowByNatural"})
_CONSTANTS = frozenset({"true", "false"})
_ASSUMPTIONS = frozenset({"integer", "positive", "nonnegative", "negative", "nonpositive", "real", "finite"})
_BINARY = (ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod)
_COMPARISONS = (ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE)
_MAX_LENGTH, _MAX_NODES, _MAX_POWERS, _MAX_EXPONENT = 8192, 1000, 4, 8


def expression(value: Any) -> str:
    """The expression, written anew from its syntax tree.

    Raises:
        PithError: ``model_unsafe`` when it is anything but arithmetic on sizes.
    """
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is no expression")
    with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
        tree = ast.parse(value[: _MAX_LENGTH + 1].strip(), mode="eval")
        if len(value) <= _MAX_LENGTH and not _too_much(tree) and _allowed(tree.body):
            return ast.unparse(tree)
    raise PithError(
        "model_unsafe",
        found=f"the symbolic expression {show(value)}",
        way_out="export it again with torch.export, without editing the file",
    )


def range_key(value: Any) -> str:
    """What a range is about: a symbol, or a derived size such as ``2*s77``. Torch compares it and parses it never."""
    if not isinstance(value, str) or not _KEY.fullmatch(value):
        raise Wrong(f"{show(value)} is no size")
    if value.startswith(("u", "zuf")) and not SYMBOL.fullmatch(value):
        raise Wrong(f"{show(value)} is no symbol")
    return value


def _too_much(tree: ast.Expression) -> bool:
    nodes = list(ast.walk(tree))
    powers = sum(isinstance(node, ast.Call) and _called(node) in _POWERS for node in nodes)
    return len(nodes) > _MAX_NODES or powers > _MAX_POWERS


def _allowed(node: ast.expr) -> bool:
    match node:
        case ast.Constant(value=value):
            return _number(value)
        case ast.Name(id=name):
            return name in _CONSTANTS or bool(SYMBOL.fullmatch(name))
        case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
            return _allowed(operand)
        case ast.BinOp(left=left, op=op, right=right):
            return isinstance(op, _BINARY) and _allowed(left) and _allowed(right)
        case ast.Compare(left=left, ops=[op], comparators=[right]):
            return isinstance(op, _COMPARISONS) and _allowed(left) and _allowed(right)
        case ast.Call():
            return _allowed_call(node)
    return False


def _allowed_call(node: ast.Call) -> bool:
    name = _called(node)
    if name == "Symbol":
        return _symbol_call(node)
    if name == "Float":
        return _float_call(node)
    if node.keywords:
        return False
    if name == "Integer":
        return len(node.args) == 1 and _integer(node.args[0])
    if name == "Rational":
        return len(node.args) == 2 and all(_integer(arg) for arg in node.args)
    if name in _POWERS:
        return len(node.args) == 2 and _allowed(node.args[0]) and _exponent(node.args[1])
    return name in _CALLS and all(_allowed(arg) for arg in node.args)


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else ""


def _symbol_call(node: ast.Call) -> bool:
    match node.args:
        case [ast.Constant(value=str(name))] if SYMBOL.fullmatch(name):
            return all(
                word.arg in _ASSUMPTIONS and isinstance(word.value, ast.Constant) and isinstance(word.value.value, bool)
                for word in node.keywords
            )
    return False


def _float_call(node: ast.Call) -> bool:
    match node.args, node.keywords:
        case [ast.Constant(value=str(digits))], [ast.keyword(arg="precision", value=ast.Constant(value=53))]:
            return bool(
                re.fullmatch(r"-?[0-9]{1,40}(?:\.[0-9]{1,40})?(?:e[+-]?[0-9]{1,3})?", digits)
            ) and math.isfinite(float(digits))
    return False


def _exponent(node: ast.expr) -> bool:
    match node:
        case ast.Call(func=ast.Name(id="Integer"), args=[inner], keywords=[]):
            return _exponent(inner)
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))) | ast.Constant(value=int(value)):
            return value <= _MAX_EXPONENT
    return False


def _integer(node: ast.expr) -> bool:
    match node:
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int(value))) | ast.Constant(value=int(value)):
            return _number(value)
    return False


def _number(value: object) -> bool:
    if type(value) is int:
        return abs(value) < 1 << 63
    return type(value) is float and math.isfinite(value)
