"""The messages between a worker and its fork server: four bytes of length, then JSON. Both ends are ours."""

import os
import struct
from pathlib import Path
from typing import Literal

from pydantic import Field, TypeAdapter

from pith.base import Frozen
from worker.sandbox import Policy


class Start(Frozen):
    """Worker to server: fork a job's process."""

    kind: Literal["start"] = "start"
    policy: Policy


class Ready(Frozen):
    """Server to worker: everything is imported."""

    kind: Literal["ready"] = "ready"
    threads: int = Field(description="Threads of the server; more than one makes forking it unsafe.")


class Started(Frozen):
    """Server to worker: the guard's process, which leads a group of its own."""

    kind: Literal["started"] = "started"
    pid: int


class Ended(Frozen):
    """Server to worker: ``code`` is an exit code, or a signal's number below zero."""

    kind: Literal["ended"] = "ended"
    pid: int
    code: int


Message = Start | Ready | Started | Ended
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


def send(descriptor: int, message: Message) -> None:
    body = _MESSAGE.dump_json(message)
    data = struct.pack("=I", len(body)) + body
    while data:
        data = data[os.write(descriptor, data) :]


def receive(descriptor: int) -> Message | None:
    """The next message, waited for; None when the other end is closed."""
    header = _exactly(descriptor, 4)
    if header is None:
        return None
    (length,) = struct.unpack("=I", header)
    body = _exactly(descriptor, length)
    return None if body is None else _MESSAGE.validate_json(body)


def _exactly(descriptor: int, length: int) -> bytes | None:
    data = b""
    while len(data) < length:
        part = os.read(descriptor, length - len(data))
        if not part:
            return None
        data += part
    return data


def thread_count() -> int:
    """Threads of this process, those of C libraries included; 1 where the system does not tell."""
    tasks = Path("/proc/self/task")
    return len(list(tasks.iterdir())) if tasks.is_dir() else 1
