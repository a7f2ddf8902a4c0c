"""How inputs and outputs nest. Torch imports modules named in some contexts; only plain containers get there."""

import json
from typing import Any

from engine.pt2.checks import Wrong, show
from engine.pt2.names import identifier, text
from pith.errors import PithError

_KEYED = frozenset({"builtins.dict", "collections.OrderedDict", "torch.fx.immutable_collections.immutable_dict"})
_PLAIN = frozenset({"builtins.tuple", "builtins.list", "torch.fx.immutable_collections.immutable_list"})
_MAX_DEPTH, _MAX_LENGTH = 32, 1 << 20


def treespec(value: Any) -> str:
    """A pytree spec, written anew. Keys of keyword arguments must be plain names.

    Raises:
        PithError: ``model_unsupported`` for a container that is not built in.
    """
    spec = _loads(value)
    if not isinstance(spec, list) or len(spec) != 2 or spec[0] != 1:
        raise Wrong(f"{show(value)} is no tree of version 1")
    return json.dumps([1, _node(spec[1], 0)])


def call_treespec(value: Any) -> str:
    """The spec of a call's inputs: a tuple of positional and keyword arguments."""
    clean = treespec(value)
    node = json.loads(clean)[1]
    parts = node["children_spec"]
    if node["type"] != "builtins.tuple" or [part["type"] for part in parts] != ["builtins.tuple", "builtins.dict"]:
        raise Wrong(f"{show(value)} is no tree of arguments")
    for key in json.loads(parts[1]["context"]):
        identifier(key)
    return clean


def _loads(value: Any) -> Any:
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        raise Wrong(f"{show(value)} is no short text")
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{show(value)} is no JSON") from error


def _node(value: Any, depth: int) -> dict[str, Any]:
    if not isinstance(value, dict) or set(value) != {"type", "context", "children_spec"} or depth > _MAX_DEPTH:
        raise Wrong(f"{show(value)} is no node of a tree")
    kind, context, children = value["type"], value["context"], value["children_spec"]
    if not isinstance(children, list):
        raise Wrong(f"{show(children)} is no list of children")
    if kind is None and context is None and not children:
        return {"type": None, "context": None, "children_spec": []}
    nodes = [_node(child, depth + 1) for child in children]
    return {"type": kind, "context": json.dumps(_context(kind, context, len(nodes))), "children_spec": nodes}


def _context(kind: Any, context: Any, children: int) -> Any:
    if not isinstance(kind, str):
        raise Wrong(f"{show(kind)} is no type of a container")
    if kind not in _KEYED | _PLAIN:
        raise PithError(
            "model_unsupported",
            found=f"inputs or outputs in a container of type {show(kind)}",
            way_out="take and return tensors, tuples, lists and dicts",
        )
    inner = _loads(context)
    if kind in _PLAIN:
        if inner is not None:
            raise Wrong(f"{show(context)} is no context of {kind}")
        return None
    if not isinstance(inner, list) or len(inner) != children or not all(type(key) in (str, int) for key in inner):
        raise Wrong(f"{show(context)} are no keys for {children} children")
    return [text(key) if isinstance(key, str) else key for key in inner]
