"""A job that somebody is about to send: its form, its JSON, what a dry run says, and the lines that do the same."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pprint import pformat
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from app.pages.answered import document, index_of
from app.pages.forms import Answers, Field, answers, field, place
from app.pages.plainly import plainly
from app.pages.shapes import Shape, job_shape
from app.pages.words import capitalised, listed
from app.planning import planned
from app.service import Service
from pith.base import OF_DATA, Need, Step
from pith.errors import PithError
from pith.job import JobSpec
from pith.plan import Plan
from pith.pointers import malformed
from pith.presets import PRESETS
from pith.recipe import step_classes

Document = dict[str, Any]
NOTHING: Answers = {}
_OF_DATASET = frozenset({"dataset_required", "dataset_required_by_constraint"})
"""Codes of problems that a dataset mends, wherever they arise."""
_PREDICATE = re.compile(r"(?:should|is|are|takes|names|has|have|needs|cannot|must)\b")


@dataclass(frozen=True)
class Wrong:
    """One problem: what it says, the field of the form that it is about, where there is one, and ``where`` that is as
    people count: ``step 1 (prune.channel), pruning ratio``."""

    says: str
    at: Field | None = None
    where: str = ""
    missing: bool = False
    """Whether it is a dataset that is missing."""

    @property
    def here(self) -> str:
        """At the field itself: ``Pruning ratio should be less than 1``."""
        subject = re.sub(r"^step \d+ \([\w.]+\), | \([\w.]+\)$", "", self.where)
        told = f"{subject}{'' if _PREDICATE.match(self.says) else ':'} {self.says}" if subject else self.says
        return capitalised(told)


@dataclass(frozen=True)
class Draft:
    form: Field
    text: str
    wrong: tuple[Wrong, ...]
    plan: Plan | None
    readable: bool = True
    needs_data: str = ""
    """What a dataset is needed for, in words; nothing where none is."""

    def at(self, field: Field) -> list[str]:
        """What is wrong with this very field."""
        return [each.here for each in self.wrong if each.at is not None and each.at.id == field.id]

    def inside(self, field: Field) -> bool:
        """Whether something is wrong with a field within this one."""
        return any(each.at is not None and each.at.name.startswith(f"{field.name}/") for each in self.wrong)


def drafted(service: Service, spec: object, text: str | None = None, given: Answers = NOTHING) -> Draft:
    """``text`` is how somebody has written the document, ``given`` the form that it was made of."""
    form = field(job_shape(), spec, given=given)
    told = json.dumps(spec, indent=2, ensure_ascii=False) if text is None else text
    needs = listed([*_needing(spec)])
    try:
        found = JobSpec.model_validate_json(json.dumps(spec), strict=True)
    except ValidationError as fault:
        error = malformed(fault.errors(include_url=False, include_context=False), spec)
        return Draft(form, told, tuple(_wrong(form, error)), None, needs_data=needs)
    try:
        plan = planned(service, found)
    except PithError as error:
        return Draft(form, told, tuple(_wrong(form, error)), None, needs_data=needs)
    wrong = [wrong for each in plan.problems for wrong in _wrong(form, PithError.of(each))]
    return Draft(form, told, tuple(_once(wrong, needs)), plan, needs_data=needs)


def unreadable(text: str, given: Answers, why: str) -> Draft:
    """The JSON beside the form is none; the form stays as it was."""
    says = f"The JSON cannot be read: {why}. The form is as it was before."
    return Draft(
        field(job_shape(), document(job_shape(), given), given=given), text, (Wrong(says),), None, readable=False
    )


def shortest(spec: JobSpec) -> Document:
    """As somebody would write it: without what is so by itself."""
    found: Document = document(job_shape(), dict(answers(field(job_shape(), spec.model_dump(mode="json")))))
    return found


def changed(spec: Document, act: str) -> Document:
    """What a button of the form does: ``add:PLACE:KIND``, ``remove:PLACE``, ``up:PLACE``, ``down:PLACE``,
    ``preset:NAME``. What makes no sense does nothing."""
    what, _, rest = act.partition(":")
    place, _, kind = rest.partition(":")
    spec = json.loads(json.dumps(spec))
    if what == "preset":
        return _preset(spec, rest)
    if what == "add":
        return _added(spec, place, kind)
    holder, _, last = place.rpartition("/")
    entries, index = _look(spec, holder), index_of(last)
    if isinstance(entries, list) and index is not None and index < len(entries):
        _moved(entries, index, what)
    return spec


def curl(base: str, text: str, tags: Sequence[str], keys: bool) -> str:
    query = "&".join(f"tag={quote(tag, safe='')}" for tag in tags)
    address = f"{base}v1/jobs{'?' if query else ''}{query}"
    key = ['  -H "Authorization: Bearer $PITH_API_KEY" \\'] if keys else []
    lines = [
        f"curl {shlex.quote(address)} \\",
        *key,
        "  -H 'Content-Type: application/json' \\",
        f"  -d {shlex.quote(text)}",
    ]
    return "\n".join(lines)


def python(base: str, spec: object, tags: Sequence[str]) -> str:
    """With the client; it takes the key from PITH_API_KEY only where it is told to."""
    literal = pformat(spec, width=88, sort_dicts=False)
    given = f", tags={list(tags)!r}" if tags else ""
    return (
        "import os\n\nfrom pith.client import Pith\nfrom pith.job import JobSpec\n\n"
        f"spec = {literal}\n\n"
        f'with Pith({base.rstrip("/")!r}, key=os.environ.get("PITH_API_KEY")) as pith:\n'
        f"    job = pith.jobs.submit(JobSpec.model_validate(spec){given})\n"
        "    print(pith.jobs.wait(job.id).verdict)\n"
        "    print(pith.jobs.report(job.id).headline)\n"
    )


def _wrong(form: Field, error: PithError) -> Iterator[Wrong]:
    places = tuple(error.problem.errors)
    if not places:
        yield Wrong(capitalised(plainly(error.problem.detail)))
    for each in places:
        if each.code in _OF_DATASET:
            yield Wrong(plainly(each.detail), form.child("dataset"), "dataset", missing=True)
        elif each.pointer == "/recipe" and not form.child("recipe").children:
            yield Wrong("there is none yet; take an aim, or add one", form.child("recipe"), "steps")
        else:
            yield Wrong(_without_place(plainly(each.detail)), _nearest(form, each.pointer), _where(form, each.pointer))


def _once(wrong: Sequence[Wrong], needs: str) -> Iterator[Wrong]:
    """A dataset that several things need is missing once."""
    missing = [each for each in wrong if each.missing]
    for each in wrong:
        if not each.missing or len(missing) == 1:
            yield each
        elif each is missing[0]:
            yield replace(each, says=f"needed by {needs}; pick one, or upload one first")


def _where(form: Field, pointer: str) -> str:
    """A place as people count: steps have their kind beside them, and what only groups other fields is left out."""
    words = place(pointer).removeprefix("constraints, ")
    index = index_of(pointer.split("/")[2]) if pointer.startswith("/recipe/") else None
    steps = form.child("recipe").children
    if index is None or index >= len(steps) or not steps[index].value:
        return words
    return words.replace(f"step {index + 1}", f"step {index + 1} ({steps[index].value})", 1)


def _without_place(says: str) -> str:
    """A sentence that begins with its step says no more than that."""
    return re.sub(r"^(?:step|augmentation) \d+ \([\w.]+\):? ", "", says)


def _needing(spec: object) -> Iterator[str]:
    """The steps that cannot do without a dataset, and a constraint that cannot be checked without one."""
    recipe = spec.get("recipe") if isinstance(spec, dict) else None
    for index, step in enumerate(recipe if isinstance(recipe, list) else ()):
        cls = step_classes().get(str(step.get("kind"))) if isinstance(step, dict) else None
        if cls is not None and _required(cls, step) & OF_DATA:
            yield f"step {index + 1}"
    limits = spec.get("constraints") if isinstance(spec, dict) else None
    if isinstance(limits, dict) and limits.get("max_metric_drop") is not None:
        yield "max metric drop"


def _required(cls: type[Step], step: Document) -> frozenset[Need]:
    try:
        return cls.model_validate(step).required()
    except ValidationError:
        return cls.needs


def _nearest(form: Field, pointer: str) -> Field | None:
    """The innermost field that the pointer leads to, or through."""
    inner = next((found for child in form.children if (found := _nearest(child, pointer)) is not None), None)
    if inner is not None and inner.name != form.name:
        return inner
    through = form.name and (pointer == form.name or pointer.startswith(f"{form.name}/"))
    return form if through else None


def _preset(spec: Document, name: str) -> Document:
    part: Mapping[str, Any] = next((each.part for each in PRESETS if each.name == name), {})
    kept: Document = {key: spec[key] for key in ("model", "dataset") if key in spec}
    rest = {key: value for key, value in spec.items() if key not in kept}
    return {**kept, **rest, **part}


def _added(spec: Document, place: str, kind: str) -> Document:
    holder, _, last = place.rpartition("/")
    parent = _look(spec, holder)
    shape = _shape_at(job_shape(), place.split("/")[1:], spec)
    if isinstance(parent, dict) and shape is not None and shape.items is not None:
        entries = parent.setdefault(last, [])
        if isinstance(entries, list):
            entries.append(_fresh(shape.items, kind))
    return spec


def _fresh(shape: Shape, kind: str) -> Any:
    """A new entry of a list."""
    if shape.widget == "group":
        return {}
    if shape.widget == "branch":
        return {"kind": kind if kind in shape.branches else next(iter(shape.branches))}
    return shape.choices[0] if shape.choices else None


def _shape_at(shape: Shape, steps: Sequence[str], value: Any) -> Shape | None:
    """The shape of a place; of what may have several, the one that is there."""
    if shape.widget == "branch":
        chosen = shape.branches.get(field(shape, value).value)
        return None if chosen is None else _shape_at(chosen, steps, value)
    if not steps:
        return shape
    if shape.items is not None:
        index = index_of(steps[0]) or 0
        inner = value[index] if isinstance(value, list) and index < len(value) else None
        return _shape_at(shape.items, steps[1:], inner)
    member = shape.properties.get(steps[0])
    inner = value.get(steps[0]) if isinstance(value, dict) else None
    return None if member is None else _shape_at(member.shape, steps[1:], inner)


def _look(spec: Document, place: str) -> Any:
    found: Any = spec
    for step in place.split("/")[1:]:
        if isinstance(found, list):
            index = index_of(step)
            found = found[index] if index is not None and index < len(found) else None
        else:
            found = found.get(step) if isinstance(found, dict) else None
    return found


def _moved(entries: list[Any], index: int, what: str) -> None:
    if what == "remove":
        del entries[index]
    to = index + {"up": -1, "down": 1}.get(what, 0)
    if to != index and 0 <= to < len(entries):
        entries[index], entries[to] = entries[to], entries[index]
