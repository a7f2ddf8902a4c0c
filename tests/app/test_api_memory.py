"""Memory stays flat while a large file arrives, whichever way it comes."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import httpx

from tests.app.api_process import running

PIECE = bytes(range(256)) * 4096
PIECES = 300
GROWTH = 40 * 2**20


def pieces() -> Iterator[bytes]:
    yield from (PIECE for _ in range(PIECES))


def form() -> Iterator[bytes]:
    yield b'--b\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    yield from pieces()
    yield b"\r\n--b--\r\n"


def test_300_mib_raw_and_300_mib_as_a_form(tmp_path: Path) -> None:
    digest = hashlib.sha256(PIECE * PIECES).hexdigest()
    with running(tmp_path / "data") as api, httpx.Client(base_url=api.url, timeout=120) as http:
        http.put("/v1/models", content=PIECE * 8)
        http.post("/v1/models", files={"file": PIECE * 8})
        before = api.resident_bytes()
        raw = http.put("/v1/models", content=pieces(), headers={"Content-Length": str(len(PIECE) * PIECES)})
        sent = http.post("/v1/models", content=form(), headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert raw.json()["digest"] == sent.json()["digest"] == f"sha256:{digest}"
        assert api.resident_bytes(peak=True) - before < GROWTH
