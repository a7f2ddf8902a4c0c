"""A repository of the Hugging Face Hub: its files as the Hub's HTTP API lists them. Programs in it are left there."""

import re
from typing import Any
from urllib.parse import quote

import httpx

from pith.errors import PithError
from worker.imports.choose import choose
from worker.imports.fetch import Fetcher, File

MOST_PAGES = 50
_SOURCE = re.compile(r"hf://([^/@]+/[^/@]+)(?:@(.+))?")


def find(source: str, endpoint: str, fetcher: Fetcher) -> tuple[tuple[File, ...], str]:
    """The files of the model, and the commit that the revision names just now.

    Raises:
        PithError: ``import_refused``, or what the fetcher raises.
    """
    found = _SOURCE.fullmatch(source)
    assert found is not None, "the contract lets nothing else through"
    repository, revision = found[1], found[2] or "main"
    said, _ = fetcher.json(f"{endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}")
    commit = str(said.get("sha", "")) if isinstance(said, dict) else ""
    if not re.fullmatch(r"[0-9a-f]{40}", commit):
        way_out = "name another repository, or upload its files"
        raise PithError("import_refused", source=source, reason="it has no commit", way_out=way_out)
    sizes = {one["path"]: int(one["size"]) for one in _tree(repository, commit, endpoint, fetcher)}
    files = (
        File(name, f"{endpoint}/{repository}/resolve/{commit}/{quote(path)}", sizes[path])
        for path, name in choose(sizes, source).items()
    )
    return tuple(files), commit


def _tree(repository: str, commit: str, endpoint: str, fetcher: Fetcher) -> list[dict[str, Any]]:
    """The files of the repository's own folder, page after page."""
    url: str | None = f"{endpoint}/api/models/{repository}/tree/{commit}"
    found: list[dict[str, Any]] = []
    for _ in range(MOST_PAGES):
        if url is None:
            break
        entries, headers = fetcher.json(url)
        found += [one for one in entries if isinstance(one, dict) and one.get("type") == "file"]
        url = httpx.Response(200, headers=headers).links.get("next", {}).get("url")
    return [one for one in found if isinstance(one.get("path"), str) and isinstance(one.get("size"), int)]
