"""What pydantic found wrong with one field, as a sentence with the value and the way out. Knows what callers send: job
specs, architectures and schemas."""

import json
import re
from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher, get_close_matches
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pith.access import NewKey, NewProject, ProjectChange, Quotas
from pith.augmentation import Augmentation
from pith.dataset import DatasetSchema, Preprocessing
from pith.imports import DatasetImport, ModelImport
from pith.intake import Architecture
from pith.job import JobSpec
from pith.recipe import step_classes
from pith.students import STUDENTS, Narrower, Shallower

LONGEST = 300
NEAREST = 6
# Kinds share their family's name, so that any two of a family are alike.
_LIKE = 0.85
_NOUNS = {"mdl": "a model's", "dts": "a dataset's", "job": "a job's", "art": "an artifact's", "prj": "a project's"}
_PREFIXES = {
    "model": "mdl",
    "teacher": "mdl",
    "peers": "mdl",
    "base": "mdl",
    "dataset": "dts",
    "unlabelled": "dts",
    "old_dataset": "dts",
}
_OR_BASELINE = {"teacher", "peers", "base"}
_DOCUMENTS: dict[type[BaseModel], str] = {
    JobSpec: "a job spec",
    Architecture: "an architecture",
    NewKey: "a key",
    NewProject: "a project",
    ProjectChange: "a change of a project",
    Quotas: "quotas",
    DatasetSchema: "a schema",
    ModelImport: "a model's import",
    DatasetImport: "a dataset's import",
    Narrower: "a student of less width",
    Shallower: "a student of less depth",
}
_UPLOADED = {"mdl", "dts"}
_LISTED = {
    "mdl": "GET /v1/models lists them",
    "dts": "GET /v1/datasets lists them",
    "job": "GET /v1/jobs lists them",
    "art": "GET /v1/jobs/{id} lists a job's",
    "prj": "GET /v1/projects lists them",
}
_PREFIX = re.compile(r"pattern '\^(mdl|dts|job|art|prj)_")
_LENGTH = re.compile(r"at (least|most) (\d+) items? after validation, not (\w+)")
_PLAIN = {
    "missing": "is missing",
    "dict_type": "should be a JSON object",
    "model_type": "should be a JSON object",
    "model_attributes_type": "should be a JSON object",
}
_PATTERNS = {
    "name": "takes 1 to 255 characters, and may not contain / \\ or control characters",
    "sha256": "should be the 64 hexadecimal digits of a SHA-256",
    "ignore": "takes 1 to 255 characters, and no control characters",
}
_PREPROCESSING: dict[str, type[BaseModel]] = {
    cls.model_fields["kind"].default: cls for cls in get_args(get_args(Preprocessing)[0])
}
_AUGMENTATION: dict[str, type[BaseModel]] = {
    cls.model_fields["kind"].default: cls for cls in get_args(get_args(Augmentation)[0])
}
_ARCHITECTURE = "names a library and a network, such as timm/resnet18, torchvision/vgg11 or pith/resnet20"


def sentence(error: Mapping[str, Any], document: type[BaseModel] = JobSpec) -> str:
    """Without the field's name, which goes before it; at most LONGEST characters. ``document`` is what was sent."""
    return short(_special(error, document) or _general(error), LONGEST)


def short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _special(error: Mapping[str, Any], document: type[BaseModel]) -> str | None:
    match error["type"]:
        case "extra_forbidden":
            return _unknown_option(error, document)
        case "union_tag_invalid" | "union_tag_not_found":
            return _no_kind(error)
        case "string_pattern_mismatch" | "string_type" | "literal_error":
            return _no_id(error, document)
        case "too_short" | "too_long":
            return _length(error)
    return None


def _length(error: Mapping[str, Any]) -> str | None:
    """For a list with too few or too many entries."""
    found = _LENGTH.search(error["msg"])
    if found is None:
        return None
    bound, wanted, there = found.groups()
    return "is empty; name at least one" if there == "0" else f"takes at {bound} {wanted}, and has {there}"


def _no_kind(error: Mapping[str, Any]) -> str:
    """For a technique, a preprocessing or an augmentation."""
    kind = error["input"]["kind"] if error["type"] == "union_tag_invalid" else None
    noun, known = _kinds(error["loc"])
    listed = _techniques("" if kind is None else str(kind)) if noun == "technique" else ", ".join(known)
    if kind is None:
        return f"names no kind; {'techniques are' if noun == 'technique' else 'there are'}: {listed}"
    meant = _meant(str(kind).lower(), known, _LIKE)
    return f"{_shown(kind)} is no {noun};{meant} {'There' if meant else 'there'} are: {listed}"


