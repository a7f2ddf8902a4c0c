"""``docs/techniques.md``, written from the classes themselves: ``python -m pith.catalogue > docs/techniques.md``."""

import inspect
import sys
from collections.abc import Iterator
from typing import Any

from pith.base import Step
from pith.recipe import step_classes
from pith.training import TrainingOptions

FAMILIES = {
    "finetune": "Train further: on the same task, on another one, or on data without labels.",
    "distill": "Train a student to do what one or several teachers do.",
    "prune": "Remove weights, channels, heads or whole layers.",
    "quantize": "Store, and where the runtime can, compute in fewer bits.",
    "encode": "Write the finished model into the fewest bytes.",
    "merge": "Make one model of several.",
}
_HEAD = """# Techniques

Every step that a recipe can have, from the contract itself: `python -m pith.catalogue` writes this page, and a test
holds it. `GET /v1/techniques` and `pith techniques --json` have the same as JSON Schema. A dry run (`pith jobs plan`)
says what a step would do to your model, or why it cannot.

**Order.** Steps follow one another freely until one changes the dtype: after that, only `encode.entropy` may come, and
after that nothing. A step may come as often as it is wanted; schedules (prune, recover, prune, …) are options of a
step.

**Layers** are named as in your own module (`stem.0`), or by shell patterns over those names (`layer4.*`); a pattern
that matches none is refused with the names there are.
"""


def page() -> str:
    """The whole page, in Markdown."""
    lines = [_HEAD, "| kind | what it does | needs | changes |", "|---|---|---|---|"]
    lines += [_row(kind, cls) for family in FAMILIES for kind, cls in _of(family)]
    lines += ["", "## Training options", ""]
    lines += ["Steps that train have these too, and so has every `recovery`.", "", *_table(TrainingOptions)]
    for family, what in FAMILIES.items():
        lines += ["", f"## {family}", "", what]
        for kind, cls in _of(family):
            lines += ["", *_section(kind, cls)]
    return "\n".join(lines) + "\n"


def _of(family: str) -> Iterator[tuple[str, type[Step]]]:
    return ((kind, cls) for kind, cls in step_classes().items() if kind.startswith(f"{family}."))


def _row(kind: str, cls: type[Step]) -> str:
    summary = (inspect.getdoc(cls) or "").split("\n\n")[0].replace("\n", " ")
    needs, changes = (", ".join(sorted(each)).replace("_", " ") or "–" for each in (cls.needs, cls.changes))
    return f"| [`{kind}`](#{kind.replace('.', '')}) | {summary} | {needs} | {changes} |"


def _section(kind: str, cls: type[Step]) -> Iterator[str]:
    yield from (f"### `{kind}`", "", inspect.getdoc(cls) or "", "")
    yield from (f"*{cls.paper}.* {cls.limits}", "")
    if issubclass(cls, TrainingOptions):
        yield from ("And the [training options](#training-options).", "")
    yield from _table(cls)


def _table(cls: type[Any]) -> Iterator[str]:
    shared = TrainingOptions.model_fields if issubclass(cls, TrainingOptions) and cls is not TrainingOptions else {}
    schema = cls.model_json_schema()
    rows = [
        f"| `{name}` | {_default(name, schema)} | {_values(field, schema)} | {field.get('description', '')} |"
        for name, field in schema["properties"].items()
        if name != "kind" and name not in shared
    ]
    if rows:
        yield from ("| option | default | values | meaning |", "|---|---|---|---|", *rows)
    else:
        yield "No options of its own."


def _default(name: str, schema: dict[str, Any]) -> str:
    if name in schema.get("required", ()):
        return "required"
    value = schema["properties"][name].get("default")
    if value is None:
        return "null"
    return "none" if value in ([], {}) else _shown(value)


def _values(field: dict[str, Any], schema: dict[str, Any]) -> str:
    """What an option takes, in words; alternatives in their order."""
    if "$ref" in field:
        return _values({**schema["$defs"][field["$ref"].rsplit("/", 1)[1]]}, schema)
    if "anyOf" in field or "oneOf" in field:
        options = [_values(each, schema) for each in field.get("anyOf") or field["oneOf"]]
        return ", or ".join(dict.fromkeys(options))
    if "enum" in field:
        return ", ".join(map(_shown, field["enum"]))
    if "const" in field:
        return _shown(field["const"])
    match field.get("type"):
        case "integer" | "number":
            return _range(field)
        case "array":
            return f"list of: {_values(field['items'], schema)}" if "items" in field else "list"
        case "object":
            return f"object with {', '.join(field['properties'])}" if "properties" in field else "object"
        case "boolean":
            return "true, false"
        case "null":
            return "null"
    return _text(field)


def _range(field: dict[str, Any]) -> str:
    whole = "whole, " if field["type"] == "integer" else ""
    low = f"{field['minimum']:g} ≤" if "minimum" in field else f"{field['exclusiveMinimum']:g} <"
    high = f"≤ {field['maximum']:g}" if "maximum" in field else f"< {field['exclusiveMaximum']:g}"
    return f"{whole}{low} n {high}"


def _text(field: dict[str, Any]) -> str:
    starts = {"^mdl_": "id of a model", "^dts_": "id of a dataset"}
    return next((said for start, said in starts.items() if field.get("pattern", "").startswith(start)), "text")


def _shown(value: object) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


if __name__ == "__main__":
    sys.stdout.write(page())
