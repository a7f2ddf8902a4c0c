"""A job goes on from a checkpoint on another worker, can be paused, and waits a while after its process has died."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_STATUSES = "'queued', 'running', 'pausing', 'paused', 'cancelling', 'succeeded', 'failed', 'cancelled'"


def upgrade() -> None:
    op.create_table(
        "checkpoints",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_checkpoints_job_id", ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "name", name="pk_checkpoints"),
    )
    op.create_index("ix_checkpoints_digest", "checkpoints", ["digest"])
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(sa.Column("not_before", sa.BigInteger()))
        batch.add_column(sa.Column("checkpoint_at", sa.BigInteger()))
        batch.drop_constraint("ck_jobs_status", type_="check")
        batch.create_check_constraint("ck_jobs_status", f"status IN ({_STATUSES})")
