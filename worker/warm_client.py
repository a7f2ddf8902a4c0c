"""The worker's side of the fork server: start it, have it fork, hear of the end, kill. One job at a time."""

import contextlib
import logging
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from worker import guard, wire
from worker.sandbox import Policy

ENTRY = "engine.main:main"
# What torch and onnxruntime import late, when they export or quantize: more than a second that every job would wait.
# A version of theirs that has no such module is no error.
PRELOAD = (
    "onnxruntime.quantization",
    "onnxscript.function_libs.torch_lib.ops",
    "torch._functorch.aot_autograd",
    "torch._inductor.decomposition",
    "torch.export.passes",
    "torch.onnx._internal.exporter._core",
)
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "LD_LIBRARY_PATH", "PYTHONPATH", "CUDA_VISIBLE_DEVICES")
# One thread: a fork copies only the thread that forks. The same hashes: two attempts see sets in the same order.
# Threads that wait sleep: spinning ones made a training step ten times slower wherever cores were shared.
# Arrow without its background thread, for the same reason as the first.
# Without telemetry: onnxruntime would start a thread on import, which reports to its maker's servers.
_SET = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "OPENBLAS_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONSAFEPATH": "1",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
_KILL_SECONDS = 10.0
_log = logging.getLogger(__name__)


class End(NamedTuple):
    """How a job's process ended: by an exit code, by a signal, or with the fork server (both None)."""

    code: int | None = None
    signal: int | None = None


class WarmServer:
    """The fork server's process, started on demand and again when it died."""

    def __init__(self, entry: str = ENTRY, preload: Sequence[str] = PRELOAD) -> None:
        self._command = [sys.executable, "-m", "worker.warm", "--entry", entry, "--preload", *preload]
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def warm_up(self) -> None:
        """Start the server unless it runs; returns before it has imported everything."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._reap()
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                    env=_environment(),
                    start_new_session=True,
                )

    def start(self, policy: Policy) -> "Child":
        """Ask for a job's process. It may start only after the server has got ready."""
        self.warm_up()
        assert self._process is not None
        with contextlib.suppress(BrokenPipeError):  # the child will be found ended
            wire.send(_descriptor(self._process, "stdin"), wire.Start(policy=policy))
        return Child(self._process)

    def close(self) -> None:
        """End the server; what it forked dies with it."""
        with self._lock:
            self._reap()

    def _reap(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()
        process.kill()
        process.wait()


class Child:
    """One job's process, from the request for it to its end."""

    def __init__(self, server: subprocess.Popen[bytes]) -> None:
        self._server = server
        self.pid: int | None = None
        self._end: End | None = None

    def wait(self, timeout: float) -> End | None:
        """The end; None when there is none after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        descriptor = _descriptor(self._server, "stdout")
        while self._end is None:
            left = deadline - time.monotonic()
            if not select.select([descriptor], [], [], max(left, 0))[0]:
                return None
            self._hear(wire.receive(descriptor))
        return self._end

    def kill(self) -> End:
        """Kill the process and all that it started, and wait until they are gone."""
        if end := self.wait(0):
            return end
        if self.pid is None:  # asked for and not begun: the server goes, and with it the request
            self._server.kill()
        else:
            self._signal(guard.STOP)
        if (end := self.wait(_KILL_SECONDS)) is None:
            self._signal(signal.SIGKILL)
            end = self.wait(_KILL_SECONDS)
        return end or End()

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid or self._server.pid, number)

    def _hear(self, message: wire.Message | None) -> None:
        match message:
            case wire.Ready(threads=threads):
                log = _log.info if threads == 1 else _log.warning
                log("the fork server is ready, with %d thread(s)", threads)
            case wire.Started(pid=pid):
                self.pid = pid
            case wire.Ended(pid=self.pid, code=code):
                self._end = End(code=code) if code >= 0 else End(signal=-code)
            case None:
                self._server.wait()
                self._end = End()


def _environment() -> dict[str, str]:
    """Nothing of the worker's: its environment holds the passwords of the database and the broker."""
    return {name: os.environ[name] for name in _INHERITED if name in os.environ} | _SET


def _descriptor(process: subprocess.Popen[bytes], name: str) -> int:
    pipe = getattr(process, name)
    descriptor: int = pipe.fileno()
    return descriptor