def _kinds(loc: tuple[str | int, ...]) -> tuple[str, Iterable[str]]:
    if "preprocessing" in loc:
        return "kind of preprocessing", _PREPROCESSING
    return ("kind of augmentation", _AUGMENTATION) if "augmentation" in loc else ("technique", step_classes())


def _unknown_option(error: Mapping[str, Any], document: type[BaseModel]) -> str:
    name, owner = str(error["loc"][-1])[:100], _owner(error["loc"], document)
    known = [option for option in _fields(owner) if option != "kind"]
    meant = _meant(name, known)
    return f"is no option of {_named(owner, error['loc'])}{_value(error)};{meant} Options: {', '.join(known)}"


def _meant(name: str, known: Iterable[str], like: float = 0.6) -> str:
    close = get_close_matches(name[:100], list(known), n=1, cutoff=like)
    return f" did you mean {close[0]}?" if close else ""


def _owner(loc: Iterable[str | int], owner: type[BaseModel]) -> type[BaseModel]:
    """The class whose field the last step of ``loc`` was meant to be, from the class of the whole document on."""
    kinds: dict[str, type[BaseModel]] = {**step_classes(), **_PREPROCESSING, **_AUGMENTATION, **STUDENTS}
    for step in list(loc)[:-1]:
        if isinstance(step, str):
            field = _fields(owner).get(step)
            owner = kinds.get(step) or (field and _inner(field.annotation)) or owner
    return owner


def _fields(owner: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """By the names that a caller uses."""
    return {field.alias or name: field for name, field in owner.model_fields.items()}


def _inner(annotation: object) -> type[BaseModel] | None:
    candidates = (annotation, *get_args(annotation))
    return next((one for one in candidates if isinstance(one, type) and issubclass(one, BaseModel)), None)


def _named(owner: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    if "kind" in owner.model_fields:
        return str(owner.model_fields["kind"].default)
    return _DOCUMENTS.get(owner) or str(loc[-2] if len(loc) > 1 else "this")


def _techniques(kind: str) -> str:
    """Those that look most like ``kind``, and where all of them are told."""
    likeness = {known: SequenceMatcher(None, kind[:100], known).ratio() for known in step_classes()}
    nearest = sorted(likeness, key=likeness.__getitem__, reverse=True)[:NEAREST]
    return f"{', '.join(nearest)} and {len(likeness) - NEAREST} more, which GET /v1/techniques lists"


def _no_id(error: Mapping[str, Any], document: type[BaseModel]) -> str | None:
    """For an id that is none, whichever branch of the field's type it failed."""
    value, told = error.get("input"), _PREFIX.search(error["msg"])
    field = next((step for step in reversed(error["loc"]) if step in _PREFIXES), None) if document is JobSpec else None
    prefix = told[1] if told else _PREFIXES.get(str(field))
    if prefix is None:
        return None
    noun = _NOUNS[prefix].split()[1].removesuffix("'s")
    found = value[:3] if isinstance(value, str) and value[3:4] == "_" else ""
    if found in _NOUNS and found != prefix:
        return f"{_shown(value)} is {_NOUNS[found]} id; put {_NOUNS[prefix]} id here ({_LISTED[prefix]})"
    nor = " and not 'baseline'" if _OR_BASELINE.intersection(error["loc"]) else ""
    way_out = f"upload the {noun} first, POST or PUT /v1/{noun}s" if prefix in _UPLOADED else _LISTED[prefix]
    return f"{_shown(value)} is no {noun} id ({prefix}_ and 26 characters){nor}; {way_out}"


def _general(error: Mapping[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        rule = next((_PATTERNS[step] for step in reversed(error["loc"]) if step in _PATTERNS), None)
        rule = _ARCHITECTURE if "(timm|" in error["msg"] else rule
    else:
        rule = _PLAIN.get(error["type"])
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return f"{rule or short(message, LONGEST - 60)}{_value(error)}"


def _value(error: Mapping[str, Any]) -> str:
    value = error.get("input")
    return (
        f" (it is {_shown(value)})" if "input" in error and isinstance(value, str | int | float | bool | None) else ""
    )


def _shown(value: object) -> str:
    return short(json.dumps(value) if value is None or isinstance(value, bool) else repr(value), 50)
