"""Which columns are inputs, which one is the label and which names the split; and what the task is.

What the schema declares holds; what it leaves open is read off the columns and said in the notes.
"""

from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from engine.data.refusals import mismatch, schema_mismatch, shown
from engine.data.source import Source, split_named
from engine.data.survey import Column
from pith.dataset import DatasetSchema
from pith.kinds import split_way_out
from pith.task import LossName, Task

LabelKind = Literal["classes", "numbers", "tensor"]
_LABELS = ("label", "labels", "target", "targets", "class", "category", "cls", "y", "fine_label", "coarse_label")
_MEDIA: dict[str, Task] = {
    "image": "image-classification",
    "audio": "audio-classification",
    "text": "text-classification",
}
_MOST_CLASSES_OF_NUMBERS = 1000


@dataclass
class Roles:
    """``inputs`` maps a column's name to its kind: tensor, image, audio, text, numeric or categorical."""

    inputs: dict[str, str]
    label: str | None = None
    label_kind: LabelKind = "classes"
    split: str | None = None
    task: Task | None = None
    loss: LossName | None = None
    notes: list[str] = field(default_factory=list)


def roles(columns: dict[str, Column], source: Source, declared: DatasetSchema) -> Roles:
    """
    Raises:
        PithError: ``dataset_schema_mismatch`` or ``dataset_mismatch``.
    """
    _check_declared(columns, declared)
    label = declared.label or source.label or _label(columns)
    label = label if label is not None and label in columns and columns[label].values else None
    split = declared.split or _split(columns)
    rest = {name: column for name, column in columns.items() if name not in (label, split)}
    found = Roles(_inputs(rest, source, declared), label, split=split)
    found.label_kind = _label_kind(columns[label], source, declared) if label else "classes"
    found.task, found.loss = _task(found, declared), declared.loss
    _note(found, rest, source, declared)
    return found


def _check_declared(columns: dict[str, Column], declared: DatasetSchema) -> None:
    named = {"label": declared.label, "split": declared.split}
    named |= {f"inputs[{index}]": name for index, name in enumerate(declared.inputs)}
    named |= {f"columns[{name!r}]": name for name in declared.columns}
    for place, name in named.items():
        if name is not None and name not in columns:
            there = ", ".join(list(columns)[:20])
            raise schema_mismatch(place, name, "there is no such column", f"name one of {there}")
    if declared.loss and declared.task not in (None, "generic", "embedding", "tabular-regression"):
        raise schema_mismatch("loss", declared.loss, f"the task is {declared.task}", "leave one of them out")


def _label(columns: dict[str, Column]) -> str | None:
    lower = {name.lower(): name for name in reversed(columns)}
    return next((lower[name] for name in _LABELS if name in lower), None)


def _split(columns: dict[str, Column]) -> str | None:
    for name, column in columns.items():
        known = column.distinct is not None and column.distinct.keys()
        if name.lower() == "split" and known and all(split_named(value) for value in known):
            return name
    return None


def _inputs(columns: dict[str, Column], source: Source, declared: DatasetSchema) -> dict[str, str]:
    kinds = {name: _kind(column, source, declared) for name, column in columns.items()}
    wanted = list(declared.inputs) or [name for name in columns if declared.columns.get(name) != "ignore"]
    if missing := next((name for name in declared.inputs if name not in columns), None):
        raise schema_mismatch("inputs", missing, "that column is the label or the split", "leave it out")
    family = _family([kinds[name] for name in wanted], declared)
    chosen = {name: kinds[name] for name in wanted if _belongs(kinds[name], family)}
    if declared.inputs and len(chosen) < len(wanted):
        other = next(name for name in wanted if name not in chosen)
        raise schema_mismatch(
            "inputs", other, f"that column is {kinds[other]} and others are {family}", "name columns of one kind"
        )
    if not chosen:
        there = ", ".join(f"{name} ({kinds[name]})" for name in list(kinds)[:10])
        raise mismatch("the dataset", f"has no input among its columns: {there or 'none'}", "name them in inputs")
    if family == "text":
        return _texts(chosen, declared)
    return {name: "categorical" if kind == "text" else kind for name, kind in chosen.items()}


def _texts(chosen: dict[str, str], declared: DatasetSchema) -> dict[str, str]:
    """One text, or two that go in together. Short texts count only where there are no longer ones."""
    longer = [name for name, kind in chosen.items() if kind == "text" or declared.inputs]
    found = dict.fromkeys(longer or chosen, "text")
    if len(found) > 2:
        raise mismatch(
            "the dataset", f"has {len(found)} columns of text ({', '.join(found)})", "name one or two in inputs"
        )
    return found


