"""How long workers have spent on a job."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("spent", sa.BigInteger(), nullable=False, server_default="0"))
