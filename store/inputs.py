"""What a job works on: its models and datasets in canonical form, or the upload that an intake looks at."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from pydantic import TypeAdapter
from sqlalchemy import select
from sqlalchemy.orm import Session

from pith.artifact import Digest
from pith.asked import Asked
from pith.dataset import DatasetFacts, DatasetSchema, Preprocessing
from pith.facts import ModelFacts
from pith.ids import DatasetId, ModelId
from pith.intake import Architecture, IntakeSpec, PartName
from pith.job import JobSpec
from store.checks import rejected
from store.imports import Wanted, still_wanted
from store.resources import DATASET, MODEL, Row, find
from store.tables import PartRow

_PREPROCESSING: TypeAdapter[Preprocessing | None] = TypeAdapter(Preprocessing | None)


@dataclass(frozen=True)
class Input:
    """One model or dataset: what it is known by, and where the bytes of its canonical form are.

    ``digest`` and ``size_bytes`` are those of the upload; a model that came without a file has no size, and the digest
    of its canonical form.
    """

    digest: Digest
    parts: Mapping[PartName, Digest]
    size_bytes: int | None = None


@dataclass(frozen=True)
class Inputs:
    """What a compression job works on; ``others`` are the models and datasets that steps name. ``asked`` is what its
    plan is made of."""

    asked: Asked
    model: Input
    dataset: Input | None
    others: Mapping[ModelId | DatasetId, Input]
    model_preprocessing: Preprocessing | None = None


@dataclass(frozen=True)
class Upload:
    """What an intake looks at. ``digest`` is None for an architecture without a file, and for what is ``wanted``."""

    resource: Literal["model", "dataset"]
    file_name: str
    digest: Digest | None
    architecture: Architecture | None
    declared: DatasetSchema | None
    wanted: Wanted | None = None


def named(session: Session, spec: JobSpec, project: str | None = None) -> Mapping[str, Row]:
    """The rows that the spec names, by id, of that project or of any, kept from being deleted or checked anew while the
    transaction lasts.

    Raises:
        PithError: ``not_found``.
    """
    datasets = [] if spec.dataset is None else [spec.dataset]
    rows: dict[str, Row] = {}
    rows |= {id: find(session, MODEL, id, "keep", project=project) for id in sorted({spec.model, *spec.models()})}
    rows |= {id: find(session, DATASET, id, "keep", project=project) for id in sorted({*datasets, *spec.datasets()})}
    return rows


def waiting(rows: Mapping[str, Row]) -> tuple[str, ...]:
    """Those of the rows that are still being checked.

    Raises:
        PithError: ``input_rejected``.
    """
    for id, row in rows.items():
        if row.status == "rejected":
            raise rejected(id, row.error or {"detail": "it could not be used."})
    return tuple(id for id, row in rows.items() if row.status == "checking")


def of_job(session: Session, spec: JobSpec | IntakeSpec) -> Inputs | Upload:
    """For a worker that has claimed the job. Raises PithError ``not_found``."""
    if isinstance(spec, IntakeSpec):
        return _upload(session, spec.check)
    rows = named(session, spec)
    found = {
        id: Input(_known_by(row, parts), parts, row.size_bytes if row.digest else None)
        for id, row, parts in _with_parts(session, rows)
    }
    return Inputs(
        asked=_asked(spec, rows),
        model=found[spec.model],
        dataset=None if spec.dataset is None else found[spec.dataset],
        others={id: found[id] for id in (*spec.models(), *spec.datasets())},
        model_preprocessing=_PREPROCESSING.validate_python((rows[spec.model].facts or {}).get("preprocessing")),
    )


def _asked(spec: JobSpec, rows: Mapping[str, Row]) -> Asked:
    """The spec beside the facts of all that it names."""
    known = {id: row for id, row in rows.items() if row.facts}
    models = {
        id: ModelFacts.model_validate({**(row.facts or {}), **(row.details or {})})
        for id, row in known.items()
        if id.startswith("mdl_")
    }
    datasets = {id: DatasetFacts.model_validate(row.facts) for id, row in known.items() if id.startswith("dts_")}
    return Asked(
        spec,
        models.get(spec.model),
        None if spec.dataset is None else datasets.get(spec.dataset),
        {id: models[id] for id in spec.models() if id in models},
        {id: datasets[id] for id in spec.datasets() if id in datasets},
    )


def _upload(session: Session, id: str) -> Upload:
    if id.startswith("mdl_"):
        row = find(session, MODEL, id, lock="keep")
        given = None if row.declared is None else Architecture.model_validate(row.declared)
        return Upload("model", row.name, row.digest, given, None, still_wanted(row))
    row = find(session, DATASET, id, lock="keep")
    schema = None if row.declared is None else DatasetSchema.model_validate(row.declared)
    return Upload("dataset", row.name, row.digest, None, schema, still_wanted(row))


def _with_parts(session: Session, rows: Mapping[str, Row]) -> tuple[tuple[str, Row, Mapping[PartName, Digest]], ...]:
    parts: dict[str, dict[PartName, Digest]] = {id: {} for id in rows}
    for part in session.scalars(select(PartRow).where(PartRow.resource_id.in_(rows))):
        parts[part.resource_id][cast(PartName, part.name)] = part.digest
    return tuple((id, row, parts[id]) for id, row in rows.items())


def _known_by(row: Row, parts: Mapping[PartName, Digest]) -> Digest:
    return row.digest or parts.get("model.pt2") or parts["model.onnx"]
