"""A service of many real processes over one data folder, any of which can be struck at any moment and is started again.

The engine of its jobs is a script (tests/worker/entries.py) that hashes a number step by step, with checkpoints: its
result tells whether a step was left out, or done twice.
"""

import contextlib
import hashlib
import os
import random
import secrets
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx

from pith.client import Pith
from pith.errors import PithError
from pith.job import FINAL, Job, JobSpec
from store.database import Database
from store.queue import Queue
from tests.app.api_process import free_port
from tests.chaos.machine import Clock, SmallDisk
from tests.processes import command_of, descendants
from tests.store.postgres_process import PostgresProcess
from tests.store.redis_process import RedisProcess
from tests.store.shop import PRUNE, Shop

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "LEASE_SECONDS": "3",
    "HEARTBEAT_SECONDS": "0.3",
    "REAP_SECONDS": "0.5",
    "DISPATCH_SECONDS": "0.2",
    "RETRY_SECONDS": "0.1",
    "MAX_ATTEMPTS": "100",
    "DRAIN_SECONDS": "2",
    "DEVICE": "cpu",
    "THREADS": "1",
    "JOB_MEMORY_BYTES": str(1 << 30),
}
STEPS = 40
SCRIPT = """
import hashlib, json, time
from pathlib import Path
state, done = b"{seed}", 0
where = folder.checkpoint / "position.json"
if where.exists():
    graph = json.loads(where.read_text())["graph"]
    done, state = int(graph[6:-4]), (folder.checkpoint / graph).read_bytes()
while done < {steps}:
    state, done = hashlib.sha256(state).digest(), done + 1
    time.sleep({pause})
    events.emit("metric", f"step {{done}}")
    checkpoint(done, state)
    if folder.stop.exists() and done < {steps}:
        code = 75
        break
else:
    succeed(content=state)
"""


def script(seed: int, pause: float) -> str:
    return SCRIPT.format(seed=seed, steps=STEPS, pause=pause)


def undisturbed(seed: int) -> str:
    """The digest of the result that such a job has when nothing happens to it."""
    state = str(seed).encode()
    for _ in range(STEPS):
        state = hashlib.sha256(state).digest()
    return f"sha256:{hashlib.sha256(state).hexdigest()}"


