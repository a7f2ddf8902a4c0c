"""What the routes share: settings, database, blobs, queue and the live event feed, opened once by the lifespan; and the
part of it that one caller may see."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.access import caller_of
from app.checks import Checks
from app.doors import Doors
from app.feed import Feed
from app.health import Probe, probes
from app.resumable import Receiver
from app.settings import ApiSettings
from pith.errors import PithError
from pith.resources import Dataset, Model
from store.access import Caller, Keys, Projects
from store.blobs import Blobs, open_blobs
from store.database import Database
from store.dispatch import dispatch
from store.jobs import Jobs
from store.queue import Queue
from store.rates import Rates
from store.reach import Reach
from store.resources import Resources, datasets, models
from store.settings import Settings
from store.uploads import Uploads, open_uploads
from store.webhooks import Webhooks

log = logging.getLogger("pith.api")


@dataclass(frozen=True)
class Service:
    """As the caller of one request has it: what is in the caller's project, and nothing else."""

    settings: ApiSettings
    caller: Caller
    db: Database
    blobs: Blobs
    keys: Keys
    projects: Projects
    webhooks: Webhooks
    models: Resources[Model]
    datasets: Resources[Dataset]
    jobs: Jobs
    queue: Queue | None
    feed: Feed
    checks: Checks
    uploads: Uploads
    receiver: Receiver


@dataclass(frozen=True)
class Premises:
    """What is opened once and shared by all requests. ``within`` is the only way to what somebody has stored."""

    settings: ApiSettings
    store: Settings
    doors: Doors
    db: Database
    blobs: Blobs
    queue: Queue | None
    feed: Feed
    checks: Checks
    receiver: Receiver
    reach: Reach
    logs_requests: bool
    probes: Mapping[str, Probe]

    def within(self, caller: Caller) -> Service:
        project = caller.project
        uploads = open_uploads(self.db, self.blobs, self.store.upload_expire_seconds, project)
        return Service(
            settings=self.settings,
            caller=caller,
            db=self.db,
            blobs=self.blobs,
            keys=Keys(self.db, None if "operate" in caller.scopes else project),
            projects=Projects(self.db),
            webhooks=Webhooks(self.db, project, self.reach),
            models=models(self.db, self.blobs, project),
            datasets=datasets(self.db, self.blobs, project),
            jobs=Jobs(self.db, self.store.max_attempts, project=project),
            queue=self.queue,
            feed=self.feed,
            checks=self.checks,
            uploads=uploads,
            receiver=self.receiver.within(uploads),
        )


def check_keys(settings: ApiSettings, store: Settings) -> None:
    """Before a server starts that nobody could use.

    Raises:
        PithError: ``setting_refused``, ``unavailable``.
    """
    if not settings.keys_required or settings.operator_key is not None:
        return
    db = Database(store.database_url)
    try:
        db.migrate()
        settings.check_keys(Keys(db).any())
    finally:
        db.close()


@contextmanager
def opened(settings: ApiSettings, store: Settings, stopping: Callable[[], bool]) -> Iterator[Premises]:
    """The service on its data, with the database brought up to date.

    Raises:
        PithError: ``setting_refused`` where nobody could come in.
    """
    db = Database(store.database_url)
    try:
        db.migrate()
        settings.check_keys(Keys(db).any())
        blobs = open_blobs(store, db)
        jobs = Jobs(db, store.max_attempts)
        found = (models(db, blobs), datasets(db, blobs))
        queue = _queue(store.redis_url)
        uploads = open_uploads(db, blobs, store.upload_expire_seconds)

        def completed(made: Model | Dataset) -> None:
            if queue is not None:
                dispatch(jobs, queue, made.check)

        yield Premises(
            settings=settings,
            store=store,
            doors=Doors(settings, Keys(db), Rates(store.redis_url)),
            db=db,
            blobs=blobs,
            queue=queue,
            feed=Feed(jobs, Keys(db), stopping),
            checks=Checks(*found, stopping),
            receiver=Receiver(uploads, settings, completed),
            reach=Reach.of_webhooks(store),
            probes=probes(store, db, blobs, queue),
            logs_requests=store.log_format == "json" if settings.log_requests is None else settings.log_requests,
        )
    finally:
        db.close()


async def _premises(request: Request) -> Premises:
    premises: Premises = request.app.state.service
    return premises


async def _service(request: Request) -> Service:
    premises: Premises = request.app.state.service
    return premises.within(caller_of(request))


ThePremises = Annotated[Premises, Depends(_premises)]
TheService = Annotated[Service, Depends(_service)]


def _queue(url: str | None) -> Queue | None:
    """No queue is no reason not to serve: jobs wait in the database until a scheduler sends them."""
    try:
        return Queue(url)
    except PithError as error:
        log.warning("jobs are taken and wait until a scheduler sends them: %s", error)
        return None
