"""Models and datasets: names for blobs."""

from typing import Generic, TypeVar

from pith.artifact import Digest
from pith.resources import Dataset, Model, Page
from store.blobs import Blobs
from store.database import Database

R = TypeVar("R", Model, Dataset)


class Resources(Generic[R]):
    def create(self, name: str, digest: Digest, size_bytes: int) -> R:
        """Name a blob that has just been committed."""
        raise NotImplementedError

    def get(self, id: str) -> R:
        """Raises PithError ``not_found``."""
        raise NotImplementedError

    def list(self, limit: int = 50, cursor: str | None = None) -> Page[R]:
        """Newest first. Raises PithError ``bad_cursor``."""
        raise NotImplementedError

    def delete(self, id: str) -> None:
        """Raises PithError ``not_found`` or ``in_use``."""
        raise NotImplementedError


def models(db: Database, blobs: Blobs) -> Resources[Model]:
    raise NotImplementedError


def datasets(db: Database, blobs: Blobs) -> Resources[Dataset]:
    raise NotImplementedError
