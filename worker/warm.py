"""The fork server: a process that has imported torch and the engine and computed nothing, and forks one child per job.

    python -m worker.warm [--entry MODULE:FUNCTION] [--preload MODULE …]

It speaks worker/wire.py on its standard input and output, and ends when its input does. It holds no credentials.
"""

import argparse
import contextlib
import gc
import importlib
import os
import select
import signal
import sys
import traceback
from collections.abc import Callable
from typing import NoReturn

from worker import guard, sandbox, wire
from worker.sandbox import Policy

Entry = Callable[..., int]
FAULT = 70


def main() -> None:
    options = _options()
    requests, replies = _take_over_standard_streams()
    for number in (signal.SIGINT, signal.SIGTERM):  # the worker decides when to end: it closes the input
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_BLOCK, {guard.STOP})
    module, _, function = options.entry.partition(":")
    entry: Entry = getattr(importlib.import_module(module), function)
    for name in options.preload:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    serve(requests, replies, entry)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m worker.warm")
    parser.add_argument("--entry", default="engine.main:main", help="called in the child with the job folder")
    parser.add_argument("--preload", nargs="*", default=[], help="modules to import before the first job")
    return parser.parse_args()


def _take_over_standard_streams() -> tuple[int, int]:
    """Keep the two pipes for messages alone; whatever prints goes to standard error."""
    requests, replies = os.dup(0), os.dup(1)
    with open(os.devnull, "rb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    return requests, replies


def serve(requests: int, replies: int, entry: Entry) -> None:
    """Fork on request and report every end, until the requests' other end is closed."""
    wakened = _wake_on_child()
    with contextlib.suppress(BrokenPipeError):
        wire.send(replies, wire.Ready(threads=wire.thread_count()))
        while True:
            readable, _, _ = select.select([requests, wakened], [], [])
            if wakened in readable:
                os.read(wakened, 4096)
                _report_ended(replies)
            if requests in readable:
                message = wire.receive(requests)
                if not isinstance(message, wire.Start):
                    return
                wire.send(replies, wire.Started(pid=_fork(message.policy, entry)))


def _wake_on_child() -> int:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    return reader


def _report_ended(replies: int) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            wire.send(replies, wire.Ended(pid=pid, code=os.waitstatus_to_exitcode(status)))


def _fork(policy: Policy, entry: Entry) -> int:
    server = os.getpid()
    child = os.fork()
    if not child:
        _work(policy, entry, server)
    return child


def _work(policy: Policy, entry: Entry, server: int) -> NoReturn:
    code = FAULT
    try:
        code = entry(policy.job_dir, sandbox=sandbox.apply(policy, server))
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
