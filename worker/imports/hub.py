"""A repository of the Hugging Face Hub: its files as the Hub's HTTP API lists them. Programs in it are left there."""

import re
from collections.abc import Iterator
from urllib.parse import quote

import httpx
from pydantic import BaseModel, Field

from worker.imports.choose import choose
from worker.imports.fetch import Fetcher, File

MOST_PAGES = 50
_SOURCE = re.compile(r"hf://([^/@]+/[^/@]+)(?:@(.+))?")


class _Revision(BaseModel):
    sha: str = Field(pattern=r"^[0-9a-f]{40}$")


class _Entry(BaseModel):
    type: str
    path: str
    size: int = Field(0, ge=0)


def find(source: str, endpoint: str, fetcher: Fetcher) -> tuple[tuple[File, ...], str]:
    """The files of the model, and the commit that the revision names just now. Raises PithError as the fetcher does."""
    found = _SOURCE.fullmatch(source)
    assert found is not None, "the contract lets nothing else through"
    repository, revision = found[1], found[2] or "main"
    said, _ = fetcher.json(f"{endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}", _Revision)
    commit = said.sha
    sizes = {one.path: one.size for one in _tree(repository, commit, endpoint, fetcher)}
    files = (
        File(name, f"{endpoint}/{repository}/resolve/{commit}/{quote(path)}", sizes[path])
        for path, name in choose(sizes, source).items()
    )
    return tuple(files), commit


def _tree(repository: str, commit: str, endpoint: str, fetcher: Fetcher) -> Iterator[_Entry]:
    """The files of the repository's own folder, page after page."""
    url: str | None = f"{endpoint}/api/models/{repository}/tree/{commit}"
    for _ in range(MOST_PAGES):
        if url is None:
            return
        entries, headers = fetcher.json(url, tuple[_Entry, ...])
        yield from (one for one in entries if one.type == "file" and ".." not in one.path.split("/"))
        url = httpx.Response(200, headers=headers).links.get("next", {}).get("url")
