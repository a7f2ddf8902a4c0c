"""The check of an upload: the intake job and the model or dataset that it looks at move in one transaction.

Rows are locked in one order: the intake job, then the resource, then the jobs that wait for it. A resource that is
gone, or that another check looks at by now, is left alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, or_, select, update
from sqlalchemy.orm import Session

from pith.artifact import Digest
from pith.errors import PithError
from pith.intake import IntakeSpec
from store.clean import clean_problem
from store.tables import DatasetRow, JobInputRow, JobRow, ModelRow, PartRow
from store.transitions import begin, move

_WORDS = {"mdl": "model", "dts": "dataset"}
_TABLES: Mapping[str, type[ModelRow] | type[DatasetRow]] = {"mdl": ModelRow, "dts": DatasetRow}


@dataclass(frozen=True)
class NewPart:
    """A canonical file whose blob is stored already."""

    name: str
    digest: Digest
    size_bytes: int


@dataclass(frozen=True)
class Learnt:
    """What a check has found: facts as JSON, their long part, and the canonical files."""

    facts: dict[str, Any]
    details: dict[str, Any]
    parts: tuple[NewPart, ...]


def queue_check(session: Session, resource: str, project: str) -> JobRow:
    """An intake job for a resource that the caller makes, or has locked."""
    return begin(session, "intake", IntakeSpec(check=resource), {resource}, project)


def accept(session: Session, job: JobRow, learnt: Learnt) -> None:
    """The intake job has succeeded: what it looked at is ready, and the jobs that waited for it may be sent."""
    resource = job.spec["check"]
    if _write(session, job, status="ready", error=None, facts=learnt.facts, details=learnt.details):
        session.execute(delete(PartRow).where(PartRow.resource_id == resource))
        session.add_all(
            PartRow(resource_id=resource, name=part.name, digest=part.digest, size_bytes=part.size_bytes)
            for part in learnt.parts
        )


def reject(session: Session, job: JobRow) -> None:
    """The intake job has failed or was cancelled: so is what it looked at, and the jobs that waited for it fail."""
    resource = job.spec["check"]
    what = _WORDS[resource[:3]]
    problem = job.error or clean_problem(
        PithError("check_cancelled", what=what, id=resource, listing=f"/v1/{what}s").problem
    )
    if _write(session, job, status="rejected", error=problem, facts=None, details=None):
        _fail_waiting(session, resource, rejected(resource, problem))


def rejected(resource: str, problem: Mapping[str, Any]) -> PithError:
    """What a job hears that names a rejected input."""
    return PithError("input_rejected", what=_WORDS[resource[:3]], id=resource, reason=problem["detail"])


def ready() -> ColumnElement[bool]:
    """Of a job's row: nothing that it names is still to be checked."""
    waits = (
        exists()
        .where(JobInputRow.job_id == JobRow.id, JobInputRow.resource_id == table.id, table.status != "ready")
        .correlate(JobRow)
        for table in (ModelRow, DatasetRow)
    )
    return or_(JobRow.kind == "intake", ~or_(*waits))


def _write(session: Session, job: JobRow, **values: Any) -> bool:
    table = _TABLES[job.spec["check"][:3]]
    statement = (
        update(table)
        .where(table.id == job.spec["check"], table.check_id == job.id)
        .values(**values)
        .returning(table.id)
        .execution_options(synchronize_session=False)
    )
    return session.scalar(statement) is not None


def _fail_waiting(session: Session, resource: str, error: PithError) -> None:
    failure = clean_problem(error.problem)
    query = (
        select(JobRow.id)
        .join(JobInputRow, JobInputRow.job_id == JobRow.id)
        .where(
            JobInputRow.resource_id == resource,
            JobRow.status.in_(("queued", "paused")),
            JobRow.kind == "compression",
        )
        .order_by(JobRow.id)
        .with_for_update(of=JobRow)
    )
    for id in session.scalars(query).all():
        message = failure["detail"][:2000]
        move(
            session,
            id,
            "failed",
            "failed",
            sources={"queued", "paused"},
            message=message,
            data={"code": failure["code"]},
            error=failure,
        )
