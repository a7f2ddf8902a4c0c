"""The tables. Columns only: what may be written when is in jobs.py and resources.py."""

from datetime import datetime
from typing import Any, get_args

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, Index, MetaData, SmallInteger, String, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from pith.access import DEFAULT_PROJECT
from pith.job import TRANSITIONS
from pith.resources import ResourceStatus
from store.clock import Instant

Json = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_STATUSES = ", ".join(f"'{status}'" for status in TRANSITIONS)
_RESOURCE_STATUSES = ", ".join(f"'{status}'" for status in get_args(ResourceStatus))


class Table(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_name)s",
            "uq": "uq_%(table_name)s_%(column_0_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {datetime: Instant(), dict[str, Any]: Json}  # noqa: RUF012


def _project() -> Mapped[str]:
    """Whose it is. The server's default is for rows from before there were projects."""
    return mapped_column(String(30), server_default=DEFAULT_PROJECT)


class ProjectRow(Table):
    """A tenant. ``quotas`` is the contract's class of that name."""

    __tablename__ = "projects"

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    name: Mapped[str] = mapped_column(String(255))
    quotas: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]


class ApiKeyRow(Table):
    """``begins`` is the part of the secret that finds the row, ``digest`` the SHA-256 of the whole."""

    __tablename__ = "api_keys"
    __table_args__ = (Index("ix_api_keys_project_id", "project", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    project: Mapped[str] = mapped_column(String(30))
    name: Mapped[str] = mapped_column(String(255))
    begins: Mapped[str] = mapped_column(String(16), unique=True)
    digest: Mapped[str] = mapped_column(String(64))
    scopes: Mapped[str] = mapped_column(String(255))
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class WebhookRow(Table):
    """``secret`` signs, so that it cannot be a digest; ``secret_before`` does too for a while after ``rotated_at``."""

    __tablename__ = "webhooks"
    __table_args__ = (Index("ix_webhooks_project_id", "project", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    project: Mapped[str] = mapped_column(String(30))
    name: Mapped[str] = mapped_column(String(255))
    url: Mapped[str] = mapped_column(String(2000))
    events: Mapped[str] = mapped_column(String(500))
    every_job: Mapped[bool]
    enabled: Mapped[bool]
    secret: Mapped[str] = mapped_column(String(64))
    secret_before: Mapped[str | None] = mapped_column(String(64))
    rotated_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class DeliveryRow(Table):
    """One message to one webhook; it is over when ``next_at`` is null."""

    __tablename__ = "deliveries"
    __table_args__ = (Index("ix_deliveries_webhook_id", "webhook_id", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    webhook_id: Mapped[str] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(32))
    job: Mapped[str | None] = mapped_column(String(30))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime]
    attempts: Mapped[int]
    next_at: Mapped[datetime | None] = mapped_column(index=True)
    delivered_at: Mapped[datetime | None]
    last_status: Mapped[int | None]
    last_error: Mapped[str | None] = mapped_column(String(500))


class Resource:
    """The columns of models and datasets.

    ``details`` is the long part of what was learnt, read only when asked for.
    ``imported`` is for ``store.imports`` alone: it may hold a secret."""

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    project: Mapped[str] = _project()
    name: Mapped[str] = mapped_column(String(255))
    digest: Mapped[str | None] = mapped_column(String(71), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
    status: Mapped[str] = mapped_column(String(10))
    error: Mapped[dict[str, Any] | None]
    check_id: Mapped[str] = mapped_column(String(30))
    declared: Mapped[dict[str, Any] | None]
    facts: Mapped[dict[str, Any] | None]
    details: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)
    imported: Mapped[dict[str, Any] | None]


class ModelRow(Resource, Table):
    __tablename__ = "models"
    __table_args__ = (
        CheckConstraint(f"status IN ({_RESOURCE_STATUSES})", name="status"),
        Index("ix_models_project_id", "project", "id"),
    )


class DatasetRow(Resource, Table):
    __tablename__ = "datasets"
    __table_args__ = (
        CheckConstraint(f"status IN ({_RESOURCE_STATUSES})", name="status"),
        Index("ix_datasets_project_id", "project", "id"),
    )


class UploadRow(Table):
    """A transfer in parts. ``resource_id`` is what it has become; then its bytes are that one's."""

    __tablename__ = "uploads"
    __table_args__ = (Index("ix_uploads_project_id", "project", "id"),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    project: Mapped[str] = _project()
    kind: Mapped[str] = mapped_column(String(8))
    name: Mapped[str] = mapped_column(String(255))
    length: Mapped[int | None] = mapped_column(BigInteger)
    expected: Mapped[str | None] = mapped_column(String(71))
    declared: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime] = mapped_column(index=True)
    resource_id: Mapped[str | None] = mapped_column(String(30))


class ObjectRow(Table):
    """An object in the bucket, where blobs are kept in one. Nobody can come to want one whose ``digest`` is None.

    ``pins`` counts commits that no row refers to yet.
    """

    __tablename__ = "objects"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str | None] = mapped_column(String(71), unique=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    stored_at: Mapped[datetime] = mapped_column(index=True)
    pins: Mapped[int] = mapped_column(default=0)


class ArrivingRow(Table):
    """An upload whose bytes go into a bucket: ``parts`` parts of the S3 upload ``upload``, ``sent`` bytes together, and
    ``tail_bytes`` after them in an object of their own, ``tail``.

    ``holder`` may write until ``held_until``. ``digest`` is set once the bytes are whole and may not change any more.
    """

    __tablename__ = "arriving"

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    key: Mapped[str] = mapped_column(String(64), unique=True)
    upload: Mapped[str] = mapped_column(Text)
    parts: Mapped[int]
    sent: Mapped[int] = mapped_column(BigInteger)
    tail: Mapped[str] = mapped_column(String(64))
    tail_bytes: Mapped[int] = mapped_column(BigInteger)
    digest: Mapped[str | None] = mapped_column(String(71))
    written_at: Mapped[datetime]
    holder: Mapped[str | None] = mapped_column(String(32))
    held_until: Mapped[datetime]


class KeyRow(Table):
    """An Idempotency-Key: what was asked under it, as a digest, and the id of what was made."""

    __tablename__ = "idempotency_keys"

    project: Mapped[str] = mapped_column(String(30), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    asked: Mapped[str] = mapped_column(String(64))
    made: Mapped[str] = mapped_column(String(30))
    created_at: Mapped[datetime] = mapped_column(index=True)


class DeletionRow(Table):
    """A model, dataset or job that was deleted."""

    __tablename__ = "deletions"

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    project: Mapped[str] = _project()
    deleted_at: Mapped[datetime]
    why: Mapped[str] = mapped_column(String(255))


class PartRow(Table):
    """One canonical file that the check of a model or a dataset has left."""

    __tablename__ = "parts"

    resource_id: Mapped[str] = mapped_column(String(30), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(String(71), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class JobRow(Table):
    """``attempt`` fences: it grows with every claim and never shrinks.

    ``losses`` counts lost workers and processes since the last checkpoint was kept; after a lost process the job is not
    sent again before ``not_before``. ``attempt_fraction`` is how far the job was when the attempt began,
    ``spent`` the microseconds of the attempts before. ``pieces`` is how many pieces each batch is cut into at least.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        CheckConstraint(f"status IN ({_STATUSES})", name="status"),
        Index("ix_jobs_outbox", "status", "priority", "id"),
        Index("ix_jobs_project_id", "project", "id"),
    )

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    project: Mapped[str] = _project()
    kind: Mapped[str] = mapped_column(String(12), server_default="compression")
    status: Mapped[str] = mapped_column(String(10))
    spec: Mapped[dict[str, Any]]
    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    attempt: Mapped[int] = mapped_column(default=0)
    losses: Mapped[int] = mapped_column(default=0)
    progress: Mapped[dict[str, Any]]
    verdict: Mapped[str | None] = mapped_column(String(16))
    outcome: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    lease_owner: Mapped[str | None] = mapped_column(String(255))
    lease_expires_at: Mapped[datetime | None]
    dispatched_at: Mapped[datetime | None]
    not_before: Mapped[datetime | None]
    checkpoint_at: Mapped[datetime | None]
    priority: Mapped[int] = mapped_column(SmallInteger, server_default="0")
    attempt_at: Mapped[datetime | None]
    attempt_fraction: Mapped[float | None]
    spent: Mapped[int] = mapped_column(BigInteger, server_default="0")
    device: Mapped[str] = mapped_column(String(4), server_default="auto")
    pieces: Mapped[int] = mapped_column(server_default="1")
    event_seq: Mapped[int] = mapped_column(default=0)
    traceparent: Mapped[str | None] = mapped_column(String(55))
    replays: Mapped[str | None] = mapped_column(String(30))
    forked_from: Mapped[str | None] = mapped_column(String(30))
    forked_step: Mapped[int | None]


class WorkerRow(Table):
    """A worker, and when it was last seen."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(255), primary_key=True)
    host: Mapped[str] = mapped_column(String(255))
    device: Mapped[str] = mapped_column(String(4))
    queues: Mapped[str] = mapped_column(String(64))
    started_at: Mapped[datetime]
    seen_at: Mapped[datetime]


class JobInputRow(Table):
    """A model or dataset that a job names: its own, those that steps name, or what an intake looks at."""

    __tablename__ = "job_inputs"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    resource_id: Mapped[str] = mapped_column(String(30), primary_key=True, index=True)


class CheckpointRow(Table):
    """One file of the checkpoint from which a job goes on when its worker is lost."""

    __tablename__ = "checkpoints"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(String(71), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class StepRow(Table):
    """One file of what a finished step has left for jobs that go on from there."""

    __tablename__ = "steps"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    digest: Mapped[str] = mapped_column(String(71), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)


class TagRow(Table):
    """A tag of a model, a dataset or a job, or of an upload until it has become one."""

    __tablename__ = "tags"
    __table_args__ = (Index("ix_tags_tag", "tag", "resource_id"),)

    resource_id: Mapped[str] = mapped_column(String(30), primary_key=True)
    tag: Mapped[str] = mapped_column(String(64), primary_key=True)


class EventRow(Table):
    __tablename__ = "events"

    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    seq: Mapped[int] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    type: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(String(2000))
    step: Mapped[int | None]
    data: Mapped[dict[str, Any]]


class ArtifactRow(Table):
    __tablename__ = "artifacts"
    __table_args__ = (Index("uq_artifacts_job_id_name", "job_id", "name", unique=True),)

    id: Mapped[str] = mapped_column(String(30), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("jobs.id", ondelete="CASCADE"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(255))
    format: Mapped[str] = mapped_column(String(16))
    digest: Mapped[str] = mapped_column(String(71), index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime]
