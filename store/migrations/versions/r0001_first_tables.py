"""The first tables."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def _json() -> TypeEngine[Any]:
    return sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    _resources("models")
    _resources("datasets")
    _jobs()
    _job_inputs()
    _events()
    _artifacts()


def _resources(table: str) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
    )
    op.create_index(f"ix_{table}_digest", table, ["digest"])


def _jobs() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("status", sa.String(10), nullable=False),
        sa.Column("spec", _json(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("started_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("losses", sa.Integer(), nullable=False),
        sa.Column("progress", _json(), nullable=False),
        sa.Column("verdict", sa.String(16)),
        sa.Column("error", _json()),
        sa.Column("lease_owner", sa.String(255)),
        sa.Column("lease_expires_at", sa.BigInteger()),
        sa.Column("dispatched_at", sa.BigInteger()),
        sa.Column("event_seq", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "status IN ('queued', 'running', 'cancelling', 'succeeded', 'failed', 'cancelled')", name="ck_jobs_status"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
    )
    op.create_index("ix_jobs_outbox", "jobs", ["status", "dispatched_at", "id"])


def _job_inputs() -> None:
    op.create_table(
        "job_inputs",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("resource_id", sa.String(30), nullable=False),
        _of_a_job("job_inputs"),
        sa.PrimaryKeyConstraint("job_id", "resource_id", name="pk_job_inputs"),
    )
    op.create_index("ix_job_inputs_resource_id", "job_inputs", ["resource_id"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("message", sa.String(2000), nullable=False),
        sa.Column("step", sa.Integer()),
        sa.Column("data", _json(), nullable=False),
        _of_a_job("events"),
        sa.PrimaryKeyConstraint("job_id", "seq", name="pk_events"),
    )


def _artifacts() -> None:
    op.create_table(
        "artifacts",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("format", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        _of_a_job("artifacts"),
        sa.PrimaryKeyConstraint("id", name="pk_artifacts"),
    )
    op.create_index("uq_artifacts_job_id_name", "artifacts", ["job_id", "name"], unique=True)
    op.create_index("ix_artifacts_digest", "artifacts", ["digest"])


def _of_a_job(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=f"fk_{table}_job_id", ondelete="CASCADE")
