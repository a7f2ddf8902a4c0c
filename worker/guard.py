"""The processes around a job's process: who ends it, who hears of its end, and where its output goes.

    fork server ── guard ── init ── job    the guard leads a session and group of its own; init is number 1 of the
                                           job's process namespace, and left out where there can be none

Each dies with the one on its left. The job cannot escape: init is out of its reach, and takes the namespace along.
"""

import os
import select
import signal
import struct
from pathlib import Path
from typing import NoReturn

from worker import kernel, namespaces

LOG_NAME = "child.log"
LOG_BYTES = 1 << 20
_POLL_MS = 200


def stand(log: Path, parent: int, confine: bool) -> tuple[str, ...]:
    """Become a guard and return in the job's process, which is its child. Returns the namespaces that were entered.

    ``parent`` is the process that forked the caller; the guard ends as the job ended, by exit code or by signal.
    """
    _leave_parent()
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    entered = namespaces.enter() if confine else ()
    _die_with(parent)
    reader, writer = os.pipe()
    told, tell = os.pipe()
    guard = os.getpid()
    if child := os.fork():
        os.close(writer)
        os.close(tell)
        _guard(child, reader, output, told)
    if "pid_namespace" in entered:
        _be_init(tell)
    else:
        _die_with(guard)
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.closerange(3, _open_limit())
    return entered


def _leave_parent() -> None:
    """A session, signal handlers and descriptors of one's own."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number in (signal.SIGINT, signal.SIGTERM):  # may reach every process at once; the supervisor decides
        signal.signal(number, signal.SIG_IGN)
    os.closerange(3, _open_limit())
    os.setsid()


def _open_limit() -> int:
    return min(os.sysconf("SC_OPEN_MAX"), 1 << 16)


def _die_with(parent: int) -> None:
    """Be killed when the parent ends, and at once when it has ended already."""
    _ask_to_die()
    if os.getppid() != parent:
        os._exit(1)


def _ask_to_die() -> None:
    try:
        kernel.prctl(kernel.PR_SET_PDEATHSIG, int(signal.SIGKILL))
    except OSError:
        return  # not Linux: the supervisor kills the group


def _be_init(tell: int) -> None:
    """Be number 1 of a process namespace; returns in its child, the job."""
    _ask_to_die()
    if job := os.fork():
        os.closerange(0, tell)
        os.closerange(tell + 1, _open_limit())
        _wait_as_init(job, tell)


def _wait_as_init(job: int, tell: int) -> NoReturn:
    """Collect whatever ends in here, and leave with the job; the kernel kills what is left behind."""
    guard_is_gone = select.poll()
    guard_is_gone.register(tell, 0)
    if guard_is_gone.poll(0):
        os._exit(1)
    while True:
        ended, status = os.wait()
        if ended == job:
            os.write(tell, struct.pack("=i", status))
            os._exit(0)


def _guard(child: int, reader: int, log: int, told: int) -> NoReturn:
    status = _keep_log(child, reader, log)
    if status is None:
        _, status = os.waitpid(child, 0)
    if said := os.read(told, 4):
        (status,) = struct.unpack("=i", said)
    _end_as(status)


def _keep_log(child: int, reader: int, log: int) -> int | None:
    """Copy the first LOG_BYTES and throw the rest away, so that a talkative job neither blocks nor fills the disk.

    Returns the child's status when it ended while something else still held the other end of the pipe.
    """
    os.set_blocking(reader, False)
    kept = 0
    status: int | None = None
    ready = select.poll()
    ready.register(reader, select.POLLIN)
    while True:
        if not ready.poll(_POLL_MS if status is None else 0):
            if status is not None:
                return status
            ended, code = os.waitpid(child, os.WNOHANG)
            status = code if ended else None
            continue
        data = os.read(reader, 1 << 16)
        if not data:
            return status
        if keep := data[: LOG_BYTES - kept]:
            kept += os.write(log, keep)


def _end_as(status: int) -> NoReturn:
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
        signal.pause()
    os._exit(code)


def last_lines(log: Path, count: int) -> list[str]:
    """The end of what a job printed, without control characters."""
    try:
        text = log.read_bytes()[-count * 400 :].decode(errors="replace")
    except OSError:
        return []
    return ["".join(filter(str.isprintable, line))[:400] for line in text.splitlines()[-count:]]
