"""The pages of jobs: the list, one job as it goes, and its report in a frame."""

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal, NamedTuple, get_args
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse
from pydantic import StringConstraints

from app.download import send
from app.pages.draft import shortest
from app.pages.render import CSP, page
from app.pages.visitor import pages_for
from app.parameters import JobPath, TheJob
from app.routes.results import REPORT_CSP, stored_report
from app.service import Service, TheService
from pith.errors import PithError
from pith.intake import IntakeSpec
from pith.job import EVENT_TYPES, FINAL, Job, JobStatus
from pith.results import BY_ITSELF
from pith.tags import MOST

PER_PAGE = 25
_TAG = r"[A-Za-z0-9][A-Za-z0-9._:/@+=-]{0,63}"
Tags = Annotated[str, StringConstraints(pattern=rf"^ *({_TAG}( +{_TAG})*)? *$", max_length=1000)]
"""None, one, or several with spaces between them, as somebody types them in."""
FRAMED = {
    "Content-Security-Policy": REPORT_CSP.replace("frame-ancestors 'none'", "frame-ancestors 'self'"),
    "X-Frame-Options": "SAMEORIGIN",
}
FRAMING = {"Content-Security-Policy": f"{CSP}; frame-src 'self'"}
router = APIRouter(prefix="/jobs", include_in_schema=False, dependencies=pages_for())


class Phase(NamedTuple):
    """One part of a job's way, and how far it is."""

    name: str
    state: Literal["done", "running", "waiting", "stopped"]


@router.get("")
def show_all(
    request: Request,
    service: TheService,
    status: Annotated[JobStatus | Literal[""], Query()] = "",
    model: Annotated[str, Query(pattern="^(mdl_[0-9a-z]{26})?$")] = "",
    tag: Annotated[list[Tags] | None, Query(max_length=MOST)] = None,
    cursor: Annotated[str | None, Query(max_length=200)] = None,
    part: Annotated[Literal["table"] | None, Query()] = None,
) -> HTMLResponse:
    """``part``: the table alone, which the page asks for again and again."""
    tags = tuple(each for given in tag or () for each in given.split() if each)
    found = service.jobs.list(PER_PAGE, cursor, status or None, naming=(model,) if model else (), tagged=tags)
    asked = [("status", status), ("model", model), *(("tag", each) for each in tags)]
    filters = [(name, value) for name, value in asked if value]
    return page(
        request,
        "jobs_table.html.j2" if part else "jobs.html.j2",
        jobs=found.data,
        names=_names(service, found.data),
        wanted=status,
        model=model,
        tags=tags,
        statuses=get_args(JobStatus),
        models=service.models.list(200).data if part is None else (),
        here_again=f"/jobs?{urlencode([*filters, *([('cursor', cursor)] if cursor else []), ('part', 'table')])}",
        next=f"/jobs?{urlencode([*filters, ('cursor', found.next_cursor)])}" if found.next_cursor else None,
        first=cursor is None,
        filtered=bool(filters),
        final=FINAL,
    )


@router.get("/{id}")
def show(request: Request, job: TheJob, service: TheService) -> HTMLResponse:
    return _job_page(request, job, service, "job.html.j2")


@router.get("/{id}/now")
def now(request: Request, job: TheJob, service: TheService) -> HTMLResponse:
    """What of the page changes while the job goes on."""
    return _job_page(request, job, service, "job_now.html.j2")


@router.get("/{id}/report")
def report(request: Request, job: TheJob, service: TheService) -> HTMLResponse:
    """Raises PithError ``report_not_ready``."""
    stored_report(service, job.id, "html")
    takes = any(each.name in BY_ITSELF for each in job.artifacts)
    base = str(request.base_url)
    return page(request, "report.html.j2", headers=FRAMING, job=job, named=named(job), takes=takes, base=base)


@router.get("/{id}/report/framed")
def framed(request: Request, id: JobPath, service: TheService) -> Response:
    """The stored page itself, which runs no script and reaches nothing, for the frame of the page above."""
    response = send(request, service.blobs, stored_report(service, id, "html"), disposition="inline")
    response.headers.update(FRAMED)
    return response


def _job_page(request: Request, job: Job, service: Service, template: str) -> HTMLResponse:
    return page(
        request,
        template,
        job=job,
        names=_names(service, [job]),
        named=named(job),
        check=isinstance(job.spec, IntakeSpec),
        steps=[] if isinstance(job.spec, IntakeSpec) else [step.kind for step in job.spec.recipe],
        phases=tuple(phases(job)),
        over=job.status in FINAL,
        models=_models(service, job),
        readable=BY_ITSELF,
        event_types=EVENT_TYPES,
        base=str(request.base_url),
        spec="" if isinstance(job.spec, IntakeSpec) else json.dumps(shortest(job.spec), indent=2),
    )


def _models(service: Service, job: Job) -> dict[str, str]:
    """Which artifacts are models already: their ids, by digest. Not of a check, which makes nothing."""
    made = [each.digest for each in job.artifacts if each.kind == "model"]
    found = service.models.of_bytes(made) if made else ()
    return {each.digest: each.id for each in reversed(found) if each.digest is not None}


def named(job: Job) -> str:
    """What a job is called where people read: its steps."""
    if isinstance(job.spec, IntakeSpec):
        return f"Check of {job.spec.check}"
    return " → ".join(step.kind for step in job.spec.recipe)


def phases(job: Job) -> Iterator[Phase]:
    """The steps, with what goes before and after them."""
    kinds = [] if isinstance(job.spec, IntakeSpec) else [step.kind for step in job.spec.recipe]
    names = ["read", *kinds, "measure and write"] if kinds else ["check"]
    at = _place(job, len(kinds))
    for index, name in enumerate(names):
        if index < at or job.status == "succeeded":
            yield Phase(name, "done")
        elif index > at or job.status in ("queued", "paused"):
            yield Phase(name, "waiting")
        else:
            yield Phase(name, "stopped" if job.status in FINAL else "running")


def _place(job: Job, steps: int) -> int:
    """The phase that runs; the engine counts the one after the last step as no step."""
    if job.progress.step is not None:
        return job.progress.step + 1
    return steps + 1 if steps and job.progress.fraction >= 0.5 else 0


def _names(service: Service, jobs: Iterable[Job]) -> dict[str, str]:
    """What the models and datasets of these jobs are called; the id, where they are gone."""
    found: dict[str, str] = {}
    for job in jobs:
        if isinstance(job.spec, IntakeSpec):
            continue
        for id in (job.spec.model, job.spec.dataset):
            if id is not None and id not in found:
                found[id] = _name(service, id)
    return found


def _name(service: Service, id: str) -> str:
    try:
        return service.models.get(id).name if id.startswith("mdl_") else service.datasets.get(id).name
    except PithError:
        return id
