"""`python -m app.up`: the whole service on this machine, as one command. For more machines see the guide.

    up ── redis        unless PITH_REDIS_URL names a queue, or there is no Redis here
       ├─ scheduler    python -m store.scheduler
       ├─ worker       python -m worker, for jobs; where there are GPUs, for those that ask for the CPU
       ├─ worker-0 …   python -m worker, for jobs: one for each GPU
       ├─ checker      python -m worker, for checks of uploads, which need not wait for a job to end
       ├─ courier      python -m worker.courier, for webhooks
       └─ api          python -m app.serve; when it ends of its own accord, all end

The others are started again when they end, after 1 s, then 2 s, up to 30 s.
"""

import fcntl
import os
import shutil
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
import httpx
from pydantic import ValidationError

from app import broker, gpus
from app.child import Child
from app.household import Household, Say, Stop, say, say_json
from app.service import check_keys
from app.settings import ApiSettings, UpSettings
from pith.errors import PithError
from store import paths
from store.database import Database
from store.settings import Settings, refusal

READY = "ready."
"""The end of the line in which a worker says that it works."""
PATIENCE_SECONDS = 30.0
"""How long a worker that does not get ready is waited for, once the API answers."""


def main() -> int:
    try:
        api, store = ApiSettings(), Settings()
        with only_one(store):
            check_port_free(api)
            migrate(store)
            check_keys(api, store)
            return run(api, store)
    except (PithError, ValidationError) as error:
        click.echo(refusal(error), err=True)
        return 2


def check_port_free(api: ApiSettings) -> None:
    """
    Raises:
        PithError: ``setting_refused`` when somebody listens there already.
    """
    family = socket.AF_INET6 if ":" in api.host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((api.host, api.port))
    except OSError as error:
        reason = f"it cannot be listened on at {api.host} ({error.strerror}); set another one"
        raise PithError("setting_refused", name="PITH_PORT", value=api.port, reason=reason) from error


@contextmanager
def only_one(store: Settings) -> Iterator[None]:
    """
    Raises:
        PithError: ``setting_refused`` when another service has this data folder.
    """
    store.data_dir.mkdir(parents=True, exist_ok=True)
    with paths.up_lock(store.data_dir).open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            reason = "another `pith up` runs on this folder; stop it first, or use another folder"
            raise PithError("setting_refused", name="PITH_DATA_DIR", value=str(store.data_dir), reason=reason) from None
        yield


def migrate(store: Settings) -> None:
    db = Database(store.database_url)
    try:
        db.migrate()
    finally:
        db.close()


def run(api: ApiSettings, store: Settings) -> int:
    """Until a signal comes (0) or the API ends (1)."""
    queue = broker.choose(store)
    ours = {"PITH_REDIS_URL": queue.url, "PITH_DATA_DIR": str(store.data_dir), "PYTHONSAFEPATH": "1"}
    environment = {**os.environ, **ours}
    tell = sayer(store)
    tell(f"data in {store.data_dir}, {queue.described}")
    household = Household(children(queue, environment, UpSettings(), store.metrics_port), tell)
    stop, readiness = Stop(), Readiness(api, household, tell)
    while not stop.asked:
        household.tend()
        if not household.has("api"):
            break
        readiness.look()
    household.end(lambda: stop.asked > 1)
    if queue.temporary is not None:
        shutil.rmtree(queue.temporary, ignore_errors=True)
    return 0 if stop.asked else 1


def sayer(store: Settings) -> Say:
    return say_json if store.log_format == "json" else say


class Readiness:
    """Says once that the service is ready, after all that its children say while they start."""

    def __init__(self, api: ApiSettings, household: Household, tell: Say = say) -> None:
        self._api, self._household, self._tell = api, household, tell
        self._answered: float | None = None
        self._said = False

    def look(self) -> None:
        if self._said:
            return
        if self._answered is None and answers(self._api):
            self._answered = time.monotonic()
        if self._answered is None:
            return
        late = self._household.waits_for()
        if not late or time.monotonic() > self._answered + PATIENCE_SECONDS:
            self._household.tend()  # what was said before
            self._say(late)

    def _say(self, late: Sequence[str]) -> None:
        self._said = True
        but = f"; not ready yet, so that some jobs wait: {', '.join(late)}" if late else ""
        self._tell(f"Pith is ready: {url(self._api)}  (routes: {url(self._api)}/docs, stop: Ctrl-C){but}")


def children(
    queue: broker.Broker, environment: dict[str, str], options: UpSettings, metrics_port: int | None = None
) -> Sequence[Child]:
    python = (sys.executable, "-m")
    for_checks = {"PITH_WORKER_QUEUES": "intake"}
    redis = [Child("redis", queue.command, environment, usual=broker.USUAL)] if queue.command else []
    return [
        *redis,
        Child("scheduler", (*python, "store.scheduler"), environment | port_after(metrics_port, 1)),
        *(
            Child(name, (*python, "worker"), environment | port_after(metrics_port, place) | its, READY)
            for place, (name, its) in zip((2, *range(5, 99)), workers(environment, options), strict=False)
        ),
        Child("checker", (*python, "worker"), environment | port_after(metrics_port, 3) | for_checks, READY),
        Child("courier", (*python, "worker.courier"), environment | port_after(metrics_port, 4), READY),
        Child("api", (*python, "app.serve"), environment | port_after(metrics_port, 0)),
    ]


def workers(environment: Mapping[str, str], options: UpSettings) -> Iterator[tuple[str, dict[str, str]]]:
    """Those for jobs, by name, with what each is told. A job that any may take is not slow on the CPU where there are
    GPUs, but waits for one."""
    visible = gpus.visible(environment) if options.device != "cpu" else ()
    shares = gpus.shared(visible, options.job_processes) or gpus.shared(visible, len(visible) or 1)
    for number, share in enumerate(shares):
        yield f"worker-{number}", {"PITH_WORKER_QUEUES": "jobs", "CUDA_VISIBLE_DEVICES": ",".join(share)}
    if not shares:
        yield "worker", {"PITH_WORKER_QUEUES": "jobs"}
    elif options.device != "gpu":
        yield "worker", {"PITH_WORKER_QUEUES": "own", "PITH_DEVICE": "cpu", "PITH_JOB_PROCESSES": "1"}


def port_after(first: int | None, place: int) -> dict[str, str]:
    """The processes of one machine cannot share a port."""
    return {} if first is None else {"PITH_METRICS_PORT": str(first + place)}


def url(api: ApiSettings) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(api.host, api.host)
    return f"http://[{host}]:{api.port}" if ":" in host else f"http://{host}:{api.port}"


def answers(api: ApiSettings) -> bool:
    try:
        with httpx.Client(trust_env=False, timeout=2) as http:
            return http.get(f"{url(api)}/readyz").is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    sys.exit(main())
