"""The REST service, put together. Importing this does nothing; settings are read and the data opened when it starts."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI
from fastapi.concurrency import contextmanager_in_threadpool, run_in_threadpool

from app import problems
from app.docs import with_bodies
from app.guard import Guard
from app.pages import compare, datasets, import_page, keys, models, new_job, overview, projects, sign_in, static
from app.pages import jobs as job_pages
from app.pages import webhooks as webhook_pages
from app.routes import (
    about,
    access,
    docs,
    events,
    example,
    jobs,
    lineage,
    results,
    resumable,
    uploads,
    webhooks,
    workers,
)
from app.service import opened
from app.settings import ApiSettings
from app.strict import known_query
from app.watch import HEALTH, Watch
from pith import __version__
from store import traces
from store.settings import Settings

DESCRIPTION = """Compresses trained models and reports honestly what it cost.

Upload a model and, if it has one, a dataset; a worker checks both and says what they are. Submit a job that names them
and the steps to take; watch its events; fetch its report and its artifacts. Where the service
asks for a key, send it as `Authorization: Bearer KEY`. Errors are `application/problem+json`
(RFC 9457) with a stable `code`."""


def create_app(
    settings: ApiSettings | None = None, store: Settings | None = None, stopping: Callable[[], bool] = lambda: False
) -> FastAPI:
    """The service; what is not given is read from the environment when it starts.

    ``stopping`` tells live streams that the server wants to end.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = opened(settings or ApiSettings(), store or Settings(), stopping)
        async with contextmanager_in_threadpool(service) as app.state.service:
            yield
        await run_in_threadpool(traces.flush)  # the server ends by its signal, after which nothing runs

    app = FastAPI(
        title="Pith",
        version=__version__,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
        # Spans of requests, where somebody wants traces (store.traces); sent by us alone, and nothing else of it.
        telemetry={
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
            "exclude": lambda scope: scope.get("path") in HEALTH,
        },
        dependencies=[Depends(known_query)],
    )
    app.add_middleware(Guard)
    app.add_middleware(Watch)
    problems.install(app)
    for router in (
        uploads.models(),
        uploads.datasets(),
        resumable.router,
        jobs.router,
        lineage.router,
        events.router,
        results.router,
        access.router,
        webhooks.router,
        workers.router,
        example.router,
        about.router,
        docs.router,
        static.router,
        sign_in.router,
        overview.router,
        new_job.router,
        job_pages.router,
        compare.router,
        models.router,
        datasets.router,
        keys.router,
        projects.router,
        import_page.router,
        webhook_pages.router,
    ):
        app.include_router(router)
    described = app.openapi
    app.openapi = lambda: with_bodies(described())  # type: ignore[method-assign]
    return app


app = create_app()
