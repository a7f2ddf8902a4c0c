"""Checks of hostile uploads in processes like the service's, without its sandbox: a canary would be free to sing."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from engine.jobdir import IntakeJob, JobDir
from pith.dataset import DatasetSchema
from pith.errors import Problem
from pith.intake import Architecture
from tests.hostile.case import Canary, Hostile
from tests.hostile.entry import CODE
from worker.guard import LOG_NAME
from worker.sandbox import Policy
from worker.warm_client import WarmServer

MEMORY = 3 << 30
SECONDS = 600.0
_DIGEST = "sha256:" + "0" * 64


class Verdict(NamedTuple):
    """How a check ended (None: not at all), what it said, which files it left in ``out/``, and what it printed."""

    code: int | None
    problem: Problem | None
    left: tuple[str, ...]
    log: str


class Listener(NamedTuple):
    """A port that only code out of a file would call."""

    server: socket.socket

    @property
    def port(self) -> int:
        port: int = self.server.getsockname()[1]
        return port

    def called(self) -> bool:
        try:
            self.server.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@contextmanager
def listener() -> Iterator[Listener]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield Listener(server)


def staged(root: Path, case: Hostile, canary: Canary) -> JobDir:
    """A job folder as the worker stages it."""
    folder = JobDir(root)
    root.mkdir(parents=True)
    if case.build is not None:
        case.build(folder.upload, canary)
    job = IntakeJob(
        resource=case.kind,
        file_name=case.file_name,
        digest=None if case.build is None else _DIGEST,
        architecture=None if case.architecture is None else Architecture.model_validate(case.architecture),
        declared=None if case.schema is None else DatasetSchema.model_validate(case.schema),
    )
    folder.intake.write_text(job.model_dump_json())
    return folder


def tried(server: WarmServer, root: Path) -> None:
    """Check whatever is staged below that folder, in one fresh process with bounded memory."""
    child = server.start(Policy(job_dir=root, confine=False, memory_bytes=MEMORY))
    while child.wait(SECONDS) is None:
        child.kill()


def verdict(folder: JobDir) -> Verdict:
    """What became of the check in that folder."""
    said, log = folder.root / CODE, folder.root.parent / LOG_NAME
    return Verdict(
        int(said.read_text()) if said.exists() else None,
        Problem.model_validate(json.loads(folder.error.read_text())) if folder.error.exists() else None,
        tuple(sorted(path.relative_to(folder.out).as_posix() for path in _files(folder.out))),
        log.read_text()[-3000:] if log.exists() else "",
    )


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if not path.is_dir() or path.is_symlink())
