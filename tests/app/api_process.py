"""The API as a real process on a real port, and its data seen from outside."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from store import paths

START_SECONDS = 60


class ApiProcess:
    """A running API: its address, its data folder, its process id, its log."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, data: Path, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.data = data
        self.log = log

    def incoming(self) -> list[Path]:
        """Files of uploads that have not ended."""
        return list(paths.incoming(paths.blobs(self.data)).iterdir())

    def blobs(self) -> list[Path]:
        return [file for file in (paths.blobs(self.data) / "sha256").rglob("*") if file.is_file()]

    def resident_bytes(self, peak: bool = False) -> int:
        field = "VmHWM" if peak else "VmRSS"
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return 1024 * int(next(line.split()[1] for line in status.splitlines() if line.startswith(field)))


@contextmanager
def running(data: Path, **settings: object) -> Iterator[ApiProcess]:
    port = free_port()
    log = data.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "app.serve"],
            env=environment(data, PITH_PORT=port, **settings),
            stdout=out,
            stderr=subprocess.STDOUT,
        )
        try:
            yield _answering(ApiProcess(process, port, data, log))
        finally:
            process.terminate()
            try:
                process.wait(30)
            finally:
                process.kill()


def environment(data: Path, **settings: object) -> dict[str, str]:
    """Ours, without any PITH_ setting of the one who runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PITH_")}
    given = {name: str(value) for name, value in settings.items()}
    return {**own, "PITH_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **given}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answering(api: ApiProcess) -> ApiProcess:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        assert api.process.poll() is None, api.log.read_text()
        try:
            if httpx.get(f"{api.url}/livez", timeout=5).is_success:
                return api
        except httpx.TransportError:
            time.sleep(0.05)
    raise AssertionError(api.log.read_text())
