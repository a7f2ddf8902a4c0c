"""Jobs: from what is asked to how it ended. The database is the only truth about a job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pith.artifact import Artifact, ArtifactKind, Digest
from pith.errors import Problem
from pith.ids import JobId, ModelId
from pith.job import EngineEvent, Event, Job, JobSpec, JobStatus, Progress, Verdict
from pith.resources import Page
from store.database import Database

Beat = Literal["running", "cancelling", "fenced"]


@dataclass(frozen=True)
class Claim:
    """A job that a worker holds, under this attempt number, and the digests of what it needs."""

    job: Job
    attempt: int
    model: Digest
    dataset: Digest | None
    teachers: Mapping[ModelId, Digest]


@dataclass(frozen=True)
class NewArtifact:
    """A result whose blob is stored already."""

    kind: ArtifactKind
    name: str
    format: str
    digest: Digest
    size_bytes: int


class Jobs:
    def __init__(self, db: Database, max_attempts: int = 3) -> None:
        raise NotImplementedError

    def submit(self, spec: JobSpec) -> Job:
        """Raises PithError ``not_found`` and whatever ``spec.check()`` raises. Then call store.dispatch.dispatch."""
        raise NotImplementedError

    def get(self, id: str) -> Job: ...
    def list(self, limit: int = 50, cursor: str | None = None, status: JobStatus | None = None) -> Page[Job]: ...
    def cancel(self, id: str) -> Job: ...
    def events(self, id: str, after: int = 0, limit: int = 500) -> tuple[Event, ...]: ...
    def artifacts(self, id: str) -> tuple[Artifact, ...]: ...
    def artifact(self, id: str, name: str) -> Artifact: ...

    # a worker's side
    def claim(self, id: JobId, worker: str, lease_seconds: float) -> Claim | None: ...
    def beat(self, id: JobId, attempt: int, lease_seconds: float) -> Beat: ...
    def record(
        self, id: JobId, attempt: int, events: Sequence[EngineEvent], progress: Progress | None = None
    ) -> Beat: ...
    def succeed(self, id: JobId, attempt: int, artifacts: Sequence[NewArtifact], verdict: Verdict) -> bool: ...
    def fail(self, id: JobId, attempt: int, problem: Problem) -> bool: ...
    def cancelled(self, id: JobId, attempt: int) -> bool: ...
    def give_back(self, id: JobId, attempt: int) -> bool: ...

    # the scheduler's side
    def due(self, limit: int = 100) -> tuple[JobId, ...]: ...
    def overdue(self, seconds: float, limit: int = 100) -> tuple[JobId, ...]: ...
    def mark_dispatched(self, id: JobId) -> None: ...
    def reap(self) -> tuple[JobId, ...]: ...
