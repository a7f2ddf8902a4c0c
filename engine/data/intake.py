"""The check of an uploaded dataset: what it is, whether it is sound, and its canonical form.

Everything is read a batch at a time; only labels, and names of splits, are ever held whole.
"""

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa

from engine.data import archive_source, from_npz, tables
from engine.data.arrow_types import dtype_name
from engine.data.canonical import Canonical
from engine.data.derive import derive
from engine.data.fit import check_family, family, fit
from engine.data.formats import file_kind
from engine.data.gather import Gathered, gather
from engine.data.labels import Labels, read_labels
from engine.data.preview import preview
from engine.data.refusals import shown_text
from engine.data.roles import Roles, roles
from engine.data.source import FILE, SPLITS, Source
from engine.data.split import Fitted
from engine.data.splits import Assigned, assign
from engine.data.survey import survey
from engine.data.write import Media, canonical_schema, write
from engine.jobdir import JobDir
from pith.dataset import ColumnFacts, DatasetFacts, DatasetSchema, Preprocessing, SplitFacts, TextPreprocessing
from pith.intake import LearntDataset, PartName

PARTS: tuple[PartName, ...] = ("dataset.arrow", "dataset.json")
_COUNTED = 1000


def check_dataset(upload: Path, file_name: str, declared: DatasetSchema | None, folder: JobDir) -> LearntDataset:
    """Writes ``out/dataset.arrow`` and ``out/dataset.json``, and says what was learnt.

    Raises:
        PithError: any ``dataset_…`` or ``archive_…`` code.
    """
    declared = declared or DatasetSchema()
    scratch = folder.scratch / "dataset"
    scratch.mkdir(parents=True)
    try:
        source = _source(upload, shown_text(file_name, 80), scratch)
        gathered = gather(source, scratch / "rows.arrow", upload.stat().st_size)
        canonical = _accept(gathered, source, declared, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    folder.part("dataset.json").write_text(canonical.facts.model_dump_json())
    return LearntDataset(facts=canonical.facts, preview=preview(canonical), parts=PARTS)


def stage_dataset(upload: Path, file_name: str, declared: DatasetSchema | None, folder: JobDir) -> LearntDataset:
    """For an engine without a service: the check of an upload, and its canonical form where a job in ``folder`` looks.

    Raises:
        PithError: as ``check_dataset``.
    """
    desk = JobDir(folder.root / "intake")
    desk.scratch.mkdir(parents=True)
    learnt = check_dataset(upload, file_name, declared, desk)
    for name in learnt.parts:
        desk.part(name).replace(folder.input(name))
    shutil.rmtree(desk.root)
    return learnt


def _source(upload: Path, name: str, scratch: Path) -> Source:
    kind = file_kind(upload, name)
    if kind == "npz":
        return from_npz.read(upload)
    if kind == "archive":
        return archive_source.read(upload, scratch)
    return tables.read([tables.Table(upload, name, kind)], "table")


def _accept(gathered: Gathered, source: Source, declared: DatasetSchema, folder: JobDir) -> Canonical:
    tensors = frozenset(name for name, shape in source.shapes.items() if shape or name != source.label)
    columns = survey(gathered, tensors)
    columns.pop(FILE, None)
    found = roles(columns, source, declared)
    labels = read_labels(gathered, found, source, declared)
    assigned = assign(gathered, labels, found, declared)
    arrow, schema = folder.part("dataset.arrow"), canonical_schema(gathered, found)
    media = write(gathered, found, labels, assigned.codes, schema, arrow)
    notes = [*source.notes, *found.notes, *assigned.notes]
    if media.empty_texts:
        notes.append(f"{media.empty_texts} texts are empty.")
    facts = DatasetFacts(
        format=source.format,
        task=found.task,
        loss=found.loss,
        samples=gathered.rows,
        splits=_splits(labels, assigned),
        classes=labels.classes,
        columns=_columns(schema, found, source),
        preprocessing=declared.preprocessing,
        preprocessing_declared=declared.preprocessing is not None,
        notes=tuple(notes),
    )
    return _with_shape(Canonical(arrow, facts), media)


def _splits(labels: Labels, assigned: Assigned) -> tuple[SplitFacts, ...]:
    found = []
    for code, name in enumerate(SPLITS):
        rows = assigned.codes == code
        if not rows.any():
            continue
        labelled = bool(labels.present[rows].any())
        counts: dict[str, int] = {}
        if labelled and labels.classes and labels.values is not None and len(labels.classes) <= _COUNTED:
            numbers = np.bincount(labels.values[rows], minlength=len(labels.classes))
            counts = dict(zip(labels.classes, numbers.tolist(), strict=True))
        made = name in assigned.made
        found.append(SplitFacts(name=name, samples=int(rows.sum()), labelled=labelled, classes=counts, made=made))
    return tuple(found)


def _columns(schema: pa.Schema, found: Roles, source: Source) -> tuple[ColumnFacts, ...]:
    kinds = {"classes": "categorical", "numbers": "numeric", "tensor": "tensor"}
    roles = {name: ("input", kind) for name, kind in found.inputs.items()}
    if found.label is not None:
        roles[found.label] = ("label", kinds[found.label_kind])
    return tuple(
        ColumnFacts.model_validate(
            {
                "name": name,
                "role": role,
                "type": kind,
                "dtype": dtype_name(schema.field(name).type),
                "shape": source.shapes.get(name) if kind == "tensor" else None,
            }
        )
        for name, (role, kind) in roles.items()
    )


def _with_shape(canonical: Canonical, media: Media) -> Canonical:
    """With the preprocessing that jobs will use unless told otherwise, and what it makes of a sample."""
    how = canonical.facts.preprocessing or derive(canonical, media)
    if how is None:
        inputs = canonical.inputs()
        return _updated(canonical, input_shape=inputs[0].shape if len(inputs) == 1 else None)
    check_family(canonical, how)
    if isinstance(how, TextPreprocessing) and how.tokenizer == "model":
        return _updated(canonical, preprocessing=how, input_shape=(how.length,))
    fitted = fit(canonical, how, None)
    shape = fitted.facts.input_shape if family(canonical) != "tensor" else None
    notes = (*canonical.facts.notes, *_advice(how, fitted))
    return _updated(canonical, preprocessing=how, input_shape=shape, vocabulary=fitted.facts.vocabulary, notes=notes)


def _advice(how: Preprocessing, fitted: Fitted) -> tuple[str, ...]:
    """What a model that is made for this data has to be told."""
    shape = fitted.facts.input_shape
    if how.kind == "tabular":
        return (f"a row becomes {shape[0]} numbers: in_features={shape[0]} for a model made for it.",)
    if how.kind == "text":
        size = fitted.facts.vocabulary
        return (f"a text becomes {shape[0]} tokens of {size}: vocab_size={size} for a model made for it.",)
    if how.kind == "audio":
        return (f"a sound becomes a tensor of the shape {list(shape)}.",)
    return ()


def _updated(canonical: Canonical, **changes: object) -> Canonical:
    facts = DatasetFacts.model_validate({**canonical.facts.model_dump(), **changes})
    return Canonical(canonical.path, facts)
