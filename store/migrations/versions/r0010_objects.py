"""Which object of a bucket holds which blob, and uploads whose parts are in a bucket."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
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
    op.create_table(
        "arriving",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("key", sa.String(64), nullable=False),
        sa.Column("upload", sa.Text(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("sent", sa.BigInteger(), nullable=False),
        sa.Column("tail", sa.String(64), nullable=False),
        sa.Column("tail_bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.String(71), nullable=True),
        sa.Column("written_at", sa.BigInteger(), nullable=False),
        sa.Column("holder", sa.String(32), nullable=True),
        sa.Column("held_until", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_arriving"),
        sa.UniqueConstraint("key", name="uq_arriving_key"),
    )
