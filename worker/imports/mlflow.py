"""A registered model of MLflow, through the REST API of its tracking server, which must serve artifacts itself."""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote, unquote, urlencode

import httpx
from pydantic import BaseModel, Field

from pith.errors import PithError
from worker.imports.choose import choose
from worker.imports.fetch import Fetcher, File

MOST_FILES = 10_000
_SOURCE = re.compile(r"(?:mlflow|models):/([^/@]+)(?:/(\d+)|@(.+))")
_SERVED = re.compile(r"mlflow-artifacts:(?://[^/]*)?/(.+)")
T = TypeVar("T", bound=BaseModel)


class _Version(BaseModel):
    version: str = Field(pattern=r"^[0-9]{1,9}$")


class _Aliased(BaseModel):
    model_version: _Version


class _Place(BaseModel):
    artifact_uri: str


class _Entry(BaseModel):
    path: str
    is_dir: bool = False
    file_size: int = Field(0, ge=0)


class _Listing(BaseModel):
    files: tuple[_Entry, ...] = ()


def find(source: str, tracking: str, fetcher: Fetcher) -> tuple[tuple[File, ...], str]:
    """The files of a model version, and ``models:/NAME/VERSION``. A user and password in ``tracking`` are sent along.

    Raises:
        PithError: ``import_refused``, or what the fetcher raises.
    """
    base, headers = _split(tracking)
    name, version = _version(source, base, headers, fetcher)
    place = _get(_Place, "model-versions/get-download-uri", base, headers, fetcher, name=name, version=version)
    root = _artifacts(source, place.artifact_uri)
    listed = dict(_listed(base, root, headers, fetcher))
    chosen = choose(listed, source)
    where = f"{base}/api/2.0/mlflow-artifacts/artifacts"
    files = (
        File(called, f"{where}/{quote(f'{root}/{path}')}", listed[path], headers) for path, called in chosen.items()
    )
    return tuple(files), f"models:/{name}/{version}"


def _version(source: str, base: str, headers: Mapping[str, str], fetcher: Fetcher) -> tuple[str, str]:
    found = _SOURCE.fullmatch(source)
    assert found is not None, "the contract lets nothing else through"
    name, version, alias = found.groups()
    if version is None:
        version = _get(
            _Aliased, "registered-models/alias", base, headers, fetcher, name=name, alias=alias
        ).model_version.version
    return name, version


def _artifacts(source: str, uri: str) -> str:
    """Where the files lie, below the root of what the server hands out."""
    found = _SERVED.fullmatch(uri)
    if found is None or ".." in found[1].split("/"):
        reason = f"its files lie at {uri.partition('?')[0][:200]!r}, which the tracking server does not hand out"
        way_out = "start it with --serve-artifacts, or import the file from there"
        raise PithError("import_refused", source=source, reason=reason, way_out=way_out)
    return found[1].strip("/")


def _listed(base: str, root: str, headers: Mapping[str, str], fetcher: Fetcher) -> Iterator[tuple[str, int]]:
    """Every file below, by its path from there, with its size; the first MOST_FILES."""
    folders, count = [""], 0
    while folders:
        folder = folders.pop()
        query = urlencode({"path": "/".join(part for part in (root, folder) if part)})
        said, _ = fetcher.json(f"{base}/api/2.0/mlflow-artifacts/artifacts?{query}", _Listing, headers)
        for one in said.files:
            path = "/".join(part for part in (folder, one.path) if part)
            count += 1
            if ".." in path.split("/") or count > MOST_FILES:
                return
            if one.is_dir:
                folders.append(path)
            else:
                yield path, one.file_size


def _get(kind: type[T], path: str, base: str, headers: Mapping[str, str], fetcher: Fetcher, **query: str | None) -> T:
    return fetcher.json(f"{base}/api/2.0/mlflow/{path}?{urlencode(query)}", kind, headers)[0]


def _split(tracking: str) -> tuple[str, Mapping[str, str]]:
    """The address, and its user and password as a header."""
    url = httpx.URL(tracking)
    if not url.userinfo:
        return tracking, {}
    word = base64.b64encode(unquote(url.userinfo.decode("ascii")).encode()).decode("ascii")
    return str(url.copy_with(userinfo=b"")).rstrip("/"), {"Authorization": f"Basic {word}"}
