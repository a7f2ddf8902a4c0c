"""A document as the fields of a form; ``app.pages.answered`` leads back.

A field is named by the place of its value (RFC 6901). Beside it ``#of`` says which of several shapes a place has, and
``#n`` how long a list is.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from app.pages.shapes import NONE, Property, Shape, Widget

Answers = Mapping[str, str]
OF, COUNT = "#of", "#n"
LONGEST_LIST = 100


@dataclass(frozen=True)
class Choice:
    """One thing that can be picked; ``value`` is what the form sends."""

    value: str
    label: str


@dataclass(frozen=True)
class Field:
    """One place of the document, with what is there now as text."""

    name: str
    label: str
    widget: Widget
    value: str = ""
    says: str = ""
    limits: str = ""
    usual: str = ""
    required: bool = False
    set: bool = False
    choices: tuple[Choice, ...] = ()
    children: tuple["Field", ...] = ()

    @property
    def id(self) -> str:
        """For the page: letters, digits and dashes alone. What picks a shape and the shape itself are two fields."""
        return "f" + re.sub(r"[^0-9A-Za-z]+", "-", self.name) + ("-of" if self.widget == "branch" else "")

    @property
    def shown(self) -> str:
        """What is there as people read it."""
        return next((each.label for each in self.choices if each.value == self.value), self.value)

    @property
    def told(self) -> tuple[str, ...]:
        """Those of its own fields that say something else than they would by themselves: ``pruning ratio 0.5``,
        ``recovery (epochs 2)``."""
        return tuple(each._short() for each in self.children if each.set)

    def _short(self) -> str:
        """Its name and what is there, in a few words."""
        match self.widget:
            case "branch" if self.children and self.children[0].widget != "fixed":
                return self.children[0]._short() if self.children[0].widget != "group" else self._picked()
            case "branch":
                return f"{self.label} {_words(self.value)}"
            case "group":
                return f"{self.label} ({', '.join(self.told)})"
            case "list":
                return f"{self.label} ({self.value})"
            case "ranked":
                return f"{self.label} {', '.join(_shortened(each.value) for each in self.children if each.value)}"
        return f"{self.label} {_shortened(self.shown)}".strip()

    def _picked(self) -> str:
        """Which of several groups is there, unless there is but one, and what is set in it."""
        several = sum(each.value != NONE for each in self.choices) > 1
        inner = [_words(self.value)] * several + list(self.children[0].told)
        return f"{self.label} ({', '.join(inner)})" if inner else self.label

    def child(self, name: str) -> "Field":
        """The one with this last name."""
        return next(each for each in self.children if each.name == f"{self.name}/{name}")


def place(name: str) -> str:
    """A name as people count: ``step 1, pruning ratio``."""
    words: list[str] = []
    for step in name.split("/")[1:]:
        if step.isdecimal() and words:
            words[-1] = f"{'step' if words[-1] == 'recipe' else words[-1]} {int(step) + 1}"
        else:
            words.append(_words(step.replace("~1", "/").replace("~0", "~")))
    return ", ".join(words)


def field(
    shape: Shape, value: Any, name: str = "", of: Property | None = None, given: Answers = MappingProxyType({})
) -> Field:
    """``value`` is what the document has there, sound or not; None where it has nothing. ``given`` are the answers that
    it was made of: where a document does not tell which shape was picked, they do."""
    text, choices, children = _filled(shape, value, name, given)
    return Field(
        name=name,
        label=_words(name.rpartition("/")[2]),
        widget=shape.widget,
        value=text,
        says=(of.says if of else "") or shape.says,
        limits=shape.limits,
        usual="" if of is None or of.default in (None, [], {}) else _usual(of.default),
        required=of is not None and of.required,
        choices=choices,
        children=children,
    )


def _filled(shape: Shape, value: Any, name: str, given: Answers) -> tuple[str, tuple[Choice, ...], tuple[Field, ...]]:
    """What is there as text, what can be picked, and the fields inside."""
    listed = list(value) if isinstance(value, list | tuple) else []
    match shape.widget:
        case "group":
            return "", (), tuple(_members(shape, value, name, given))
        case "branch":
            text = _branch(shape, value, given.get(name + OF, ""))
            inner = (field(shape.branches[text], value, name, None, given),) if text in shape.branches else ()
            return text, tuple(Choice(key, _words(key)) for key in shape.branches), inner
        case "list":
            items = shape.entry
            held = (field(items, each, f"{name}/{i}", None, given) for i, each in enumerate(listed[:LONGEST_LIST]))
            return str(min(len(listed), LONGEST_LIST)), (), tuple(held)
        case "ranked":
            return "", (), tuple(_ranks(shape, listed, name))
        case "lines":
            return "\n".join(_typed(each) for each in listed) if listed else _typed(value or None), (), ()
        case "choice" | "fixed":
            text = "" if value is None and not shape.nullable else json.dumps(value)
            return text, tuple(Choice(json.dumps(each), _named(each)) for each in _pickable(shape)), ()
        case "json":
            return "" if value is None else json.dumps(value, ensure_ascii=False), (), ()
        case _:
            return _typed(value), tuple(Choice(str(each), str(each)) for each in shape.choices), ()


def _ranks(shape: Shape, given: Sequence[Any], name: str) -> Iterator[Field]:
    """One choice for each place in the order; those that stay empty are none."""
    choices = tuple(Choice(json.dumps(each), str(each)) for each in shape.choices)
    for i in range(max(len(choices), len(given))):
        text = json.dumps(given[i]) if i < len(given) else ""
        yield Field(f"{name}/{i}", str(i + 1), "choice", text, choices=choices)


def answers(field: Field) -> Iterator[tuple[str, str]]:
    """What a browser sends for it, as it stands."""
    if field.widget == "branch":
        yield field.name + OF, field.value
    elif field.widget == "list":
        yield field.name + COUNT, field.value
    elif field.widget == "ranked":
        yield field.name + COUNT, str(len(field.children))
    elif field.widget not in ("group", "fixed"):
        yield field.name, field.value
    for child in field.children:
        yield from answers(child)


def _members(shape: Shape, value: Any, name: str, given: Answers) -> Iterator[Field]:
    have = value if isinstance(value, Mapping) else {}
    for key, member in shape.properties.items():
        if member.shape.widget == "fixed":
            continue
        place = f"{name}/{key}"
        there = have[key] if key in have else _unsaid(member, given.get(place + OF, ""))
        yield replace(field(member.shape, there, place, member, given), set=key in have)


def _unsaid(member: Property, picked: str) -> Any:
    """What is there by itself; nothing, where another shape than that one's was picked."""
    other = picked and member.shape.widget == "branch" and _branch(member.shape, member.default, "") != picked
    return None if other else member.default


