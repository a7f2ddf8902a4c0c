"""Who refers to a blob, and the sweep of blobs that nobody refers to: a process died between storing and naming."""

from sqlalchemy import exists, or_, select

from pith.artifact import Digest
from store.blobs import Blobs
from store.database import Database
from store.tables import ArtifactRow, CheckpointRow, DatasetRow, ModelRow, PartRow, StepRow

ORPHAN_SECONDS = 24 * 3600


def is_referred(db: Database, digest: Digest) -> bool:
    """Whether any model, dataset, canonical part, artifact, checkpoint or kept step has these bytes."""
    tables = (ModelRow, DatasetRow, PartRow, ArtifactRow, CheckpointRow, StepRow)
    with db.reader() as session:
        found = session.scalar(select(or_(*(exists().where(table.digest == digest) for table in tables))))
    return bool(found)


def delete_unreferred(db: Database, blobs: Blobs, digest: Digest) -> bool:
    """Call it after the row that referred to the blob is gone for good."""
    return blobs.delete(digest, lambda digest: is_referred(db, digest))


def sweep(db: Database, blobs: Blobs, older_than: float = ORPHAN_SECONDS) -> int:
    """Delete blobs that were stored that many seconds ago and never named, or not any more. How many there were."""
    orphans = (digest for digest in blobs.older_than(older_than) if not is_referred(db, digest))
    return sum(delete_unreferred(db, blobs, digest) for digest in orphans)
