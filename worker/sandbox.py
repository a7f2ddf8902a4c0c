"""The sandbox of a job's process: no network, no other folder, no other program, no other process, bounded memory.

Each layer is tried on its own, and what the system lacks is left out of the names that apply() returns. Not bounded
here: shared memory (RLIMIT_DATA does not count it), and the sum of the files in out/, which the supervisor watches.
"""

import contextlib
import faulthandler
import os
import resource
import site
import sys
import sysconfig
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import Field

from engine.jobdir import JobDir
from pith.base import Frozen
from worker import guard, kernel, landlock, namespaces, seccomp

LAYERS = (
    "user_namespace",
    "network_namespace",
    "ipc_namespace",
    "uts_namespace",
    "pid_namespace",
    "no_new_privileges",
    "no_capabilities",
    "landlock",
    "landlock_network",
    "landlock_scope",
    "seccomp",
)
_PROCESSES, _PROCESSES_PER_THREAD = 512, 16  # the kernel counts threads, and every library has its own pool
_OPEN_FILES = 4096
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/etc/ld.so.cache", "/etc/localtime")
_SHARE = ("/usr/share/zoneinfo",)
_PROC = ("cpuinfo", "meminfo", "stat", "version", "self", "sys/vm", "sys/kernel/osrelease", "sys/kernel/cap_last_cap")
_SYS = ("/sys/devices/system/cpu", "/sys/devices/system/node")
_GPU_READ = (
    "/proc/driver/nvidia",
    "/proc/devices",
    "/proc/modules",
    "/sys/bus/pci",
    "/sys/devices",
    "/sys/module/nvidia",
)
_GROUP_READ = ("/sys/bus/pci", "/sys/devices")  # gloo looks whether there is a faster way than TCP
_GPU_SHARE = ("/usr/share/nvidia", "/etc/nvidia", "/usr/local/cuda")
_DEVICES = ("null", "zero", "full", "random", "urandom")


class Policy(Frozen):
    """What one job's process may use. Sizes are bytes; ``None`` is no limit."""

    job_dir: Path
    confine: bool = True
    memory_bytes: int | None = Field(None, ge=1)
    file_bytes: int = Field(1 << 36, ge=1)
    threads: int = Field(1, ge=1)
    gpu: bool = False
    processes: int = Field(1, ge=1, description="That train together, and so need a loopback interface.")


def apply(policy: Policy, parent: int) -> tuple[str, ...]:
    """Put the sandbox around this process, which ``parent`` has just forked and which has one thread.

    Returns, in a child of the caller, the names of the protections that are on; the caller itself becomes the guard.
    """
    folder = JobDir(policy.job_dir)
    folder.scratch.mkdir(parents=True, exist_ok=True)
    _volunteer_for_the_oom_killer()
    entered = guard.stand(policy.job_dir / guard.LOG_NAME, parent, policy.confine)
    loopback = policy.processes > 1 and "network_namespace" in entered and _on(namespaces.raise_loopback)
    faulthandler.enable()
    os.umask(0o077)
    _scrub_environment(folder.scratch, policy)
    os.chdir(folder.scratch)
    limits = _limit(policy, counted_alone="user_namespace" in entered and os.getuid() != 0)
    return (*entered, *(_confine(policy, loopback) if policy.confine else ()), *limits)


def _confine(policy: Policy, loopback: bool) -> tuple[str, ...]:
    names: list[str] = []
    if _on(lambda: kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)):
        names.append("no_new_privileges")
    abi = 0

    def restrict() -> None:
        nonlocal abi
        abi = landlock.restrict(readable(policy), [JobDir(policy.job_dir).out], devices(policy.gpu), loopback)

    if _on(restrict):
        names.append("landlock")
        names += ["landlock_network"] * (abi >= 4 and not loopback) + ["landlock_scope"] * (abi >= 6)
    if _on(kernel.drop_capabilities):
        names.append("no_capabilities")
    if _on(lambda: seccomp.install(loopback)):
        names.append("seccomp")
    return tuple(name for name in LAYERS if name in names)


def _on(layer: Callable[[], object]) -> bool:
    try:
        layer()
    except OSError:
        return False
    return True


