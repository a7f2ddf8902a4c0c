"""Breaking out, tried from the inside. Each attempt is also made without the sandbox, where it must work: otherwise it
would be refused for some other reason, and prove nothing."""

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.jobdir import JobDir
from worker import kernel, sandbox
from worker.guard import LOG_NAME
from worker.sandbox import Policy
from worker.warm_client import WarmServer

# name: an expression; `secret`, `tcp`, `unix`, `server` and `worker` are of the world outside.
ATTEMPTS = {
    "open a TCP connection": "socket.create_connection(('127.0.0.1', tcp), 5)",
    "send a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', tcp))",
    "connect to a UNIX socket by path": "socket.socket(socket.AF_UNIX).connect(unix)",
    "read /etc/passwd": "open('/etc/passwd').read()",
    "read a file of another job": "open(secret).read()",
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
    if libc.syscall(*arguments) < 0:
        raise OSError(ctypes.get_errno(), "refused")
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


def run_script(forker: WarmServer, policy: Policy, script: str, **facts: object) -> dict[str, object]:
    """What the script left in found.json; empty when it left none."""
    folder = JobDir(policy.job_dir)
    folder.scratch.mkdir(parents=True)
    folder.spec.write_text("{}")
    folder.model.write_text(script)
    (folder.root / "facts.json").write_text(json.dumps(facts))
    end = forker.start(policy).wait(60)
    assert end is not None and end.code == 0, (end, (folder.root / LOG_NAME).read_text())
    found = folder.out / "found.json"
    return json.loads(found.read_text()) if found.exists() else {}


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


def _attempted(server: WarmServer, folder: Path, outside: dict[str, object], confine: bool) -> dict[str, object]:
    server.warm_up()
    policy = Policy(job_dir=folder, confine=confine)
    return run_script(server, policy, SCRIPT, **outside, server=server.pid, attempts=ATTEMPTS)


@pytest.fixture(scope="module")
def confined(
    server: WarmServer, tmp_path_factory: pytest.TempPathFactory, outside: dict[str, object]
) -> dict[str, object]:
    return _attempted(server, tmp_path_factory.mktemp("confined"), outside, confine=True)


@pytest.fixture(scope="module")
def free(
    server: WarmServer,
    tmp_path_factory: pytest.TempPathFactory,
    outside: dict[str, object],
    confined: dict[str, object],
) -> dict[str, object]:
    return _attempted(server, tmp_path_factory.mktemp("free"), outside, confine=False)


@INTEL
@pytest.mark.parametrize("attempt", ATTEMPTS)
def test_attempt_is_refused_inside_and_works_outside(
    attempt: str, confined: dict[str, object], free: dict[str, object]
) -> None:
    if missing := set(sandbox.LAYERS) - set(confined["sandbox"]):  # type: ignore[call-overload]
        pytest.skip(f"this system has no {', '.join(missing)}")
    assert str(confined[attempt]).startswith("refused")
    if attempt not in AS_ROOT_ONLY or os.geteuid() == 0:
        assert free[attempt] == "done"


def test_the_secret_survived(confined: dict[str, object], outside: dict[str, object]) -> None:
    assert Path(str(outside["secret"])).read_text() == "of another job"
