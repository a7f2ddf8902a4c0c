"""What is uploaded: models and datasets, as the API shows them."""

from datetime import datetime
from typing import Generic, TypeVar

from pydantic import Field

from pith.artifact import Digest, Name
from pith.base import Frozen
from pith.ids import DatasetId, ModelId

T = TypeVar("T")


class Model(Frozen):
    """An uploaded model. The file is opened by a worker, not on arrival; a bad one fails its first job."""

    id: ModelId
    name: Name
    digest: Digest
    size_bytes: int = Field(ge=0)
    created_at: datetime


class Dataset(Frozen):
    """An uploaded dataset: an ``.npz`` with ``x_train``, ``y_train``, ``x_test``, ``y_test``, or ``x``."""

    id: DatasetId
    name: Name
    digest: Digest
    size_bytes: int = Field(ge=0)
    created_at: datetime


class Page(Frozen, Generic[T]):
    """One page of a list, newest first. ``next_cursor`` is null on the last page."""

    data: tuple[T, ...]
    next_cursor: str | None = None
