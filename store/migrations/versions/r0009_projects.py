"""Everything belongs to a project, and keys open them. What was there before belongs to the default project."""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

DEFAULT = "prj_00000000000000000000000000"
OWNED = ("models", "datasets", "uploads", "jobs", "deletions")


def _json() -> TypeEngine[Any]:
    return sa.JSON().with_variant(JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "projects",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("quotas", _json(), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_projects"),
    )
    op.execute(f"INSERT INTO projects (id, name, quotas, created_at) VALUES ('{DEFAULT}', 'default', '{{}}', 0)")
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(30), nullable=False),
        sa.Column("project", sa.String(30), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("begins", sa.String(16), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("scopes", sa.String(255), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger()),
        sa.Column("last_used_at", sa.BigInteger()),
        sa.Column("revoked_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_api_keys"),
        sa.UniqueConstraint("begins", name="uq_api_keys_begins"),
    )
    op.create_index("ix_api_keys_project_id", "api_keys", ["project", "id"])
    for table in OWNED:
        op.add_column(table, sa.Column("project", sa.String(30), nullable=False, server_default=DEFAULT))
        if table != "deletions":
            op.create_index(f"ix_{table}_project_id", table, ["project", "id"])
    op.create_table(
        "idempotency_keys",
        sa.Column("project", sa.String(30), nullable=False),
        sa.Column("name", sa.String(255), nullable=False),
        sa.Column("asked", sa.String(64), nullable=False),
        sa.Column("made", sa.String(30), nullable=False),
        sa.Column("created_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name="pk_idempotency_keys"),
    )
    op.execute(f"INSERT INTO idempotency_keys SELECT '{DEFAULT}', name, asked, made, created_at FROM keys")
    op.drop_table("keys")
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
