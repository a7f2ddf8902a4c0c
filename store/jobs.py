"""Jobs: from what is asked to how it ended. The database is the only truth about a job.

What a caller does is here; ``store.attempts`` is what a worker does, ``store.waiting`` what the scheduler does.
"""

from collections.abc import Callable, Mapping, Sequence

from sqlalchemy import exists, select
from sqlalchemy.orm import Session

from pith.access import DEFAULT_PROJECT
from pith.artifact import Artifact, Digest
from pith.errors import PithError
from pith.ids import new_id
from pith.job import FINAL, Event, Job, JobKind, JobSpec, JobStatus
from pith.resources import Page
from pith.tags import JobChange
from store import (
    checkpoints,
    deletions,
    endings,
    history,
    idempotency,
    inputs,
    job_view,
    lineage,
    listing,
    quotas,
    tags,
    webhooks,
)
from store.attempts import Attempts
from store.blobs import Blobs
from store.idempotency import Key
from store.job_base import kept_progress
from store.references import delete_unreferred
from store.resources import unconditional
from store.tables import ArtifactRow, JobInputRow, JobRow
from store.transitions import begin, move
from store.waiting import Waiting

Check = Callable[[Job], None]


class Jobs(Attempts, Waiting):
    """From all three sides; ``JobBase`` says what it is made of."""

    def submit(
        self, spec: JobSpec, key: Key | None = None, origin: lineage.Origin | None = None, tagged: Sequence[str] = ()
    ) -> Job:
        """Queue a job; or give back the one that was queued under this key before. ``origin`` is the job that it comes
        from.

        ``store.dispatch.dispatch`` sends it; the scheduler does if that fails. While something that it names is still
        being checked the job waits; it fails when that is rejected.

        Raises:
            PithError: ``not_found``, ``input_rejected``, ``idempotency_key_reused``, ``quota_exceeded``,
                ``step_not_kept``, and what ``JobSpec.check`` raises.
        """
        spec.check()
        project = self._project or DEFAULT_PROJECT
        with self._db.session() as session:
            id = new_id("job")
            before = None if key is None else idempotency.taken(session, project, key, id)
            if before is not None:
                return job_view.single(session, self._find(session, before))
            webhooks.refuse_unknown(session, spec.webhooks, project)
            if origin is not None:
                self._find(session, origin.job, lock=True)
            rows = inputs.named(session, spec, self._project)
            unchecked = inputs.waiting(rows)
            why = f"Waits for the check of {', '.join(unchecked)}." if unchecked else ""
            row = begin(session, "compression", spec, rows.keys(), project, why, id)
            if origin is not None:
                lineage.attach(session, row, origin)
            if origin is not None and origin.from_step is not None and spec.keep_steps:
                quotas.check_storage(session, project)
            tags.write(session, id, tagged)
            quotas.check_jobs(session, project)
            return job_view.single(session, row)

    def submitted(self, key: Key) -> Job | None:
        """The job that was queued under this key. Raises PithError ``idempotency_key_reused``."""
        with self._db.reader() as session:
            id = idempotency.found(session, self._project or DEFAULT_PROJECT, key)
            return None if id is None else job_view.single(session, self._find(session, id))

    def get(self, id: str) -> Job:
        """Raises PithError ``not_found``."""
        with self._db.reader() as session:
            return job_view.single(session, self._find(session, id))

    def list(
        self,
        limit: int = 50,
        cursor: str | None = None,
        status: JobStatus | None = None,
        kind: JobKind | None = "compression",
        naming: Sequence[str] = (),
        tagged: Sequence[str] = (),
    ) -> Page[Job]:
        """Newest first, at most 200; of every kind for None, or only those that name these models and datasets, or have
        all of these tags.

        Raises:
            PithError: ``bad_cursor``.
        """
        wanted = ((JobRow.status, status), (JobRow.kind, kind))
        query = select(JobRow).where(*(column == value for column, value in wanted if value is not None))
        if self._project is not None:
            query = query.where(JobRow.project == self._project)
        for id in naming:
            query = query.where(exists().where(JobInputRow.job_id == JobRow.id, JobInputRow.resource_id == id))
        query = query.where(*tags.all_of(JobRow.id, tagged))
        with self._db.reader() as session:
            query = listing.page_of(query, JobRow.id, "job", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=job_view.contracts(session, rows), next_cursor=after)

    def cancel(self, id: str) -> Job:
        """A job that waits is cancelled at once, a running one when its worker has stopped it.

        Raises:
            PithError: ``not_found``; ``job_ended`` when it has succeeded or failed.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            if row.status != "cancelled":
                _refuse_ended(row)
            endings.cancel(session, row)
            return job_view.contract(session, row)

    def pause(self, id: str) -> Job:
        """A queued job is set aside at once, a running one when its worker has kept a checkpoint. Twice does no harm.

        Raises:
            PithError: ``not_found``; ``job_ended``; ``not_pausable`` when it is being cancelled, or a check.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            _refuse_ended(row)
            if row.kind == "intake" or row.status == "cancelling":
                why = "it is being cancelled" if row.status == "cancelling" else "it is the check of an upload"
                raise PithError("not_pausable", id=id, reason=why)
            if row.status == "queued":
                move(session, id, "paused", "paused", sources={"queued"})
            elif row.status == "running":
                move(session, id, "pausing", "pausing", sources={"running"})
            return job_view.contract(session, row)

    def resume(self, id: str) -> Job:
        """Queue a paused job again; it goes on from its checkpoint. ``store.dispatch.dispatch`` sends it.

        Raises:
            PithError: ``not_found``; ``not_paused``.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            if row.status != "paused":
                raise PithError("not_paused", id=id, status=row.status)
            move(session, id, "queued", "resumed", sources={"paused"}, **kept_progress(row))
            return job_view.contract(session, row)

    def events(self, id: str, after: int = 0, limit: int = 500) -> tuple[Event, ...]:
        """Events whose number is larger than ``after``, in order, at most 1000. Raises PithError ``not_found``."""
        with self._db.reader() as session:
            self._find(session, id)
            return history.read(session, id, after, limit)

    def news(self, places: Mapping[str, int], limit: int = 500) -> dict[str, tuple[Event, ...]]:
        """Events after the number of each of these jobs, of those that have any; what is deleted has none."""
        with self._db.reader() as session:
            return history.news(session, places, limit)

    def that_made(self, digest: Digest, limit: int = 20) -> tuple[Job, ...]:
        """Those of whose artifacts one has these bytes, newest first."""
        made = exists().where(ArtifactRow.job_id == JobRow.id, ArtifactRow.digest == digest)
        query = select(JobRow).where(made).order_by(JobRow.id.desc()).limit(limit)
        if self._project is not None:
            query = query.where(JobRow.project == self._project)
        with self._db.reader() as session:
            return job_view.contracts(session, session.scalars(query).all())

    def artifacts(self, id: str) -> tuple[Artifact, ...]:
        """Raises PithError ``not_found``."""
        return self.get(id).artifacts

    def artifact(self, id: str, name: str) -> Artifact:
        """Raises PithError ``not_found``, for the job or for the artifact."""
        for artifact in self.artifacts(id):
            if artifact.name == name:
                return artifact
        raise PithError("not_found", what="artifact", id=name[:64], listing=f"/v1/jobs/{id}/artifacts")

    def change(self, id: str, change: JobChange, check: Check = unconditional) -> Job:
        """Raises PithError ``not_found``, and what ``check`` raises for the job as it is."""
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            check(job_view.single(session, row))
            if change.tags is not None:
                tags.write(session, id, change.tags)
            return job_view.single(session, row)

    def delete(self, id: str, blobs: Blobs, why: str = deletions.ASKED, check: Check = unconditional) -> None:
        """A job that has ended, with its events and artifacts; bytes that something else has too stay. ``check`` may
        refuse, for the job as it is.

        Raises:
            PithError: ``not_found``, ``gone``, ``job_not_ended``.
        """
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            check(job_view.single(session, row))
            if row.status not in FINAL:
                raise PithError("job_not_ended", id=id, status=row.status)
            kept = select(ArtifactRow.digest).where(ArtifactRow.job_id == id)
            digests = {*session.scalars(kept), *checkpoints.of_job(session, id).values()}
            digests |= lineage.digests(session, id)
            tags.remove(session, id)
            session.delete(row)
            deletions.record(session, row.project, id, why)
        for digest in digests:
            delete_unreferred(self._db, blobs, digest)

    def _find(self, session: Session, id: str, lock: bool = False) -> JobRow:
        return job_view.find(session, id, lock, self._project)


def _refuse_ended(row: JobRow) -> None:
    if row.status in FINAL:
        raise PithError("job_ended", id=row.id, status=row.status)
