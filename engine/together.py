"""The processes of one job that trains in several: this one forks them, and ends as they end.

Fork from a process that has imported torch and computed nothing. Where one of them dies by a signal, all do.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

GRACE_SECONDS = 2.0
"""For the others to end of themselves when one has ended badly, so that the cause is told from its consequences."""
FAULT = 70
_POLL_SECONDS = 0.05


def together(size: int, part: Callable[[int], int]) -> int:
    """``part(rank)`` in so many processes; the exit code of the first one, which ends the others."""
    running = {_fork(part, rank): rank for rank in range(size)}
    codes: dict[int, int] = {}
    while 0 not in codes and not any(codes.values()):
        pid, status = os.wait()
        codes[running.pop(pid)] = os.waitstatus_to_exitcode(status)
    if any(codes.values()):
        _wait_a_little(running, codes)
    _kill(running)
    for code in codes.values():
        if code < 0:
            _die_by(-code)
    return codes.get(0, FAULT)


def _fork(part: Callable[[int], int], rank: int) -> int:
    child = os.fork()
    if not child:
        _work(part, rank)
    return child


def _work(part: Callable[[int], int], rank: int) -> NoReturn:
    code = FAULT
    try:
        code = part(rank)
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _wait_a_little(running: dict[int, int], codes: dict[int, int]) -> None:
    deadline = time.monotonic() + GRACE_SECONDS
    while running and time.monotonic() < deadline:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid:
            codes[running.pop(pid)] = os.waitstatus_to_exitcode(status)
        else:
            time.sleep(_POLL_SECONDS)


def _kill(running: dict[int, int]) -> None:
    for pid in running:
        os.kill(pid, signal.SIGKILL)
    for pid in running:
        os.waitpid(pid, 0)


def _die_by(number: int) -> NoReturn:
    if number != signal.SIGKILL:
        signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    signal.pause()
    os._exit(FAULT)
