"""The processes around a job's process: who ends it, who hears of its end, and where its output goes.

    fork server ── guard ── init ── job    the guard leads a session and group of its own; init is number 1 of the
                                           job's process namespace, and left out where there can be none

Each dies with the one on its left. The job cannot escape: init is out of its reach, and takes the namespace along.
STOP, sent to the guard, kills init and job; the guard ends when both are gone, as it does whenever the job ends.
"""

import contextlib
import os
import select
import signal
import struct
from pathlib import Path
from typing import NoReturn

from worker import kernel, namespaces

LOG_NAME = "child.log"
LOG_BYTES = 1 << 20
STOP = signal.SIGUSR1  # the fork server blocks it, so that it can be sent to a guard that has only begun
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
    _lead_a_group(0)
    if "pid_namespace" in entered:
        _be_init(tell)
    else:
        _die_with(guard)
    os.dup2(writer, 1)
    os.dup2(writer, 2)
    os.closerange(3, _open_limit())
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {STOP})
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


def _lead_a_group(pid: int) -> None:
    with contextlib.suppress(OSError):  # parent and child both do it; the second is refused at times
        os.setpgid(pid, pid)


def _guard(child: int, reader: int, log: int, told: int) -> NoReturn:
    _lead_a_group(child)
    signal.signal(STOP, lambda number, frame: _kill_group(child))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {STOP})
    _keep_log(child, reader, log)
    os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
    _kill_group(child)  # what the job has left behind, where no init takes it along
    _, status = os.waitpid(child, 0)
    if said := os.read(told, 4):
        (status,) = struct.unpack("=i", said)
    _end_as(status)


def _kill_group(leader: int) -> None:
    """The leader must not have been waited for yet: its number is its group's."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def _keep_log(child: int, reader: int, log: int) -> None:
    """Copy the first LOG_BYTES and throw the rest away, so that a talkative job neither blocks nor fills the disk.

    Ends with the output, or with the child when something else still holds the other end of the pipe.
    """
    os.set_blocking(reader, False)
    room = LOG_BYTES
    ready = select.poll()
    ready.register(reader, select.POLLIN)
    while True:
        if not ready.poll(_POLL_MS):
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return
        elif data := os.read(reader, 1 << 16):
            room -= os.write(log, data[:room]) if room else 0
        else:
            return


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
