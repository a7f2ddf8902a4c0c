"""Systems that offer less: every layer that is missing is left out and said so, and the rest still holds."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import is_gone
from tests.waiting import eventually
from tests.worker.processes import ROOT
from worker import kernel, sandbox

pytestmark = pytest.mark.skipif(kernel.machine() is None, reason="no system call numbers for this machine")

LEFT_BEHIND = """
import os, sys, time
from pathlib import Path
from tests.worker.poor_system import UNSHARE, refuse
from worker import sandbox
refuse(unshare=UNSHARE)
folder, parent = Path(sys.argv[1]), os.getpid()
if guard := os.fork():
    assert os.waitpid(guard, 0)[1] == 0
    print("ended", flush=True)
    sys.stdin.read()
    os._exit(0)
names = sandbox.apply(sandbox.Policy(job_dir=folder), parent)
assert "pid_namespace" not in names
if os.fork():
    time.sleep(0.2)
    os._exit(0)
(folder / "out" / "pid").write_text(str(os.getpid()))
time.sleep(600)
"""


PROBE = """
from tests.worker.poor_system import *
from worker import sandbox
refuse({})
print(*sandbox.probe())
"""


def probed(refused: str) -> set[str]:
    command = [sys.executable, "-c", PROBE.format(refused)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_a_container_without_namespaces() -> None:
    layers = {layer for layer in sandbox.LAYERS if not layer.endswith("_namespace")}
    assert probed("unshare=UNSHARE") == layers & set(sandbox.probe())


def test_a_kernel_without_landlock_and_namespaces() -> None:
    assert probed("unshare=UNSHARE, landlock=LANDLOCK") == {"no_new_privileges", "no_capabilities", "seccomp"}


def test_without_a_process_namespace_nothing_is_left_behind_either(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LEFT_BEHIND, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ended\n"
        left = int((tmp_path / "out" / "pid").read_text())
        eventually(lambda: is_gone(left))


def test_require_refuses_to_start_where_a_layer_is_missing(tmp_path: Path) -> None:
    code = """
import os, runpy, sys
from tests.worker.poor_system import UNSHARE, refuse
os.environ.update(PITH_SANDBOX="require", PITH_DATA_DIR=sys.argv[1], PITH_REDIS_URL="redis://localhost:1")
refuse(unshare=UNSHARE)
runpy.run_module("worker", run_name="__main__")
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "cannot start: This system lacks user_namespace" in done.stderr


@pytest.mark.parametrize(
    ("setting", "said"),
    [({"PITH_DEVICE": "tpu"}, "PITH_DEVICE: Input should be"), ({"PITH_REDIS_URL": "amqp://host"}, "amqp")],
)
def test_wrong_settings_refuse_to_start(setting: dict[str, str], said: str, tmp_path: Path) -> None:
    environment = {"PITH_DATA_DIR": str(tmp_path), "PITH_REDIS_URL": "redis://localhost:1", **setting}
    done = subprocess.run(
        [sys.executable, "-m", "worker"], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "the worker cannot start" in done.stderr
    assert said in done.stderr
