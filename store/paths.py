"""Every path of the data folder, in one place.

<data_dir>/
    pith.db                       the database, unless PITH_DATABASE_URL names another
    pith.db.lock                  held while the database is migrated
    blobs/                        PITH_BLOB_URL
        lock                      held while a blob is put in its place or taken away
        sha256/ab/<64 hex>        a blob; read-only, never changed
        incoming/<random>         bytes that are still arriving; locked by their writer
        partial/<upload>          bytes of an upload that can be resumed
        pins/<64 hex>.<random>    a blob that is stored and not yet named in the database
    work/<job>/<attempt>/         one run of the engine (engine/jobdir.py); removed when it ends
    redis/                        socket and files of the embedded Redis
    queue/                        messages, where the queue is a folder (filesystem://)
"""

import re
from pathlib import Path

from pith.artifact import Digest
from pith.ids import JobId, UploadId

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")


def database(data_dir: Path) -> Path:
    return data_dir / "pith.db"


def up_lock(data_dir: Path) -> Path:
    return data_dir / "up.lock"


def lock_beside(file: Path) -> Path:
    return file.with_name(file.name + ".lock")


def blobs(data_dir: Path) -> Path:
    return data_dir / "blobs"


def all_work(data_dir: Path) -> Path:
    return data_dir / "work"


def work(data_dir: Path, job: JobId, attempt: int) -> Path:
    return all_work(data_dir) / job / str(attempt)


def redis(data_dir: Path) -> Path:
    return data_dir / "redis"


def queue(data_dir: Path) -> Path:
    return data_dir / "queue"


def blob_lock(root: Path) -> Path:
    return root / "lock"


def blob(root: Path, digest: Digest) -> Path:
    name = hex_of(digest)
    return root / "sha256" / name[:2] / name


def incoming(root: Path) -> Path:
    return root / "incoming"


def all_partial(root: Path) -> Path:
    return root / "partial"


def partial(root: Path, upload: UploadId) -> Path:
    return all_partial(root) / upload


def pins(root: Path) -> Path:
    return root / "pins"


def hex_of(digest: Digest) -> str:
    """The hexadecimal part; a digest that is none never becomes a path.

    Raises:
        ValueError: it is no ``sha256:`` and 64 hexadecimal digits.
    """
    match = _DIGEST.fullmatch(digest)
    if match is None:
        raise ValueError(f"{digest!r} is no digest")
    return match[1]
