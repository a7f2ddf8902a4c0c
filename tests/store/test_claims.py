"""Many workers, one job: real processes race for it."""

import subprocess
from collections.abc import Callable

from pith.ids import new_id
from store.tables import JobRow
from tests.store.shop import Shop

Start = Callable[..., "subprocess.Popen[str]"]

CLAIM = """
import sys
from store.database import Database
from store.jobs import Jobs
url, worker, *ids = sys.argv[1:]
jobs = Jobs(Database(url))
jobs.get(ids[0])
print("ready", flush=True)
sys.stdin.readline()
print(*(id for id in ids if jobs.claim(id, worker, 60)))
"""
RECORD = """
import sys
from datetime import datetime, UTC
from store.database import Database
from store.jobs import Jobs
from pith.job import EngineEvent
jobs = Jobs(Database(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(20):
    event = EngineEvent(at=datetime.now(UTC), type="progress", message=f"{sys.argv[3]} {number}")
    assert jobs.record(sys.argv[2], 1, [event, event]) == "running"
"""


def race(processes: list["subprocess.Popen[str]"]) -> list[str]:
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    results = [process.communicate() for process in processes]
    assert [errors for _, errors in results] == [""] * len(processes)
    return [out for out, _ in results]


def test_of_several_processes_one_gets_each_job(shop: Shop, database_url: str, python: Start) -> None:
    spec = shop.spec()
    ids = [shop.jobs.submit(spec).id for _ in range(25)]
    won = race([python(CLAIM, database_url, f"w{number}", *ids) for number in range(2)])
    assert sorted(" ".join(won).split()) == sorted(ids)
    with shop.db.reader() as session:
        owners = {id: session.get_one(JobRow, id).lease_owner for id in ids}
    assert owners == {id: f"w{number}" for number, line in enumerate(won) for id in line.split()}
    assert {shop.jobs.get(id).attempt for id in ids} == {1}


def test_events_of_several_processes_are_numbered_without_a_gap(shop: Shop, database_url: str, python: Start) -> None:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    race([python(RECORD, database_url, job.id, name) for name in ("a", "b")])
    events = shop.jobs.events(job.id, limit=1000)
    assert [event.seq for event in events] == list(range(1, 83))
    for name in ("a", "b"):
        said = [event.message for event in events if event.message.startswith(name)]
        assert said == [f"{name} {number}" for number in range(20) for _ in range(2)]


def test_two_schedulers_reap_a_job_once(shop: Shop, database_url: str, python: Start) -> None:
    spec = shop.spec()
    ids = [shop.jobs.submit(spec).id for _ in range(25)]
    for id in ids:
        shop.jobs.claim(id, "w", -1)
    reap = CLAIM.split("print(*")[0] + "print(*jobs.reap())"
    reaped = race([python(reap, database_url, new_id("job"), ids[0]) for _ in range(2)])
    assert sorted(" ".join(reaped).split()) == sorted(ids)
    for id in ids:
        assert [event.type for event in shop.jobs.events(id)] == ["queued", "started", "requeued"]
