"""What the routes share: settings, database, blobs, queue and the live event feed, opened once by the lifespan."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from app.checks import Checks
from app.feed import Feed
from app.resumable import Receiver
from app.settings import ApiSettings
from pith.errors import PithError
from pith.resources import Dataset, Model
from store.blobs import Blobs, open_blobs
from store.database import Database
from store.dispatch import dispatch
from store.jobs import Jobs
from store.queue import Queue
from store.resources import Resources, datasets, models
from store.settings import Settings
from store.uploads import Uploads, open_uploads

log = logging.getLogger("pith.api")


@dataclass(frozen=True)
class Service:
    settings: ApiSettings
    db: Database
    blobs: Blobs
    models: Resources[Model]
    datasets: Resources[Dataset]
    jobs: Jobs
    queue: Queue | None
    feed: Feed
    checks: Checks
    uploads: Uploads
    receiver: Receiver


@contextmanager
def opened(settings: ApiSettings, store: Settings, stopping: Callable[[], bool]) -> Iterator[Service]:
    """The service on its data, with the database brought up to date."""
    db = Database(store.database_url)
    try:
        db.migrate()
        blobs = open_blobs(store, db)
        jobs = Jobs(db, store.max_attempts)
        found = (models(db, blobs), datasets(db, blobs))
        queue = _queue(store.redis_url)
        uploads = open_uploads(db, blobs, store.upload_expire_seconds)

        def completed(made: Model | Dataset) -> None:
            if queue is not None:
                dispatch(jobs, queue, made.check)

        yield Service(
            settings=settings,
            db=db,
            blobs=blobs,
            models=found[0],
            datasets=found[1],
            jobs=jobs,
            queue=queue,
            feed=Feed(jobs, stopping),
            checks=Checks(*found, stopping),
            uploads=uploads,
            receiver=Receiver(uploads, settings, completed),
        )
    finally:
        db.close()


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]


def _queue(url: str | None) -> Queue | None:
    """No queue is no reason not to serve: jobs wait in the database until a scheduler sends them."""
    try:
        return Queue(url)
    except PithError as error:
        log.warning("jobs are taken and wait until a scheduler sends them: %s", error)
        return None
