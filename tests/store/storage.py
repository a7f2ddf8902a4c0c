"""Where blobs are kept, seen from outside: what every driver's tests need to know, and none of the drivers tells."""

import json
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from pith.artifact import Digest
from store import paths
from store.blobs import Blobs, LocalBlobs, open_blobs
from store.database import Database
from store.s3_blobs import S3Blobs
from store.s3_keys import FOLDER
from store.settings import Settings
from store.tables import ObjectRow


class Storage(Protocol):
    blobs: Blobs

    def again(self) -> Blobs:
        """As another process opens it."""

    def address(self) -> tuple[str, str]:
        """Settings as JSON and the database, for a program that opens it."""

    def stored(self) -> list[bytes]:
        """All blobs that are there, in order."""

    def arriving(self) -> int:
        """What is half-written, or was and is of no use any more."""

    def damage(self, digest: Digest) -> None:
        """Nothing is left in it."""

    def lose(self, digest: Digest) -> None:
        """Behind the driver's back."""


class FolderStorage:
    def __init__(self, root: Path) -> None:
        self.root = root
        self.blobs = LocalBlobs(root)

    def again(self) -> LocalBlobs:
        return LocalBlobs(self.root)

    def address(self) -> tuple[str, str]:
        return json.dumps({"blob_url": self.root.as_uri()}), "sqlite:////nowhere/none.db"

    def stored(self) -> list[bytes]:
        return sorted(file.read_bytes() for file in self.root.glob("sha256/*/*"))

    def arriving(self) -> int:
        return len(list(paths.incoming(self.root).iterdir()))

    def damage(self, digest: Digest) -> None:
        self.blobs.path(digest).chmod(0o644)
        self.blobs.path(digest).write_bytes(b"")

    def lose(self, digest: Digest) -> None:
        self.blobs.path(digest).unlink()


class BucketStorage:
    def __init__(self, settings: Settings, database_url: str) -> None:
        self.settings = settings
        self.db = Database(database_url)
        self.blobs = self.again()
        self.bucket = self.blobs.bucket

    def again(self) -> S3Blobs:
        opened = open_blobs(self.settings, self.db)
        assert isinstance(opened, S3Blobs)
        return opened

    def address(self) -> tuple[str, str]:
        secret = self.settings.s3_secret_access_key
        assert secret is not None
        fields = self.settings.model_dump(mode="json", include={"blob_url", "s3_endpoint_url", "s3_access_key_id"})
        return json.dumps({**fields, "s3_secret_access_key": secret.get_secret_value()}), str(self.db.url)

    def stored(self) -> list[bytes]:
        return sorted(self.content(key) for key in self.keys())

    def arriving(self) -> int:
        with self.db.reader() as session:
            blobs = session.scalars(select(ObjectRow.key).where(ObjectRow.digest.is_not(None))).all()
        uploads = sum(len(page) for page in self.bucket.uploads(""))
        return len(set(self.keys()) - {FOLDER + key for key in blobs}) + uploads

    def damage(self, digest: Digest) -> None:
        self.bucket.put(self.key(digest), b"")

    def lose(self, digest: Digest) -> None:
        self.bucket.delete(self.key(digest))

    def keys(self) -> list[str]:
        return [found.key for page in self.bucket.objects("") for found in page]

    def key(self, digest: Digest) -> str:
        return FOLDER + self.blobs.objects.find(digest).key

    def content(self, key: str) -> bytes:
        body = self.bucket.open(key)
        try:
            return body.read()
        finally:
            body.close()

    def close(self) -> None:
        self.db.close()
