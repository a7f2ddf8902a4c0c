"""Models and datasets are checked by a job of their own. What was uploaded before is queued for its check here, and the
jobs that wait for it go on once it is ready."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from pith.ids import new_id

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_PROGRESS = {"fraction": 0.0, "step": None, "message": ""}


def _json() -> TypeEngine[Any]:
    return sa.JSON().with_variant(JSONB(), "postgresql")


_JOBS = sa.table(
    "jobs",
    *map(sa.column, ("id", "kind", "status", "created_at", "attempt", "losses", "event_seq")),
    sa.column("spec", _json()),
    sa.column("progress", _json()),
)
_INPUTS = sa.table("job_inputs", sa.column("job_id"), sa.column("resource_id"))
_EVENTS = sa.table(
    "events", *map(sa.column, ("job_id", "seq", "at", "type", "message", "step")), sa.column("data", _json())
)
_QUEUED = {"kind": "intake", "status": "queued", "attempt": 0, "losses": 0, "event_seq": 1, "progress": _PROGRESS}


def upgrade() -> None:
    op.add_column("jobs", sa.Column("kind", sa.String(12), nullable=False, server_default="compression"))
    op.create_table(
        "parts",
        sa.Column("resource_id", sa.String(30), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "name", name="pk_parts"),
    )
    op.create_index("ix_parts_digest", "parts", ["digest"])
    for table in ("models", "datasets"):
        _add_columns(table)
        _queue_checks(table)
        _tighten(table)


def _add_columns(table: str) -> None:
    op.add_column(table, sa.Column("status", sa.String(10), nullable=False, server_default="checking"))
    op.add_column(table, sa.Column("error", _json()))
    op.add_column(table, sa.Column("check_id", sa.String(30), nullable=False, server_default=""))
    for name in ("declared", "facts", "details"):
        op.add_column(table, sa.Column(name, _json()))


def _queue_checks(name: str) -> None:
    connection = op.get_bind()
    resources = sa.table(name, sa.column("id"), sa.column("created_at"), sa.column("check_id"))
    for id, at in connection.execute(sa.select(resources.c.id, resources.c.created_at).order_by(resources.c.id)).all():
        job = new_id("job")
        connection.execute(sa.insert(_JOBS).values(id=job, spec={"check": id}, created_at=at, **_QUEUED))
        connection.execute(sa.insert(_INPUTS).values(job_id=job, resource_id=id))
        connection.execute(sa.insert(_EVENTS).values(job_id=job, seq=1, at=at, type="queued", message="", data={}))
        connection.execute(sa.update(resources).where(resources.c.id == id).values(check_id=job))


def _tighten(table: str) -> None:
    """The defaults were for the rows that were there; the API fills these columns itself."""
    with op.batch_alter_table(table) as batch:
        batch.alter_column("digest", existing_type=sa.String(71), nullable=True)
        batch.alter_column("status", existing_type=sa.String(10), server_default=None)
        batch.alter_column("check_id", existing_type=sa.String(30), server_default=None)
        batch.create_check_constraint(f"ck_{table}_status", "status IN ('checking', 'ready', 'rejected')")
