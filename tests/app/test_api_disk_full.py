"""A disk that is full: the upload is refused with 507, nothing of it stays, and the service goes on."""

import hashlib
import os
import resource
import sys
from pathlib import Path

import httpx
import pytest

from tests.app.api_process import running

MOST = 8 * 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limits, which only Linux can")
def test_a_file_that_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    """No file of the process may grow beyond MOST, which it meets as it meets a full disk."""
    with running(tmp_path / "data") as api, httpx.Client(base_url=api.url, timeout=60) as http:
        resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (MOST, MOST))
        over = os.urandom(MOST + 1)
        for refused in (
            http.put("/v1/models", content=over),
            http.put("/v1/models", content=iter([over])),
            http.post("/v1/models", files={"file": ("a", over)}),
        ):
            assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
            assert api.incoming() == [] and api.blobs() == []
        assert http.put("/v1/models", content=over[:MOST]).status_code == 201


@pytest.mark.skipif(sys.platform != "linux", reason="sets another process's limits, which only Linux can")
def test_an_upload_in_parts_keeps_what_fits_and_goes_on_when_there_is_room(tmp_path: Path) -> None:
    with running(tmp_path / "data") as api, httpx.Client(base_url=api.url, timeout=60) as http:
        content = os.urandom(MOST + 1000)
        path = http.post("/v1/uploads", headers={"Upload-Length": str(len(content))}).headers["location"]
        resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (MOST, resource.RLIM_INFINITY))
        refused = http.put(path, content=content)
        assert (refused.status_code, refused.json()["code"]) == (507, "storage_full")
        there = int(http.head(path).headers["upload-offset"])
        assert 0 < there <= MOST and refused.headers["upload-offset"] == str(there)
        assert http.get("/v1/models").json()["data"] == [] and api.blobs() == []
        resource.prlimit(api.process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        rest = {"Content-Range": f"bytes {there}-{len(content) - 1}/{len(content)}"}
        made = http.put(path, content=content[there:], headers=rest).json()
        assert made["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