class Town:
    """Two workers, two schedulers, an API and a Redis. What was killed stands again a little later."""

    WORKERS, SCHEDULERS = 2, 2

    def __init__(self, folder: Path, postgres: PostgresProcess | None = None) -> None:
        self.data = folder / "data"
        self.data.mkdir(parents=True)
        self.postgres = postgres
        self.clock = Clock(folder)
        self.disk = SmallDisk(folder / "disk")
        self.url = f"sqlite:///{self.disk.folder}/pith.db"
        if postgres is not None:
            self.url = postgres.create_database(f"town_{secrets.token_hex(4)}")
        self.db = Database(self.url)
        self.db.migrate()
        self.shop = Shop.open(self.db, self.data / "blobs")
        self.redis = RedisProcess(folder / "redis")
        self.redis.start()
        self.port = free_port()
        self.log = folder / "log"
        self.struck: Counter[str] = Counter()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._over = threading.Event()
        self._frozen: list[tuple[float, list[int]]] = []
        self._lock = threading.Lock()
        self._keeper = threading.Thread(target=self._keep_alive)

    def __enter__(self) -> "Town":
        for name in self._members():
            self._start(name)
        self._keeper.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._keeper.join()
        self._thaw(float("inf"))
        for process in self._processes.values():
            process.kill()
            process.wait()
        self.redis.carry_on()
        self.redis.kill()
        self.db.close()
        self.disk.close()

    def client(self) -> Pith:
        return Pith(f"http://127.0.0.1:{self.port}")

    def strike(self, dice: random.Random) -> str:
        """One fault at random; says which."""
        fault = dice.choice(
            (
                self.kill_a_child,
                self.kill_a_child,
                self.kill_a_worker,
                self.tell_a_worker_to_leave,
                self.freeze_a_worker,
                self.kill_a_scheduler,
                self.kill_the_api,
                self.kill_redis,
                self.freeze_redis,
                self.hold_the_database,
                self.send_everything_twice,
                *self._of_the_database(),
            )
        )
        with self._lock:
            fault(dice)
        self.struck[fault.__name__] += 1
        return fault.__name__

    def _of_the_database(self) -> Iterator[Callable[[random.Random], None]]:
        """SQLite has the disk and the clock of this machine, PostgreSQL its own processes."""
        if self.postgres is not None:
            yield from (self.crash_the_database, self.freeze_the_database)
            return
        if self.disk.can_fill:
            yield self.fill_the_disk
        if self.clock.can_jump:
            yield self.let_the_clock_jump

    # ---- faults

    def kill_a_child(self, dice: random.Random) -> None:
        below = descendants(self._processes[self._worker(dice)].pid)
        if jobs := [pid for pid in below if "worker.warm" in command_of(pid)][1:]:
            _signal(dice.choice(jobs), signal.SIGKILL)

    def kill_a_worker(self, dice: random.Random) -> None:
        self._processes[self._worker(dice)].kill()

    def tell_a_worker_to_leave(self, dice: random.Random) -> None:
        self._processes[self._worker(dice)].terminate()

    def freeze_a_worker(self, dice: random.Random) -> None:
        """For longer than its lease: when it wakes, its job is another's."""
        worker = self._processes[self._worker(dice)].pid
        family = [worker, *descendants(worker)]
        for pid in family:
            _signal(pid, signal.SIGSTOP)
        self._frozen.append((time.monotonic() + dice.uniform(1, 6), family))

    def kill_a_scheduler(self, dice: random.Random) -> None:
        self._processes[f"scheduler {dice.randrange(self.SCHEDULERS)}"].kill()

    def kill_the_api(self, dice: random.Random) -> None:
        self._processes["api"].kill()

    def kill_redis(self, dice: random.Random) -> None:
        """With all messages in it."""
        self.redis.carry_on()
        self.redis.kill()
        time.sleep(dice.uniform(0, 1))
        self.redis.start()

    def freeze_redis(self, dice: random.Random) -> None:
        """As a network does that neither carries nor refuses."""
        self.redis.stop()
        time.sleep(dice.uniform(0.5, 3))
        self.redis.carry_on()

    def hold_the_database(self, dice: random.Random) -> None:
        """Nobody else can write."""
        with contextlib.suppress(PithError), self.db.session() as session:
            if not self.db.is_sqlite:
                session.connection().exec_driver_sql("LOCK TABLE jobs IN ACCESS EXCLUSIVE MODE")
            time.sleep(dice.uniform(0.5, 3))

    def crash_the_database(self, dice: random.Random) -> None:
        assert self.postgres is not None
        self.postgres.crash(dice)

    def freeze_the_database(self, dice: random.Random) -> None:
        """As a network does that neither carries nor refuses."""
        assert self.postgres is not None
        self.postgres.stop()
        time.sleep(dice.uniform(0.5, 3))
        self.postgres.carry_on()

    def fill_the_disk(self, dice: random.Random) -> None:
        """The one that the database is on."""
        self.disk.fill()
        time.sleep(dice.uniform(0.5, 3))
        self.disk.empty()

    def let_the_clock_jump(self, dice: random.Random) -> None:
        """Forward by more than a lease, or back, for every process at once; it is never right again."""
        self.clock.jump_to(dice.uniform(-10, 10))

    def send_everything_twice(self, dice: random.Random) -> None:
        with contextlib.suppress(PithError, httpx.HTTPError), self.client() as pith:
            for job in pith.jobs.page(limit=200).data:
                if job.status not in FINAL:
                    self._send(job.id)

    # ---- keeping it alive

    def _members(self) -> Iterator[str]:
        yield "api"
        yield from (f"scheduler {number}" for number in range(self.SCHEDULERS))
        yield from (f"worker {number}" for number in range(self.WORKERS))

    def _start(self, name: str) -> None:
        module = {"api": "app.serve", "scheduler": "store.scheduler", "worker": "tests.worker.launch"}[name.split()[0]]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PITH_")}
        own = {"DATA_DIR": self.data, "DATABASE_URL": self.url, "REDIS_URL": self.redis.url, "PORT": self.port}
        environment |= {f"PITH_{key}": str(value) for key, value in {**SETTINGS, **own}.items()}
        environment |= {"PYTHONPATH": str(ROOT), **self.clock.environment}
        with self.log.open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", module], env=environment, stdout=log, stderr=log, cwd=ROOT
            )

    def _keep_alive(self) -> None:
        while not self._over.wait(0.1):
            self._thaw(time.monotonic())
            if self._lock.acquire(timeout=0.1):
                try:
                    for name, process in list(self._processes.items()):
                        if process.poll() is not None:
                            self._start(name)
                finally:
                    self._lock.release()

    def _thaw(self, now: float) -> None:
        for when, family in list(self._frozen):
            if when <= now:
                for pid in family:
                    _signal(pid, signal.SIGCONT)
                self._frozen.remove((when, family))

    def _worker(self, dice: random.Random) -> str:
        return f"worker {dice.randrange(self.WORKERS)}"

    def _send(self, id: str) -> None:
        Queue(self.redis.url).send(id)


class Watched:
    """One job with a client that follows its events from beginning to end."""

    def __init__(self, town: Town, job: Job, seed: int) -> None:
        self.id, self.seed = job.id, seed
        self.seen: list[tuple[int, str]] = []
        self.fault: BaseException | None = None
        self._thread = threading.Thread(target=self._follow, args=(town,))
        self._thread.start()

    def _follow(self, town: Town) -> None:
        try:
            with town.client() as pith:
                for event in pith.jobs.events(self.id):
                    self.seen.append((event.seq, event.type))
        except BaseException as fault:
            self.fault = fault

    def end(self, seconds: float) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), f"{self.id} has not ended after {self.seen[-3:]}"
        assert self.fault is None, self.fault


def submit(town: Town, seed: int, pause: float) -> Watched:
    """A job, and the client that watches it; asked again while the API is away."""
    model = town.shop.model(script(seed, pause).encode())
    spec = JobSpec.model_validate({"model": model.id, "recipe": [PRUNE], "outputs": ["onnx"]})
    with town.client() as pith:
        return Watched(town, _insist(lambda: pith.jobs.submit(spec, f"job {seed}")), seed)


def _insist(call: Callable[[], Job]) -> Job:
    while True:
        try:
            return call()
        except PithError as error:
            if error.code not in {"unreachable", "unavailable"}:
                raise
            time.sleep(0.2)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
