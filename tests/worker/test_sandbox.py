"""Breaking out, tried from the inside. Each attempt is also made without the sandbox, where it must work: otherwise it
would be refused for some other reason, and prove nothing."""

import ctypes
import errno
import json
import os
import platform
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.jobdir import JobDir
from tests.worker.conftest import SECRET
from worker import kernel, sandbox, seccomp
from worker.guard import LOG_BYTES, LOG_NAME
from worker.kernel import Machine
from worker.sandbox import Policy
from worker.warm_client import WarmServer

# name: an expression; `secret`, `tcp`, `unix`, `server` and `worker` are of the world outside.
ATTEMPTS = {
    "open a TCP connection": "socket.create_connection(('127.0.0.1', tcp), 5)",
    "send a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', tcp))",
    "connect to a UNIX socket by path": "socket.socket(socket.AF_UNIX).connect(unix)",
    "read /etc/passwd": "open('/etc/passwd').read()",
    "read /etc/passwd by way of its own /proc": "open('/proc/self/root/etc/passwd').read()",
    "read a file of another job": "open(secret).read()",
    "watch the folder of another job": "call(254, call(253), os.path.dirname(secret).encode(), 0x100)",
    "list the folder of another job": "os.listdir(os.path.dirname(secret))",
    "open the folder of the project": "os.listdir(project)",
    "write into another folder": "open(secret + '.new', 'w')",
    "truncate a file of another job": "os.truncate(secret + '.spare', 0)",
    "delete a file of another job": "os.unlink(secret + '.spare')",
    "change its own job": "open(folder.spec, 'w')",
    "link to a file outside": "os.link(secret, folder.out / 'stolen')",
    "make a symbolic link": "os.symlink(secret, folder.out / 'symlink')",
    "make a named pipe": "os.mkfifo(folder.out / 'fifo')",
    "start a program": "subprocess.run(['/bin/true'], check=True)",
    "signal the worker": "os.kill(worker, 0)",
    "signal the fork server": "os.kill(server, 0)",
    "read the environment of the fork server": "open(f'/proc/{server}/environ').read()",
    "read the environment of the worker": "open(f'/proc/{worker}/environ').read()",
    "see the processes of others": "open(f'/proc/{worker}/status').read()",
    "read the memory of the worker": "open(f'/proc/{worker}/mem', 'rb')",
    "limit the worker": "resource.prlimit(worker, resource.RLIMIT_CORE)",
    "trace the worker": "call(101, 0x4206, worker, 0, 0)",
    "make a user namespace": "call(272, 0x10000000)",
    "outlive the guard": "call(157, 1, 0)",
    "leave the session": "in_child(os.setsid)",
}
AS_ROOT_ONLY = {"trace the worker"}
SCRIPT = """
import ctypes, json, os, resource, socket, subprocess
libc = ctypes.CDLL(None, use_errno=True)
def call(*arguments):
    result = libc.syscall(*arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result
def in_child(action):
    if child := os.fork():
        if os.waitpid(child, 0)[1]:
            raise OSError("refused to the child")
    else:
        try:
            action()
        except OSError:
            os._exit(1)
        os._exit(0)
facts = json.loads((folder.root / "facts.json").read_text())
globals().update(facts)
found = {}
for name, attempt in facts["attempts"].items():
    try:
        eval(attempt)
        found[name] = "done"
    except OSError as error:
        found[name] = f"refused: {error}"
found["sandbox"] = list(sandbox)
(folder.out / "found.json").write_text(json.dumps(found))
"""
INTEL = pytest.mark.skipif(kernel.machine() != "x86_64", reason="the attempts use x86-64 system call numbers")


def run_script(forker: WarmServer, policy: Policy, script: str, **facts: object) -> Any:
    """What the script left in found.json; None when it left none."""
    folder = JobDir(policy.job_dir)
    folder.scratch.mkdir(parents=True)
    folder.spec.write_text("{}")
    folder.model.write_text(script)
    (folder.root / "facts.json").write_text(json.dumps(facts))
    end = forker.start(policy).wait(60)
    assert end is not None and end.code == 0, (end, (folder.root / LOG_NAME).read_text())
    found = folder.out / "found.json"
    return json.loads(found.read_text()) if found.exists() else None


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, object]]:
    """Things to reach for: a secret, a listening TCP port and a listening UNIX socket."""
    folder = tmp_path_factory.mktemp("outside")
    secret = folder / "secret"
    for name in ("secret", "secret.spare"):
        (folder / name).write_text("of another job")
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(folder / "s"))
        unix.listen()
        facts = {"secret": str(secret), "tcp": tcp.getsockname()[1], "unix": str(folder / "s")}
        yield facts | {"worker": os.getpid(), "project": str(Path(sandbox.__file__).parents[1])}


def _attempted(server: WarmServer, folder: Path, outside: dict[str, object], confine: bool) -> Any:
    server.warm_up()
    policy = Policy(job_dir=folder, confine=confine)
    return run_script(server, policy, SCRIPT, **outside, server=server.pid, attempts=ATTEMPTS)


