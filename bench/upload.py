"""(c) Upload rate of 1 GiB, whole and in two parts, against copying and hashing the same file; (d) the API's memory."""

import hashlib
import os
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import httpx

from bench.service import resident, running

SIZE = 1 << 30
PIECE = 4 << 20
ROUNDS = 3


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = folder / "source"
        with source.open("wb") as file:
            for _ in range(SIZE // PIECE):
                file.write(os.urandom(PIECE))
        with running(folder, "app.serve") as (url, pid):
            before = resident(pid)
            rounds = [
                (_upload(source, url, number), _resumable(source, url, number + ROUNDS), _copy_and_hash(source))
                for number in range(ROUNDS)
            ]
            after = resident(pid)
    uploaded, parts, copied = (SIZE / 1e6 / statistics.median(column) for column in zip(*rounds, strict=True))
    return {
        "uploaded": uploaded,
        "parts": parts,
        "copied": copied,
        "ratio": statistics.median(copy / upload for upload, _, copy in rounds),
        "parts_ratio": statistics.median(copy / part for _, part, copy in rounds),
        "before": before,
        "after": after,
    }


def _upload(source: Path, url: str, number: int) -> float:
    """With curl, as a user would."""
    _change(source, number)
    started = time.perf_counter()
    subprocess.run(["curl", "-fsS", "-o", "/dev/null", "-T", str(source), f"{url}/v1/models?name=big"], check=True)
    return time.perf_counter() - started


def _resumable(source: Path, url: str, number: int) -> float:
    """The same, cut in two: the second half of an upload that can be resumed, which is read once more to be hashed."""
    _change(source, number)
    started = time.perf_counter()
    path = httpx.post(f"{url}/v1/uploads", headers={"Upload-Length": str(SIZE)}).headers["location"]
    half = SIZE // 2
    kind = {"Content-Type": "application/partial-upload", "Upload-Offset": "0"}
    with source.open("rb") as file:
        pieces = (file.read(PIECE) for _ in range(half // PIECE))
        httpx.patch(url + path, content=pieces, headers=kind, timeout=300).raise_for_status()
    command = ["curl", "-fsS", "-o", "/dev/null", "-C", str(half), "-T", str(source), url + path]
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def _change(source: Path, number: int) -> None:
    """The first bytes differ each time, so nothing is deduplicated."""
    with source.open("r+b") as file:
        file.write(number.to_bytes(8, "big"))
    os.sync()


def _copy_and_hash(source: Path) -> float:
    """What storing it safely must cost: read, hash, write, flush to the disk."""
    target = source.with_name("target")
    os.sync()
    started = time.perf_counter()
    digest = hashlib.sha256()
    with source.open("rb") as reader, target.open("wb") as writer:
        while piece := reader.read(PIECE):
            digest.update(piece)
            writer.write(piece)
        writer.flush()
        os.fsync(writer.fileno())
    seconds = time.perf_counter() - started
    target.unlink()
    return seconds
