"""Jobs have a priority, and it is known when and where an attempt began, from which its end is foretold."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch:
        batch.add_column(sa.Column("priority", sa.SmallInteger(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("attempt_at", sa.BigInteger()))
        batch.add_column(sa.Column("attempt_fraction", sa.Double()))
        batch.drop_index("ix_jobs_outbox")
        batch.create_index("ix_jobs_outbox", ["status", "priority", "id"])
