"""What a lost worker leaves to the next one: the files of a job's last checkpoint. They go when the job has ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from pith.artifact import Digest
from pith.job import FINAL
from store import clock
from store.blobs import Blobs
from store.database import Database
from store.references import delete_unreferred
from store.tables import CheckpointRow, JobRow


@dataclass(frozen=True)
class Kept:
    """A file whose blob is stored already."""

    name: str
    digest: Digest
    size_bytes: int


def replace(session: Session, row: JobRow, files: Sequence[Kept]) -> set[Digest]:
    """In the place of the checkpoint before, whose digests are returned. What was lost until now counts no more."""
    gone = delete(CheckpointRow).where(CheckpointRow.job_id == row.id).returning(CheckpointRow.digest)
    before = set(session.scalars(gone))
    session.add_all(
        CheckpointRow(job_id=row.id, name=file.name, digest=file.digest, size_bytes=file.size_bytes) for file in files
    )
    row.checkpoint_at, row.losses = clock.now(session), 0
    return before - {file.digest for file in files}


def of_job(session: Session, id: str) -> Mapping[str, Digest]:
    """The files by name; none when there is no checkpoint."""
    query = select(CheckpointRow).where(CheckpointRow.job_id == id)
    return {row.name: row.digest for row in session.scalars(query)}


def release(db: Database, blobs: Blobs, limit: int = 100) -> int:
    """Delete the checkpoints of jobs that have ended; how many files there were."""
    with db.session() as session:
        ended = select(JobRow.id).where(JobRow.status.in_(FINAL), JobRow.checkpoint_at.is_not(None)).limit(limit)
        jobs = session.scalars(ended.with_for_update(skip_locked=True)).all()
        gone = delete(CheckpointRow).where(CheckpointRow.job_id.in_(jobs)).returning(CheckpointRow.digest)
        digests = session.scalars(gone).all()
        for job in jobs:
            session.get_one(JobRow, job).checkpoint_at = None
    return sum(delete_unreferred(db, blobs, digest) for digest in digests)
