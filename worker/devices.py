"""What this worker's jobs compute on. Asked of torch in a process of its own: the worker itself must not load it."""

import contextlib
import subprocess
import sys
from functools import cache
from pathlib import Path

from pith.errors import PithError
from pith.worker import WorkerDevice
from worker.settings import WorkerSettings

NODES = Path("/dev")
_ASK = "import torch; print(torch.cuda.device_count())"
_PATIENCE_SECONDS = 300


def resolve(options: WorkerSettings) -> WorkerDevice:
    """
    Raises:
        PithError: ``setting_refused`` for a GPU that is not there, or more processes than there are GPUs.
    """
    if options.device == "cpu" or options.worker_queues == ("intake",):
        return "cpu"
    found = gpus()
    if options.device == "gpu" and not found:
        reason = "torch sees no GPU here; set auto or cpu, or look at the driver and CUDA_VISIBLE_DEVICES"
        raise PithError("setting_refused", name="PITH_DEVICE", value="gpu", reason=reason)
    if found and options.job_processes > found:
        reason = f"there is one process for each GPU, and torch sees {found}; set {found} or less"
        raise PithError("setting_refused", name="PITH_JOB_PROCESSES", value=options.job_processes, reason=reason)
    return "gpu" if found else "cpu"


def gpus() -> int:
    """How many torch sees. Not asked where there are no device nodes."""
    return _asked() if any(NODES.glob("nvidia[0-9]*")) else 0


@cache
def _asked() -> int:
    with contextlib.suppress(OSError, ValueError, subprocess.SubprocessError):
        command = (sys.executable, "-c", _ASK)
        return int(subprocess.run(command, capture_output=True, check=True, timeout=_PATIENCE_SECONDS).stdout)
    return 0
