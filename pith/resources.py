"""What is uploaded: models and datasets, as the API shows them, with what the check of the upload found."""

from datetime import datetime
from typing import Generic, Literal, TypeVar

from pydantic import Field

from pith.artifact import Digest, Name
from pith.base import Frozen
from pith.dataset import DatasetFacts, DatasetSchema
from pith.errors import Problem
from pith.facts import ModelFacts
from pith.ids import DatasetId, JobId, ModelId, UploadId
from pith.imports import Source
from pith.intake import Architecture

T = TypeVar("T")
ResourceStatus = Literal["checking", "ready", "rejected"]


class Model(Frozen):
    """A model. It is ``checking`` until a worker has looked at it; then ``ready`` or ``rejected`` with the reason."""

    id: ModelId
    name: Name
    digest: Digest | None = Field(description="Of the bytes; null without a file, or until it is fetched.")
    size_bytes: int = Field(ge=0)
    created_at: datetime
    status: ResourceStatus
    error: Problem | None = Field(None, description="Why it was rejected.")
    check: JobId = Field(description="The job that looks at it, or did.")
    source: Source | None = Field(
        None, description="Where it was imported from, or which job has made it; null for an upload."
    )
    architecture: Architecture | None = Field(None, description="As it was given with the upload.")
    facts: ModelFacts | None = Field(None, description="What was learnt, once it is ready.")
    tags: tuple[str, ...] = ()


class Dataset(Frozen):
    """A dataset. It is ``checking`` until a worker has looked at it; then ``ready`` or ``rejected`` with the reason."""

    id: DatasetId
    name: Name
    digest: Digest | None = Field(description="Of the bytes; null until they are fetched.")
    size_bytes: int = Field(ge=0)
    created_at: datetime
    status: ResourceStatus
    error: Problem | None = Field(None, description="Why it was rejected.")
    check: JobId = Field(description="The job that looks at it, or did.")
    source: Source | None = Field(None, description="Where it was imported from; null for an upload.")
    declared: DatasetSchema | None = Field(None, description="The schema that was given with the upload.")
    facts: DatasetFacts | None = Field(None, description="What was learnt, once it is ready.")
    tags: tuple[str, ...] = ()


UploadOf = Literal["model", "dataset"]


class Upload(Frozen):
    """A transfer that can be resumed: it goes on at ``offset``. When all is there it becomes a model or a dataset."""

    id: UploadId
    of: UploadOf = Field(description="What it is to become.")
    name: Name
    offset: int = Field(ge=0, description="Bytes that have arrived, and are kept.")
    length: int | None = Field(None, ge=0, description="Bytes in all; null as long as nobody has said.")
    created_at: datetime
    expires_at: datetime = Field(description="When it is forgotten if nothing more comes.")
    model: ModelId | None = Field(None, description="What it has become.")
    dataset: DatasetId | None = Field(None, description="What it has become.")


class Page(Frozen, Generic[T]):
    """One page of a list, newest first. ``next_cursor`` is null on the last page."""

    data: tuple[T, ...]
    next_cursor: str | None = None