def _branch(shape: Shape, value: Any, picked: str) -> str:
    """The branch that what is there looks like; the one that was picked, where it may be that."""
    if value is None:
        return picked if picked in shape.branches else NONE if shape.nullable else ""
    if isinstance(value, Mapping):
        return _group(shape, value, picked)
    widgets = ("list", "lines", "ranked") if isinstance(value, Sequence) and not isinstance(value, str) else _SCALAR
    return next((key for key, each in shape.branches.items() if each.widget in widgets), "")


def _group(shape: Shape, value: Mapping[str, Any], picked: str) -> str:
    if (kind := str(value.get("kind"))) in shape.branches:
        return kind
    if "kind" in value and any("kind" in each.properties for each in shape.branches.values()):
        return ""
    groups = [key for key, each in shape.branches.items() if each.widget == "group"]
    if picked in groups and value.keys() <= shape.branches[picked].properties.keys():
        return picked
    return next((key for key in groups if _has_all(shape.branches[key], value)), groups[0] if groups else "")


_SCALAR = ("choice", "model", "dataset", "text", "number")


def _has_all(shape: Shape, value: Mapping[str, Any]) -> bool:
    return value.keys() <= shape.properties.keys() and all(
        key in value for key, member in shape.properties.items() if member.required
    )


def _pickable(shape: Shape) -> tuple[Any, ...]:
    return (None, *shape.choices) if shape.nullable else shape.choices


def _typed(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _usual(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_named(each) for each in value)
    return "" if isinstance(value, Mapping) else _named(value)


def _named(value: Any) -> str:
    """As people read it."""
    if value is None or isinstance(value, bool):
        return {None: "not set", True: "yes", False: "no"}[value]
    return str(value).removesuffix(".0")


def _shortened(text: str) -> str:
    plain = " ".join(text.replace('"', "").split())
    return plain if len(plain) <= 24 else f"{plain[:23]}…"


def _words(name: str) -> str:
    """``pruning_ratio`` and ``TrainingOptions`` as words."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return apart.replace("_", " ").lower()
