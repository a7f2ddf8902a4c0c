"""One child of the embedded service: started, listened to, started again when it ends, and ended with us."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STEADY_SECONDS = 60.0
LONGEST_LINE = 2**16
_PR_SET_PDEATHSIG = 1


class Child:
    """Not started yet. All methods belong to the main thread: the kernel ends a child with the thread that made it.

    ``ready`` is what its lines hold once it works; ``usual`` is found in lines that nobody needs to read.
    """

    def __init__(
        self,
        name: str,
        command: tuple[str, ...],
        environment: Mapping[str, str],
        ready: str = "",
        usual: re.Pattern[str] | None = None,
    ) -> None:
        self.name = name
        self._ready = ready
        self._usual = usual
        self.is_ready = not ready
        self._command = command
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""
        self._started = 0.0
        self.pause = 0.0
        self.start_at = 0.0
        self.killed = False
        """Whether its last end was a signal's doing, not its own."""

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> int:
        """Returns the file descriptor of its output, to be watched."""
        self._process = subprocess.Popen(
            self._command,
            env=dict(self._environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us, who then end the children in order
            preexec_fn=_die_with_parent(),
        )
        self._started = time.monotonic()
        assert self._process.stdout is not None
        os.set_blocking(self._process.stdout.fileno(), False)
        return self._process.stdout.fileno()

    def lines(self) -> Iterator[str]:
        """What it has said since, without waiting; the last line too, once it has ended."""
        for line in self._all_lines():
            self.is_ready = self.is_ready or self._ready in line
            if self._usual is None or not self._usual.search(line):
                yield line

    def _all_lines(self) -> Iterator[str]:
        ended = not self.alive
        while (output := self._process and self._process.stdout) and (data := output.read(LONGEST_LINE)):
            *whole, self._rest = (self._rest + data).split(b"\n")
            yield from (line.decode("utf-8", "replace") for line in whole)
            if len(self._rest) > LONGEST_LINE:
                yield self._last()
        if ended and self._rest:
            yield self._last()

    def _last(self) -> str:
        rest, self._rest = self._rest, b""
        return rest.decode("utf-8", "replace")

    def bury(self) -> str:
        """It has ended: free what it held, set ``start_at``, and say how it ended."""
        assert self._process is not None and self._process.stdout is not None
        code = self._process.wait()
        self._process.stdout.close()
        self._process = None
        self.killed = code < 0
        steady = time.monotonic() - self._started > STEADY_SECONDS
        self.pause = FIRST_PAUSE if steady else min(max(2 * self.pause, FIRST_PAUSE), LONGEST_PAUSE)
        self.start_at = time.monotonic() + self.pause
        return f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"

    def signal(self, number: signal.Signals) -> None:
        if self.alive and self._process is not None:
            self._process.send_signal(number)


def _die_with_parent() -> Callable[[], None] | None:
    """For Linux: be killed when the parent is, however that happens. Elsewhere a killed parent leaves its children."""
    if sys.platform != "linux":
        return None
    libc, parent = ctypes.CDLL(None), os.getpid()

    def ask() -> None:
        libc.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)

    return ask
