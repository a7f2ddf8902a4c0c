"""The embedded service, `pith up`, as a real process."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.app.api_process import environment, free_port
from tests.processes import children, command_of


class Up:
    """A running `python -m app.up`."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path) -> None:
        self.process = process
        self.url = f"http://127.0.0.1:{port}"
        self.log = log

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        return f"Pith is ready: {self.url}" in self.log.read_text()

    def child(self, word: str) -> int | None:
        """The process id of the child with this in its command line."""
        return next((pid for pid in children(self.process.pid) if word in command_of(pid)), None)


MODULE = (sys.executable, "-m", "app.up")
COMMAND = (str(Path(sys.executable).with_name("pith")), "up")


@contextmanager
def up(data: Path, command: Sequence[str] = MODULE, cwd: Path | None = None, **settings: object) -> Iterator[Up]:
    port, log = free_port(), data.with_suffix(".log")
    with log.open("wb") as out:
        whole = environment(data, PITH_PORT=port, **settings)
        process = subprocess.Popen(command, cwd=cwd, env=whole, stdout=out, stderr=subprocess.STDOUT)
        try:
            yield Up(process, port, log)
        finally:
            process.kill()
            process.wait()
