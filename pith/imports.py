"""Import by reference: a model or dataset that the service fetches itself, from where a caller says it is."""

import re
from typing import Annotated, Literal
from urllib.parse import unquote, urlsplit

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, field_validator

from pith.artifact import Name
from pith.base import Frozen
from pith.dataset import DatasetSchema
from pith.intake import Architecture

Scheme = Literal["https", "http", "s3", "mlflow", "models", "hf"]
FORMS = "https://HOST/PATH, s3://BUCKET/KEY, models:/NAME/VERSION or models:/NAME@ALIAS (MLflow), or hf://OWNER/NAME@REVISION"
_FORMS: dict[str, re.Pattern[str]] = {
    "s3": re.compile(r"s3://[a-z0-9][a-z0-9.\-]{1,62}/[^?#\x00-\x1f\x7f]{1,1024}"),
    "mlflow": re.compile(r"mlflow:/[^/@?#\x00-\x1f\x7f]{1,250}(/[0-9]{1,9}|@[^/@?#\x00-\x1f\x7f]{1,250})"),
    "models": re.compile(r"models:/[^/@?#\x00-\x1f\x7f]{1,250}(/[0-9]{1,9}|@[^/@?#\x00-\x1f\x7f]{1,250})"),
    "hf": re.compile(r"hf://[A-Za-z0-9][\w.\-]{0,95}/[A-Za-z0-9][\w.\-]{0,95}(@[A-Za-z0-9][\w.\-/]{0,199})?"),
}
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f/\\]+")


def _reference(source: str) -> str:
    """What could be fetched, as far as the words alone tell."""
    scheme = scheme_of(source)
    if scheme in ("http", "https"):
        return _address(source)
    if scheme not in _FORMS or not _FORMS[scheme].fullmatch(source):
        raise ValueError(f"should be {FORMS}")
    if ".." in source.split("/"):
        raise ValueError("should not lead through ..")
    return source


def _address(source: str) -> str:
    try:
        parts = urlsplit(source)
        host, _ = parts.hostname, parts.port
    except ValueError as fault:
        raise ValueError(f"is no address: {fault}") from fault
    if not host or re.search(r"[\s\x00-\x1f\x7f\\]", source):
        raise ValueError("should name a host, and have neither blanks nor backslashes")
    if "@" in parts.netloc:
        raise ValueError("should hold no user and no password, which would be kept; use a presigned address instead")
    return source.partition("#")[0]


Reference = Annotated[str, StringConstraints(min_length=1, max_length=8192), AfterValidator(_reference)]
ExpectedDigest = Annotated[str, StringConstraints(pattern=r"^(sha256:)?[0-9a-fA-F]{64}$")]


class Import(Frozen):
    """What to fetch, and what is known of it."""

    model_config = ConfigDict(hide_input_in_errors=True)

    source: Reference = Field(description=f"Where it is: {FORMS}.")
    name: Name | None = Field(None, description="What to call it; else as the source does.")
    sha256: ExpectedDigest | None = Field(None, description="Refuse what is fetched if this is not its digest.")

    def called(self) -> str:
        """The name that was given, or the last word of the source."""
        return self.name or default_name(self.source)

    def given(self) -> Architecture | DatasetSchema | None:
        """What it does not say itself."""
        return None

    def expected(self) -> str | None:
        """The digest that was given, in the form of a digest."""
        return None if self.sha256 is None else f"sha256:{self.sha256.removeprefix('sha256:').lower()}"


class ModelImport(Import):
    """A model to fetch."""

    architecture: Architecture | None = Field(None, description="For weights without a graph.")

    def given(self) -> Architecture | None:
        return self.architecture


class DatasetImport(Import):
    """A dataset to fetch: a file, so neither from a model registry nor from a repository."""

    declared: DatasetSchema | None = Field(None, alias="schema", description="What the file does not say itself.")

    @field_validator("source")
    @classmethod
    def _a_file(cls, source: str) -> str:
        if scheme_of(source) not in ("https", "http", "s3"):
            raise ValueError("should be https://HOST/PATH or s3://BUCKET/KEY; registries and repositories hold models")
        return source

    def given(self) -> DatasetSchema | None:
        return self.declared


class Source(Frozen):
    """Where something came from. What may be a secret in an address, its query, is left out."""

    uri: str = Field(
        description="As it was asked for, without a query; /v1/jobs/ID/artifacts/NAME of what a job has made."
    )
    revision: str | None = Field(
        None, description="What that was when it was fetched: a version, a commit, the file's ETag, or its digest."
    )


def scheme_of(source: str) -> str:
    return source.partition(":")[0].lower()


def shown(source: str) -> str:
    """A source as everyone may read it."""
    address, query, _ = source.partition("?")
    return f"{address}?…" if query and scheme_of(source) in ("http", "https") else source


def default_name(source: str) -> str:
    """What a source calls itself."""
    scheme = scheme_of(source)
    path = urlsplit(source).path if scheme in ("http", "https", "s3") else source.partition(":")[2]
    if scheme in ("mlflow", "models"):
        path = path.strip("/").partition("@")[0].partition("/")[0]
    if scheme == "hf":
        path = path.partition("@")[0]
    last = unquote(path.rstrip("/").rpartition("/")[2])
    return _UNPRINTABLE.sub("_", last)[-255:] or "import"
