"""What a worker has at hand: the database's jobs, the blobs, the fork server, its settings and its name."""

import os
import secrets
import socket
import threading
from dataclasses import dataclass, field

from pith.worker import WorkerDevice
from store.blobs import Blobs
from store.database import Database
from store.jobs import Jobs
from store.port import Life
from store.settings import Settings
from worker.settings import WorkerSettings
from worker.warm_client import WarmServer


def _name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(3)}"


@dataclass(frozen=True)
class Workplace:
    """``stopping`` is set when the worker is told to leave: the running job is then given back."""

    database: Database
    jobs: Jobs
    blobs: Blobs
    server: WarmServer
    settings: Settings
    options: WorkerSettings
    device: WorkerDevice = "cpu"
    name: str = field(default_factory=_name)
    stopping: threading.Event = field(default_factory=threading.Event)
    life: Life = field(default_factory=Life)
