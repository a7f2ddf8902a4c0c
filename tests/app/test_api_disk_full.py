"""A disk that is full: the upload is refused with 507, nothing of it stays, and the service goes on."""

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
