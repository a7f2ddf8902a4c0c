"""Which object of a bucket holds which blob, and uploads whose parts are in a bucket."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "objects",
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("digest", sa.String(71), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("stored_at", sa.BigInteger(), nullable=False),
        sa.Column("pins", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_objects"),
        sa.UniqueConstraint("digest", name="uq_objects_digest"),
    )
    op.create_index("ix_objects_stored_at", "objects", ["stored_at"])
