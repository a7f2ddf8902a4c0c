"""The page at the root: what runs and waits, who works, how much room there is, and what to do first."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from app.accept import preferred
from app.access import caller_of
from app.health import Health, health
from app.pages.render import page
from app.pages.visitor import visitor
from app.service import Premises, Service, ThePremises
from pith.errors import PithError
from pith.job import Job, JobSpec
from pith.worker import Worker
from store.room import free_bytes
from store.workers import Workers

LATEST = 8
router = APIRouter(include_in_schema=False)


class Plant(NamedTuple):
    """What is told of the service to those who may know it."""

    workers: tuple[Worker, ...]
    free: Mapping[str, int]
    health: Health


@router.get("/")
async def root(request: Request, premises: ThePremises) -> Response:
    """For a program: what this is, and its routes."""
    if preferred(request.headers.get("accept"), ("application/json", "text/html")) == "text/html":
        await run_in_threadpool(visitor, request)
        found = await health(premises.probes)
        return await run_in_threadpool(_overview, request, premises, found)
    app = request.app
    routes = sorted(app.openapi()["paths"])
    return JSONResponse({"name": app.title, "version": app.version, "docs": "/docs", "routes": routes})


def _overview(request: Request, premises: Premises, found: Health) -> Response:
    service = premises.within(caller_of(request))
    jobs = service.jobs.list(LATEST).data
    project = service.caller.project
    return page(
        request,
        "overview.html.j2",
        project=service.projects.get(project),
        usage=service.projects.usage(project),
        plant=_plant(premises, service, found),
        jobs=jobs,
        names=model_names(service, jobs),
        any_model=bool(service.models.list(1).data),
        any_dataset=bool(service.datasets.list(1).data),
    )


def _plant(premises: Premises, service: Service, found: Health) -> Plant | None:
    if "admin" not in service.caller.scopes:
        return None
    return Plant(Workers(service.db).list(), free_bytes(premises.store), found)


def model_names(service: Service, jobs: Iterable[Job]) -> Mapping[str, str]:
    """What the models of these jobs are called, by their ids; those that are gone have no name."""
    names = {}
    for id in {job.spec.model for job in jobs if isinstance(job.spec, JobSpec)}:
        try:
            names[id] = service.models.get(id).name
        except PithError:
            continue
    return names