@pytest.fixture(scope="module")
def confined(server: WarmServer, tmp_path_factory: pytest.TempPathFactory, outside: dict[str, object]) -> Any:
    return _attempted(server, tmp_path_factory.mktemp("confined"), outside, confine=True)


@pytest.fixture(scope="module")
def free(
    server: WarmServer,
    tmp_path_factory: pytest.TempPathFactory,
    outside: dict[str, object],
    confined: dict[str, Any],
) -> Any:
    return _attempted(server, tmp_path_factory.mktemp("free"), outside, confine=False)


@INTEL
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_attempt_is_refused_inside_and_works_outside(
    attempt: str, confined: dict[str, Any], free: dict[str, Any]
) -> None:
    if missing := set(sandbox.LAYERS) - set(confined["sandbox"]):
        pytest.skip(f"this system has no {', '.join(missing)}")
    assert str(confined[attempt]).startswith("refused")
    if attempt not in AS_ROOT_ONLY or os.geteuid() == 0:
        assert free[attempt] == "done"


def test_what_the_kernel_offers_is_used() -> None:
    """Found out without our code; else a layer that we broke would only make tests skip."""
    found = set(sandbox.probe())
    if Path("/proc/sys/kernel/seccomp").is_dir():
        assert {"no_new_privileges", "no_capabilities", "seccomp"} <= found
    if ctypes.CDLL(None).syscall(444, None, ctypes.c_long(0), 1) >= 6:
        assert {"landlock", "landlock_network", "landlock_scope"} <= found
    unshare = shutil.which("unshare")
    if unshare and not subprocess.run([unshare, "-U", "-n", "-i", "-u", "-p", "true"], check=False).returncode:
        assert {name for name in sandbox.LAYERS if name.endswith("_namespace")} <= found


def test_the_secret_survived(confined: dict[str, Any], outside: dict[str, object]) -> None:
    assert confined
    assert Path(str(outside["secret"])).read_text() == "of another job"


@pytest.mark.skipif(kernel.machine() is None, reason="no system call numbers for this machine")
def test_modes_and_dates_outside_stay_as_they_are(server: WarmServer, tmp_path: Path) -> None:
    """Landlock does not guard them: the call seems to work and does nothing."""
    victim = tmp_path / "victim"
    victim.touch(mode=0o644)
    before = victim.stat()
    script = "import os\nos.chmod(victim, 0)\nos.utime(victim, (1, 1))".replace("victim", repr(str(victim)))
    run_script(server, Policy(job_dir=tmp_path / "job"), script)
    after = victim.stat()
    assert (after.st_mode, after.st_mtime) == (before.st_mode, before.st_mtime)


def test_nothing_of_the_worker_is_in_the_environment(server: WarmServer, tmp_path: Path) -> None:
    script = """
import json, os
(folder.out / "found.json").write_text(json.dumps([dict(os.environ), open("/proc/self/environ").read()]))
"""
    environment, at_start = run_script(server, Policy(job_dir=tmp_path / "job"), script)
    assert SECRET not in at_start
    assert SECRET not in environment.values()
    assert environment["HOME"] == environment["TMPDIR"] == str(tmp_path / "job" / "out" / "scratch")
    assert "PYTHONPATH" not in environment


def test_what_a_job_prints_is_bounded(server: WarmServer, tmp_path: Path) -> None:
    run_script(server, Policy(job_dir=tmp_path / "job"), "for _ in range(300): print('x' * 9999)")
    assert (tmp_path / "job" / LOG_NAME).stat().st_size == LOG_BYTES


def test_a_job_may_close_its_output(server: WarmServer, tmp_path: Path) -> None:
    run_script(server, Policy(job_dir=tmp_path / "job"), "import os, time\nos.close(1)\nos.close(2)\ntime.sleep(0.3)")


def test_a_file_may_not_grow_beyond_its_limit(server: WarmServer, tmp_path: Path) -> None:
    script = """
import json
try:
    (folder.out / "large").write_bytes(bytes(2 << 20))
except OSError as error:
    (folder.out / "found.json").write_text(json.dumps(error.errno))
"""
    assert run_script(server, Policy(job_dir=tmp_path / "job", file_bytes=1 << 20), script) == errno.EFBIG


def test_the_kernel_may_end_a_job_first(server: WarmServer, tmp_path: Path) -> None:
    script = "(folder.out / 'found.json').write_text(open('/proc/self/oom_score_adj').read())"
    assert run_script(server, Policy(job_dir=tmp_path / "job"), script) == 1000


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_every_filter_is_well_formed(machine: Machine) -> None:
    """No jump leads out of the program, and the last word is a return."""
    program = seccomp.program(machine)
    assert len(program) < 4096
    for at, (code, when, otherwise, _) in enumerate(program):
        if code != seccomp._RETURN:
            assert at + 1 + max(when, otherwise) < len(program)
    assert program[-1][0] == seccomp._RETURN


def test_where_there_are_no_system_call_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    with pytest.raises(OSError, match="no system call numbers"):
        seccomp.install()
