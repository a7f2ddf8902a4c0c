"""`python -m app.up`: the whole service on this machine, as one command. For more machines see the guide.

    up ── redis        unless PITH_REDIS_URL names a queue, or there is no Redis here
       ├─ scheduler    python -m store.scheduler
       ├─ worker       python -m worker, for jobs
       ├─ checker      python -m worker, for checks of uploads, which need not wait for a job to end
       └─ api          python -m app.serve; when it ends, all end

The others are started again when they end, after 1 s, then 2 s, up to 30 s.
"""

import fcntl
import os
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import click
import httpx
from pydantic import ValidationError

from app import broker
from app.child import Child
from app.household import Household, Stop, say
from app.serve import refusal
from app.settings import ApiSettings
from pith.errors import PithError
from store import paths
from store.database import Database
from store.settings import Settings


def main() -> int:
    try:
        api, store = ApiSettings(), Settings()
        with only_one(store):
            check_port_free(api)
            migrate(store)
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
    environment = {**os.environ, "PITH_REDIS_URL": queue.url, "PITH_DATA_DIR": str(store.data_dir)}
    say(f"data in {store.data_dir}, {queue.described}")
    household = Household(children(queue, environment))
    stop = Stop()
    ready = False
    while not stop.asked:
        household.tend()
        if not household.has("api"):
            break
        if not ready and (ready := answers(api)):
            say(f"Pith is ready: {url(api)}  (routes: {url(api)}/docs, stop: Ctrl-C)")
    household.end(lambda: stop.asked > 1)
    return 0 if stop.asked else 1


def children(queue: broker.Broker, environment: Mapping[str, str]) -> Sequence[Child]:
    python = (sys.executable, "-m")
    redis = [Child("redis", queue.command, environment)] if queue.command else []
    return [
        *redis,
        Child("scheduler", (*python, "store.scheduler"), environment),
        Child("worker", (*python, "worker"), {**environment, "PITH_WORKER_QUEUES": "jobs"}),
        Child("checker", (*python, "worker"), {**environment, "PITH_WORKER_QUEUES": "intake"}),
        Child("api", (*python, "app.serve"), environment),
    ]


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
