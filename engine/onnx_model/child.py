"""Work that may crash, hang or eat the memory, done in a forked child: the parent gets a text or an error.

The child may use no torch operation (a fork of a process that ran one with several threads would hang in it).
"""

import contextlib
import faulthandler
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from engine.onnx_model.limits import OnnxLimits
from engine.onnx_model.refusals import malformed, said, unsupported
from pith.errors import PithError, Problem

_GOOD, _REFUSED, _FAULT, _MEMORY = 0, 10, 11, 12
_MOST_SAID = 256 << 20


def in_child(work: Callable[[], str], folder: Path, data_bytes: int, limits: OnnxLimits) -> str:
    """What ``work`` returns, from a child whose memory and time are bounded. ``folder`` takes its answer.

    Raises:
        PithError: what ``work`` raised, or that it crashed, took too long or needed too much memory.
    """
    answer = folder / "answer"
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        _child(work, answer, data_bytes, limits)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code not in (_GOOD, _REFUSED, _FAULT):
        _died(code, limits)
    text = _text(answer)
    if code == _REFUSED:
        raise _problem(text)
    if code == _FAULT:
        malformed("its graph", text)
    return text


def _child(work: Callable[[], str], answer: Path, data_bytes: int, limits: OnnxLimits) -> None:
    """Never returns."""
    code = _MEMORY
    try:
        _bound(data_bytes, limits)
        answer.write_text(work(), encoding="utf-8")
        code = _GOOD
    except PithError as error:
        answer.write_text(error.problem.model_dump_json(), encoding="utf-8")
        code = _REFUSED
    except MemoryError:
        code = _MEMORY
    except BaseException as error:  # whatever a library raises is about the file; nothing may leave this process
        answer.write_text(f"{type(error).__name__}: {said(error)}", encoding="utf-8")
        code = _FAULT
    finally:
        os._exit(code)


def _bound(data_bytes: int, limits: OnnxLimits) -> None:
    with contextlib.suppress(OSError):  # a sandbox may hide it; what the runtime prints is of no use to anybody
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    faulthandler.disable()
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(limits.seconds)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (limits.seconds, limits.seconds))
    most = _used() + 6 * data_bytes + limits.memory
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard == resource.RLIM_INFINITY or most < hard:
        resource.setrlimit(resource.RLIMIT_AS, (most, hard))


def _used() -> int:
    """Bytes of address space that this process has; 0 where the system does not say."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 1 << 40


def _died(code: int, limits: OnnxLimits) -> None:
    if code in (-signal.SIGALRM, -signal.SIGXCPU):
        unsupported(f"a graph that runs longer than {limits.seconds} seconds", "send one whose loops end soon")
    if code in (_MEMORY, -signal.SIGKILL):
        unsupported("a graph that needs more memory than may be used here", "send a smaller one")
    cause = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    malformed("its graph", f"the runtime broke down on it ({cause})")


def _text(answer: Path) -> str:
    if not answer.is_file() or answer.stat().st_size > _MOST_SAID:
        malformed("its graph", "its check left no answer")
    return answer.read_text(encoding="utf-8")


def _problem(text: str) -> PithError:
    try:
        return PithError.of(Problem.model_validate_json(text))
    except ValidationError as error:
        raise PithError("model_malformed", where="its graph", reason="its check broke down") from error
