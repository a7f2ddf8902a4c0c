"""The check of an upload, as the service runs it, tries to break out into the real surroundings of a data folder.

Each attempt is also made without the sandbox, where it must work: otherwise it would prove nothing.
"""

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from store import paths
from tests.store.shop import Shop
from tests.worker.conftest import SECRET
from tests.worker.test_sandbox import INTEL
from worker import sandbox, supervise
from worker.workplace import Workplace

# name: an expression; `database`, `blob`, `other_job`, `tcp`, `unix` and `packages` are of the world outside.
ATTEMPTS = {
    "read the database": "open(database, 'rb').read(16)",
    "write to the database": "os.close(os.open(database, os.O_WRONLY))",
    "list the data folder": "os.listdir(os.path.dirname(database))",
    "read another upload": "open(blob, 'rb').read()",
    "list all uploads": "os.listdir(os.path.dirname(blob))",
    "read the folder of another job": "open(other_job).read()",
    "change the upload that it looks at": "os.close(os.open(folder.upload, os.O_WRONLY))",
    "call the broker by TCP": "socket.create_connection(('127.0.0.1', tcp), 5)",
    "call the broker by its path": "socket.socket(socket.AF_UNIX).connect(unix)",
    "send a datagram": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', tcp))",
    "listen on a port": "socket.create_server(('127.0.0.1', 0)).close()",
    "start a program of its own": "subprocess.run([own_program()], check=True)",
    "start a program from memory": "subprocess.run([program_in_memory()], pass_fds=[memory], check=True)",
    "write among the service's code": "os.close(os.open(packages, os.O_TMPFILE | os.O_WRONLY, 0o600))",
    "read /etc/passwd": "open('/etc/passwd').read()",
    "leave shared memory behind": "open('/dev/shm/pith-test', 'w').close() or os.unlink('/dev/shm/pith-test')",
    "kill what started it": "os.kill(parent, 0)",
    "trace what started it": "open(f'/proc/{parent}/mem', 'rb')",
    "read the environment of what started it": "open(f'/proc/{parent}/environ').read()",
}
SCRIPT = """
import json, os, shutil, socket, subprocess
globals().update(json.loads(FACTS))
memory = os.memfd_create("x")
def own_program():
    path = folder.out / "program"
    shutil.copy("/bin/true", path)
    path.chmod(0o700)
    return str(path)
def program_in_memory():
    with open("/bin/true", "rb") as file:
        os.write(memory, file.read())
    return f"/proc/self/fd/{memory}"
for name, attempt in attempts.items():
    try:
        eval(attempt)
        events.emit("warning", name, outcome="done")
    except OSError as error:
        events.emit("warning", name, outcome=f"refused: {error}")
events.emit("warning", "environment", values=sorted(os.environ.values()), sandbox=list(sandbox))
learn()
"""


@pytest.fixture
def outside(shop: Shop, place: Workplace, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """What lies around a check: a database, another upload, another job's folder, a broker."""
    data = place.settings.data_dir
    other = paths.work(data, "job_" + "0" * 26, 1) / "secret"
    other.parent.mkdir(parents=True)
    other.write_text("of another job")
    digest = shop.blob(b"another upload")[0]
    shop.blobs.link_to(digest, tmp_path / "probe")
    blob = next(path for path in (data / "blobs").rglob(digest.removeprefix("sha256:")))
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        unix.bind(str(tmp_path / "s"))
        unix.listen()
        place.server.warm_up()
        yield {
            "database": str(data / "pith.db"),
            "blob": str(blob),
            "other_job": str(other),
            "tcp": tcp.getsockname()[1],
            "unix": str(tmp_path / "s"),
            "packages": str(Path(sandbox.__file__).parent),
            "parent": place.server.pid,
            "attempts": ATTEMPTS,
        }


def _said(place: Workplace, shop: Shop, outside: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What an upload whose check runs that script has to tell, by the event's message."""
    script = SCRIPT.replace("FACTS", repr(json.dumps(outside)))
    upload = shop.unchecked_model(script.encode())
    supervise.run(place, upload.check)
    assert place.jobs.get(upload.check).status == "succeeded", place.jobs.get(upload.check).error
    return {event.message: dict(event.data) for event in place.jobs.events(upload.check) if event.type == "warning"}


@INTEL
def test_every_way_out_is_closed_and_would_be_open_without_the_sandbox(
    place: Workplace, shop: Shop, outside: dict[str, Any]
) -> None:
    inside = _said(place, shop, outside)
    if missing := set(sandbox.LAYERS) - set(inside["environment"]["sandbox"]):
        pytest.skip(f"this system has no {', '.join(missing)}")
    assert {
        name: inside[name]["outcome"] for name in ATTEMPTS if not inside[name]["outcome"].startswith("refused")
    } == {}
    free = _said(replace(place, options=place.options.model_copy(update={"sandbox": "off"})), shop, outside)
    assert {name: free[name]["outcome"] for name in ATTEMPTS if free[name]["outcome"] != "done"} == {}


def test_no_secret_is_in_the_environment(place: Workplace, shop: Shop, outside: dict[str, Any]) -> None:
    assert SECRET not in _said(place, shop, {**outside, "attempts": {}})["environment"]["values"]
