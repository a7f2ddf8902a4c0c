"""Workers: the processes that take up jobs and checks of uploads."""

from datetime import datetime
from typing import Literal

from pydantic import Field

from pith.base import Frozen

WorkerDevice = Literal["cpu", "gpu"]
WorkerQueue = Literal["intake", "jobs", "own"]


class Worker(Frozen):
    """One that has lately been seen."""

    name: str
    host: str
    device: WorkerDevice
    queues: tuple[WorkerQueue, ...] = Field(
        description="jobs: those that ask for its device or for none; own: only those that ask for its device; "
        "intake: checks of uploads."
    )
    started_at: datetime
    seen_at: datetime
