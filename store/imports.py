"""What is to be fetched, and what was: the column ``imported`` of models and datasets.

Until it is fetched an address is kept whole, also a query that is a secret; afterwards only what may be shown.
What was a job's artifact says so there.
"""

from dataclasses import dataclass
from typing import Any, cast

from sqlalchemy import select
from sqlalchemy.orm import Session

from pith.artifact import Artifact, Digest
from pith.imports import Import, Source, shown
from pith.results import source_of
from store import quotas
from store.tables import DatasetRow, JobRow, ModelRow


@dataclass(frozen=True)
class Wanted:
    """What a worker is to fetch before it looks at it."""

    source: str
    expected: Digest | None


@dataclass(frozen=True)
class Fetched:
    """What a worker has fetched: a blob that is stored already, and what the source was just then."""

    digest: Digest
    size_bytes: int
    revision: str | None = None


def wanted(asked: Import) -> dict[str, Any]:
    """The column of what is still to be fetched."""
    return {"source": asked.source, "expected": asked.expected()}


def taken(artifact: Artifact) -> dict[str, Any]:
    """The column of what was a job's artifact."""
    return {"source": source_of(artifact), "revision": artifact.digest}


def source(imported: dict[str, Any] | None) -> Source | None:
    """Of the column: what is shown of it."""
    return None if imported is None else Source(uri=shown(imported["source"]), revision=imported.get("revision"))


def still_wanted(row: ModelRow | DatasetRow) -> Wanted | None:
    """None for what is there, or never was to be fetched."""
    if row.imported is None or row.digest is not None:
        return None
    return Wanted(row.imported["source"], row.imported["expected"])


def name(session: Session, job: JobRow, fetched: Fetched) -> bool:
    """Give the bytes to what this intake job looks at; False when that is gone, or another check looks at it.

    Raises:
        PithError: ``quota_exceeded``.
    """
    id = job.spec["check"]
    table = ModelRow if id.startswith("mdl_") else DatasetRow
    query = select(table).where(table.id == id, table.check_id == job.id).with_for_update()
    row = cast(ModelRow | DatasetRow | None, session.scalars(query).one_or_none())
    if row is None or row.imported is None:
        return False
    row.digest, row.size_bytes = fetched.digest, fetched.size_bytes
    row.imported = {**row.imported, "source": shown(row.imported["source"]), "revision": fetched.revision}
    session.flush()
    quotas.check_storage(session, row.project)
    return True
