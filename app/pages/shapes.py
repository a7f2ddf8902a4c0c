"""A JSON Schema as the shapes that a form knows: what is picked, typed in, listed, or one of several.

Whatever else a schema says is typed in as JSON, so that no option is out of a form's reach.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal

from pith.job import JobSpec

Schema = Mapping[str, Any]
Widget = Literal[
    "fixed", "choice", "number", "text", "lines", "ranked", "model", "dataset", "group", "branch", "list", "json"
]
NONE = "none"
"""The branch that is null."""
_MOST = 10**6
"""A bound beyond which nobody needs to be told of it."""
_BOUNDS = {
    "minimum": "at least",
    "exclusiveMinimum": "above",
    "maximum": "at most",
    "exclusiveMaximum": "below",
}
_IDS: Mapping[str, Widget] = {"^mdl_": "model", "^dts_": "dataset"}


@dataclass(frozen=True)
class Shape:
    """One place of a document. ``choices`` are what can be picked there, ``items`` what a list holds."""

    widget: Widget
    nullable: bool = False
    choices: tuple[Any, ...] = ()
    items: "Shape | None" = None
    properties: Mapping[str, "Property"] = field(default_factory=dict)
    branches: Mapping[str, "Shape"] = field(default_factory=dict)
    title: str = ""
    says: str = ""
    limits: str = ""

    @property
    def entry(self) -> "Shape":
        """What a list holds, where it is one."""
        assert self.items is not None
        return self.items


@dataclass(frozen=True)
class Property:
    """A named place of an object. ``default`` is what it is when nothing is said."""

    shape: Shape
    required: bool
    default: Any
    says: str


@cache
def job_shape() -> Shape:
    """Of a job spec, with every technique that there is."""
    schema = JobSpec.model_json_schema()
    return shape_of(schema, schema["$defs"])


def shape_of(schema: Schema, defs: Mapping[str, Schema]) -> Shape:
    schema = _resolved(schema, defs)
    if branches := _branches(schema, defs):
        return _union(branches, defs)
    return _single(schema, defs)


def _single(schema: Schema, defs: Mapping[str, Schema]) -> Shape:
    limits, kind = _limits(schema), schema.get("type")
    if "const" in schema:
        return Shape("fixed", choices=(schema["const"],))
    if "enum" in schema:
        return Shape("choice", choices=tuple(schema["enum"]))
    if kind == "boolean":
        return Shape("choice", choices=(True, False))
    if kind in ("integer", "number"):
        return Shape("number", limits=limits)
    if kind == "string":
        return Shape(_id_of(schema) or "text", limits=limits)
    if kind == "array":
        return _array(schema, defs)
    if kind == "object" and "properties" in schema:
        return _object(schema, defs)
    return Shape("json")


def _array(schema: Schema, defs: Mapping[str, Schema]) -> Shape:
    limits = _limits(schema)
    each: Schema = schema.get("items") or next(iter(schema.get("prefixItems", ())), {})
    items = shape_of(each, defs)
    if items.widget == "choice":
        return Shape("ranked", choices=items.choices, limits=limits)
    if items.widget in ("number", "text"):
        return Shape("lines", items=items, limits=limits)
    return Shape("list", items=items, limits=limits)


def _object(schema: Schema, defs: Mapping[str, Schema]) -> Shape:
    required = set(schema.get("required", ()))
    properties = {
        name: Property(shape_of(each, defs), name in required, each.get("default"), each.get("description", ""))
        for name, each in _own_first(schema["properties"]).items()
    }
    says = _first_sentences(schema.get("description", ""))
    return Shape("group", properties=properties, title=schema.get("title", ""), says=says)


def _own_first(properties: Mapping[str, Schema]) -> dict[str, Schema]:
    """The kind and the options of a technique itself, and then those that it shares with others."""
    names = list(properties)
    begin = names.index("kind") if "kind" in properties else 0
    return {name: properties[name] for name in names[begin:] + names[:begin]}


def _union(branches: Sequence[Schema], defs: Mapping[str, Schema]) -> Shape:
    nullable = any(branch.get("type") == "null" for branch in branches)
    shapes = tuple(_merged(_single(branch, defs) for branch in branches if branch.get("type") != "null"))
    if len(shapes) == 1 and shapes[0].widget in ("number", "text", "lines", "model", "dataset", "choice"):
        only = shapes[0]
        return Shape(only.widget, nullable, only.choices, only.items, limits=only.limits)
    keyed = {NONE: Shape("fixed", choices=(None,))} if nullable else {}
    return Shape("branch", nullable, branches=keyed | {_key(shape): shape for shape in shapes})


def _merged(shapes: Iterable[Shape]) -> Iterator[Shape]:
    """Constants and yes or no are one choice; beside an id they are what else can be picked there."""
    constants: list[Any] = []
    rest: list[Shape] = []
    for shape in shapes:
        if shape.widget in ("fixed", "choice"):
            constants += shape.choices
        else:
            rest.append(shape)
    if constants and not any(shape.widget == "model" for shape in rest):
        yield Shape("choice", choices=tuple(constants))
    for shape in rest:
        yield replace(shape, choices=tuple(constants)) if shape.widget == "model" else shape


def _key(shape: Shape) -> str:
    """How a branch is called in a form: by its kind, by its class, or by what it is."""
    kind = shape.properties.get("kind")
    if kind is not None and kind.shape.widget == "fixed":
        return str(kind.default)
    return shape.title or {"list": "several", "lines": "several", "choice": "one"}.get(shape.widget, shape.widget)


def _resolved(schema: Schema, defs: Mapping[str, Schema]) -> Schema:
    if "$ref" not in schema:
        return schema
    return defs[schema["$ref"].rpartition("/")[2]]


def _branches(schema: Schema, defs: Mapping[str, Schema]) -> list[Schema]:
    """Those of a union, and of the unions in it."""
    found: list[Schema] = []
    for branch in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        resolved = _resolved(branch, defs)
        found += _branches(resolved, defs) or [resolved]
    return found


def _id_of(schema: Schema) -> Widget | None:
    return next((widget for start, widget in _IDS.items() if schema.get("pattern", "").startswith(start)), None)


def _limits(schema: Schema) -> str:
    """``a whole number, 1 to 1000``; ``above 0, below 1``."""
    said = ["a whole number"] if schema.get("type") == "integer" else []
    if "minimum" in schema and schema.get("maximum", _MOST) < _MOST:
        said.append(f"{_number(schema['minimum'])} to {_number(schema['maximum'])}")
    else:
        said += [f"{word} {_number(schema[name])}" for name, word in _BOUNDS.items() if schema.get(name, _MOST) < _MOST]
    most = schema.get("maxItems", schema.get("maxLength") if schema.get("type") == "array" else None)
    said += [f"{most} at most"] if most is not None else []
    return ", ".join(said)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:g}"


def _first_sentences(text: str) -> str:
    return " ".join(text.split("\n\n")[0].split())