def _kind(column: Column, source: Source, declared: DatasetSchema) -> str:
    if column.name in source.shapes:
        return "tensor"
    told = declared.columns.get(column.name)
    if told in ("numeric", "categorical"):
        if told == "numeric" and (not column.numeric or column.type == pa.binary()):
            example = next((value for value in column.distinct or () if not _is_number(value)), "text")
            raise schema_mismatch(
                f"columns[{column.name!r}]", told, f"it holds {shown(example)}", "call it categorical, or mend it"
            )
        return told
    return column.kind or "empty"


def _family(kinds: list[str], declared: DatasetSchema) -> str:
    """What the inputs are; a table when nothing else is there, or when the task says so."""
    task = declared.task or ""
    if task.startswith("tabular"):
        return "table" if set(kinds) & {"numeric", "categorical", "text"} else "tensor"
    for family in ("tensor", "image", "audio"):
        if family in kinds:
            return family
    texts = sum(kind == "text" for kind in kinds)
    if task.startswith(("text", "embedding")) or (texts and texts <= 2 and len(kinds) - texts <= 2):
        return "text"
    return "table"


def _belongs(kind: str, family: str) -> bool:
    if family == "table":
        return kind in ("numeric", "categorical", "text")
    return kind == family or (family == "text" and kind == "categorical")


def _label_kind(column: Column, source: Source, declared: DatasetSchema) -> LabelKind:
    """Class numbers or names, or numbers that a model is to give."""
    if source.shapes.get(column.name):
        return "tensor"
    if pa.types.is_binary(column.type):
        raise mismatch(f"column {column.name!r}", "is the label and holds bytes", "name another one in label")
    generic = declared.task in ("generic", "embedding") and declared.loss not in (None, "cross_entropy")
    if declared.task == "tabular-regression" or generic or declared.task == "embedding":
        return _numbers(column)
    if declared.task is not None or declared.classes or column.name in source.classes or not column.numeric:
        return "classes"
    if source.format == "npz":
        return "classes" if column.type == pa.int64() else "numbers"
    few = column.distinct is not None and len(column.distinct) <= min(
        _MOST_CLASSES_OF_NUMBERS, 20 + column.values // 50
    )
    return "classes" if column.integer and few else _numbers(column)


def _numbers(column: Column) -> LabelKind:
    if not column.numeric:
        example = next(iter(column.distinct or ("text",)))
        raise mismatch(
            f"column {column.name!r}",
            f"is the target and holds {shown(example)}",
            "give numbers, or declare a task of classification",
        )
    return "numbers"


def _task(found: Roles, declared: DatasetSchema) -> Task | None:
    """Class numbers beside plain tensors stay without a name: any classifier may take them."""
    kinds = set(found.inputs.values())
    if declared.task:
        _check_task(declared.task, kinds)
        return declared.task
    for kind, task in _MEDIA.items():
        if kind in kinds and found.label_kind == "classes":
            return task
    if found.label is None:
        return None
    if found.label_kind != "classes":
        return "generic" if declared.loss else "tabular-regression"
    return None if kinds == {"tensor"} else "tabular-classification"


def _check_task(task: Task, kinds: set[str]) -> None:
    wanted = {"image-classification": "image", "audio-classification": "audio", "text-classification": "text"}.get(task)
    if wanted and kinds != {wanted} and kinds != {"tensor"}:
        raise schema_mismatch("task", task, f"the inputs are {', '.join(sorted(kinds))}", f"send {wanted} or tensors")


def _note(found: Roles, rest: dict[str, Column], source: Source, declared: DatasetSchema) -> None:
    if found.label is None:
        found.notes.append(f"unlabelled: {_unlabelled(source)}.")
    elif declared.label is None and found.label not in ("label", "y"):
        found.notes.append(f"the label is the column {found.label!r}.")
    left = [name for name in rest if name not in found.inputs and declared.columns.get(name) != "ignore"]
    if left:
        names = ", ".join(repr(name) for name in left[:10]) + (", …" if len(left) > 10 else "")
        found.notes.append(f"not used as inputs: {names}.")


def _unlabelled(source: Source) -> str:
    """Why there are no labels, and the way out; the schema cannot name those of arrays or of pictures in folders."""
    if source.format in ("npz", "folders"):
        missing = "there is no array of labels" if source.format == "npz" else "no folder names a class"
        return f"{missing}; if there are labels, {split_way_out(source.format, there=True)}"
    return "no column is called label, target, class or y; name it in label if there is one"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
