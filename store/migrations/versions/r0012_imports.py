"""What a worker is to fetch, or has fetched."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("models", "datasets"):
        op.add_column(table, sa.Column("imported", sa.JSON().with_variant(JSONB(), "postgresql")))
