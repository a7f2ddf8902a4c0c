"""Several API processes that share a database and a bucket and nothing else: an upload goes on at any of them."""

import os
import random
import signal
import threading
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.app.api_process import ApiProcess, running
from tests.store.shop import digest
from tests.store.swift_process import SwiftProcess
from tests.waiting import eventually

CONTENT = random.Random(0).randbytes(40 * 2**20 + 17)
DIGEST = digest(CONTENT)


@pytest.fixture
def shared(swift: SwiftProcess, tmp_path: Path) -> dict[str, str]:
    """Settings of every machine."""
    return {**swift.environment(swift.create_bucket()), "PITH_DATABASE_URL": f"sqlite:///{tmp_path}/shared.db"}


@pytest.fixture
def machines(shared: dict[str, str], tmp_path: Path) -> Iterator[tuple[ApiProcess, ApiProcess]]:
    with running(tmp_path / "one", **shared) as one, running(tmp_path / "two", **shared) as two:
        yield one, two


@pytest.fixture
def begun(machines: tuple[ApiProcess, ApiProcess]) -> str:
    made = httpx.post(f"{machines[0].url}/v1/uploads", headers={"Upload-Length": str(len(CONTENT))})
    return str(made.headers["location"])


def send(machine: ApiProcess, path: str, start: int, end: int) -> httpx.Response:
    span = {"Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"}
    return httpx.put(machine.url + path, content=CONTENT[start:end], headers=span, timeout=60)


def offset(machine: ApiProcess, path: str) -> int | None:
    """None while another machine holds the upload."""
    answer = httpx.head(machine.url + path, headers={"Tus-Resumable": "1.0.0"}, timeout=30)
    return int(answer.headers["upload-offset"]) if answer.is_success else None


def test_parts_go_to_any_machine(machines: tuple[ApiProcess, ApiProcess], begun: str) -> None:
    cuts = [0, 5, 16 * 2**20, 16 * 2**20 + 1, 33 * 2**20, len(CONTENT)]
    for number, (start, end) in enumerate(pairwise(cuts)):
        sent = send(machines[number % 2], begun, start, end)
        assert sent.is_success, sent.text
        if end < len(CONTENT):
            assert [offset(machine, begun) for machine in machines] == [end, end]
    made = sent.json()
    assert made["digest"] == DIGEST
    assert [httpx.get(f"{one.url}/v1/models/{made['id']}").json()["digest"] for one in machines] == [DIGEST, DIGEST]


def test_another_machine_goes_on_when_one_is_killed(machines: tuple[ApiProcess, ApiProcess], begun: str) -> None:
    first, second = machines

    def slowly() -> Iterator[bytes]:
        for start in range(0, len(CONTENT), 2**20):
            yield CONTENT[start : start + 2**20]
            if start > 18 * 2**20:
                dead.wait(60)

    def upload() -> None:
        span = {"Content-Range": f"bytes 0-{len(CONTENT) - 1}/{len(CONTENT)}"}
        with pytest.raises(httpx.TransportError):
            httpx.put(first.url + begun, content=slowly(), headers=span, timeout=60)

    dead = threading.Event()
    sending = threading.Thread(target=upload)
    sending.start()
    eventually(lambda: httpx.get(second.url + begun).json()["offset"] >= 16 * 2**20)
    os.kill(first.process.pid, signal.SIGKILL)
    dead.set()
    sending.join()
    there = eventually(lambda: offset(second, begun))
    assert 16 * 2**20 <= there < 20 * 2**20
    assert send(second, begun, there, len(CONTENT)).json()["digest"] == DIGEST


def test_nothing_of_an_upload_is_on_a_machine(
    machines: tuple[ApiProcess, ApiProcess], begun: str, tmp_path: Path
) -> None:
    assert send(machines[0], begun, 0, 17 * 2**20).is_success
    assert send(machines[1], begun, 17 * 2**20, len(CONTENT)).json()["digest"] == DIGEST
    assert httpx.put(f"{machines[0].url}/v1/models", content=CONTENT[:100]).is_success
    assert not [file for name in ("one", "two") for file in (tmp_path / name).rglob("*") if file.is_file()]
