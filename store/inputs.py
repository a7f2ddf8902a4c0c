"""What a job names: its model, its dataset and its teachers. They cannot be deleted until it has ended."""

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy.orm import Session

from pith.artifact import Digest
from pith.ids import ModelId
from pith.job import JobSpec
from store.resources import DATASET, MODEL, find
from store.tables import JobInputRow


@dataclass(frozen=True)
class Inputs:
    """Where the bytes of a job's inputs are."""

    model: Digest
    dataset: Digest | None
    teachers: Mapping[ModelId, Digest]


def resolve(session: Session, spec: JobSpec) -> Inputs:
    """Find what the spec names, and keep it from being deleted while the transaction lasts.

    Raises:
        PithError: ``not_found``.
    """
    return Inputs(
        model=find(session, MODEL, spec.model, lock="keep").digest,
        dataset=None if spec.dataset is None else find(session, DATASET, spec.dataset, lock="keep").digest,
        teachers={teacher: find(session, MODEL, teacher, lock="keep").digest for teacher in spec.teachers()},
    )


def remember(session: Session, job: str, spec: JobSpec) -> None:
    named = {spec.model, spec.dataset, *spec.teachers()} - {None}
    session.add_all(JobInputRow(job_id=job, resource_id=id) for id in named)