def readable(policy: Policy) -> list[Path]:
    """What a job may read: Python, its libraries, this project's code, facts about the CPU, and its own folder."""
    proc = [Path("/proc") / name for name in _PROC]
    gpu = (*_GPU_READ, *_GPU_SHARE) if policy.gpu else ()
    group = _GROUP_READ if policy.processes > 1 else ()
    fixed = [Path(name) for name in (*_SYSTEM, *_SHARE, *_SYS, *gpu, *group)]
    return [*_libraries(), *_own_code(), *fixed, *proc, policy.job_dir]


def _libraries() -> list[Path]:
    installed = [sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found = [entry for entry in sys.path if Path(entry).name in ("site-packages", "dist-packages")]
    prefixes = [f"{prefix}/{name}" for prefix in {sys.prefix, sys.base_prefix} for name in ("lib", "lib64")]
    return [Path(entry) for entry in {*installed, *found, *site.getsitepackages(), *prefixes}]


def _own_code() -> list[Path]:
    """The folders of the packages, and not the one that they lie in: the data folder may lie there too."""
    project = Path(__file__).resolve().parent.parent
    return [project / name for name in ("worker", "engine", "pith")]


def devices(gpu: bool, folder: Path = Path("/dev")) -> list[Path]:
    nodes = [folder / name for name in _DEVICES]
    return [*nodes, *sorted(folder.glob("nvidia*"))] if gpu else nodes


def _volunteer_for_the_oom_killer() -> None:
    with contextlib.suppress(OSError):  # not Linux, or not ours to say
        Path("/proc/self/oom_score_adj").write_text("1000")


def _scrub_environment(scratch: Path, policy: Policy) -> None:
    kept = {name: os.environ[name] for name in ("CUDA_VISIBLE_DEVICES", "TZ") if name in os.environ}
    caches = ("TMPDIR", "HOME", "XDG_CACHE_HOME", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
    os.environ.clear()
    os.environ.update(kept)
    os.environ.update(dict.fromkeys(caches, str(scratch)))
    os.environ.update(PATH="", LANG="C.UTF-8", USER="pith", LOGNAME="pith")
    os.environ.update(OMP_NUM_THREADS=str(policy.threads), ORT_DISABLE_TELEMETRY="1")
    if policy.processes > 1:
        os.environ.update(GLOO_SOCKET_IFNAME="lo")
    tempfile.tempdir = str(scratch)


def _limit(policy: Policy, *, counted_alone: bool) -> list[str]:
    """Resource limits. RLIMIT_DATA, because torch maps far more than it uses; none for CUDA, for the same reason.

    Processes are limited only where the kernel counts them apart from the user's others; it never counts root's.
    """
    wanted = [("", resource.RLIMIT_CORE, 0), ("", resource.RLIMIT_NOFILE, _OPEN_FILES)]
    wanted.append(("file_size_limit", resource.RLIMIT_FSIZE, policy.file_bytes))
    if policy.memory_bytes is not None and not policy.gpu:
        wanted.append(("memory_limit", resource.RLIMIT_DATA, _share(policy.memory_bytes, policy.processes)))
    if counted_alone:
        processes = _PROCESSES + _PROCESSES_PER_THREAD * policy.threads
        wanted.append(("process_limit", resource.RLIMIT_NPROC, processes))
    for _, kind, limit in wanted:
        _, hard = resource.getrlimit(kind)
        lowered = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (lowered, lowered))
    return [name for name, _, _ in wanted if name]


def _share(memory: int, processes: int) -> int:
    """Of each process: what all of them have from the one they are forked from, and a part of the rest."""
    if processes == 1:
        return memory
    had = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
    return had + max(memory - had, 0) // processes


def probe() -> tuple[str, ...]:
    """The protections that this system offers, found out by putting them on in a throwaway process.

    Call it while the process has one thread.
    """
    with tempfile.TemporaryDirectory(prefix="pith-probe-") as folder:
        parent = os.getpid()
        child = os.fork()
        if not child:
            _probe_and_exit(Path(folder), parent)
        os.waitpid(child, 0)
        log = Path(folder) / guard.LOG_NAME
        names = log.read_text().split() if log.exists() else []
    return tuple(name for name in names if name in LAYERS)


def _probe_and_exit(folder: Path, parent: int) -> None:
    try:
        names = apply(Policy(job_dir=folder), parent)
        os.write(1, " ".join(names).encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)
