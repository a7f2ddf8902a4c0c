"""Replays and forks, what steps leave for forks, and tags."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("replays", sa.String(30)))
    op.add_column("jobs", sa.Column("forked_from", sa.String(30)))
    op.add_column("jobs", sa.Column("forked_step", sa.Integer()))
    op.create_table(
        "steps",
        sa.Column("job_id", sa.String(30), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(32), nullable=False),
        sa.Column("digest", sa.String(71), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "step", "name", name="pk_steps"),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_steps_job_id", ondelete="CASCADE"),
    )
    op.create_index("ix_steps_digest", "steps", ["digest"])
    op.create_table(
        "tags",
        sa.Column("resource_id", sa.String(30), nullable=False),
        sa.Column("tag", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("resource_id", "tag", name="pk_tags"),
    )
    op.create_index("ix_tags_tag", "tags", ["tag", "resource_id"])
