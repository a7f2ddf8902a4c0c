"""The API as a real process on a real port, and its data seen from outside."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from store import paths

START_SECONDS = 60


class ApiProcess:
    """A running API: its address, its data folder, its log."""

    def __init__(self, data: Path, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = data
        self.log = data.with_suffix(".log")
        self._environment = environment(data, PITH_PORT=self.port, **settings)
        self.start()

    def start(self) -> None:
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app.serve"], env=self._environment, stdout=out, stderr=subprocess.STDOUT
            )

    def wait_until_it_answers(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.url}/livez", timeout=5).is_success:
                    return
            except httpx.TransportError:
                time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        finally:
            self.process.kill()

    def restart(self) -> None:
        self.stop()
        self.start()
        self.wait_until_it_answers()

    def setting(self, name: str) -> str:
        return self._environment[name]

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
    api = ApiProcess(data, **settings)
    try:
        api.wait_until_it_answers()
        yield api
    finally:
        api.stop()


def environment(data: Path, **settings: object) -> dict[str, str]:
    """Ours, without any PITH_ setting of the one who runs the tests."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("PITH_")}
    given = {name: str(value) for name, value in settings.items()}
    return {**own, "PITH_DATA_DIR": str(data), "PYTHONUNBUFFERED": "1", "OMP_NUM_THREADS": "1", **given}


def free_ports(count: int) -> int:
    """The first of so many neighbouring ports."""
    while True:
        first = free_port()
        try:
            with ExitStack() as held:
                for port in range(first, first + count):
                    held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return first
        except (OSError, OverflowError):
            continue


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
