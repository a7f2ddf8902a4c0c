"""Jobs: submit, list, show, cancel, pause, resume, delete. Their history and results: events.py and results.py."""

import re
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Header, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.access import needs
from app.conditions import answer, if_match
from app.docs import JOB_BODY, UNCHANGED, json_body, problems
from app.parameters import (
    Cursor,
    GivenTags,
    IdempotencyKey,
    JobPath,
    JobSpecBody,
    Limit,
    TheJob,
    WantedTags,
    json_of,
)
from app.planning import planned, refuse_impossible
from app.service import Service, TheService
from pith.job import Job, JobKind, JobSpec, JobStatus
from pith.plan import Plan
from pith.resources import Page
from pith.tags import JobChange
from store.dispatch import dispatch
from store.idempotency import Key

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[needs()])
LONGEST_WAIT = 60
_WAIT = re.compile(r"(?:^|[,;])\s*wait\s*=\s*\"?(\d{1,6})\b", re.IGNORECASE)
SUBMITS = (
    "media_type_not_supported",
    "body_too_large",
    "not_found",
    "recipe_order",
    "dataset_required",
    "dataset_required_by_constraint",
    "dataset_mismatch",
    "dataset_split_missing",
    "technique_inapplicable",
    "teacher_mismatch",
    "input_rejected",
    "idempotency_key_reused",
    "quota_exceeded",
    "origin_not_allowed",
)
SUBMIT = problems(*SUBMITS)
ChangeBody = Annotated[JobChange, Depends(json_of(JobChange))]
PLAN: dict[int | str, dict[str, Any]] = {200: {"model": Plan, "description": "With dry_run: what would happen."}}


@router.post(
    "",
    status_code=202,
    dependencies=[needs("jobs")],
    response_model=Job,
    responses={**SUBMIT, **PLAN},
    openapi_extra=JOB_BODY,
    summary="Submit a job",
)
async def submit(
    spec: JobSpecBody,
    service: TheService,
    response: Response,
    dry_run: Annotated[
        bool, Query(description="Only say what would happen: steps, memory, time, or every problem at once.")
    ] = False,
    idempotency_key: IdempotencyKey = None,
    tags: GivenTags = (),
    prefer: Annotated[str | None, Header(max_length=200, description="wait=SECONDS: answer when it has ended.")] = None,
) -> Job | Response:
    """The job is stored before this answers, and runs as soon as its inputs are checked and a worker is free."""
    if dry_run:
        plan = await run_in_threadpool(planned, service, spec)
        return Response(plan.model_dump_json(), media_type="application/json")
    job = await run_in_threadpool(_submitted, service, spec, idempotency_key, tags)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if seconds := _wait(prefer):
        response.headers["Preference-Applied"] = f"wait={seconds}"
        return await service.feed.ended(service.jobs, job.id, seconds)
    return job


def _submitted(service: Service, spec: JobSpec, name: str | None, tags: tuple[str, ...]) -> Job:
    key = None if name is None else Key.of(name, "jobs", spec.model_dump_json(), *tags)
    job = None if key is None else service.jobs.submitted(key)
    if job is None:
        refuse_impossible(service, spec)
        job = service.jobs.submit(spec, key, tagged=tags)
    if service.queue is not None and job.status == "queued":
        dispatch(service.jobs, service.queue, job.id)
    return job


def _wait(prefer: str | None) -> int:
    """Seconds of ``Prefer: wait`` (RFC 7240), 60 at most; 0 without it, or where it is no number."""
    match = _WAIT.search(prefer or "")
    return 0 if match is None else min(int(match[1]), LONGEST_WAIT)


@router.get("", responses=problems("bad_cursor"), summary="List jobs, newest first")
def show_all(
    service: TheService,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
    kind: Annotated[
        JobKind | Literal["all"], Query(description="compression, intake (checks of uploads), or all.")
    ] = "compression",
    naming: Annotated[
        str | None,
        Query(pattern="^(mdl|dts)_[0-9a-z]{26}$", description="Only jobs that name this model or dataset."),
    ] = None,
    model: Annotated[
        str | None, Query(pattern="^mdl_[0-9a-z]{26}$", description="Only jobs that name this model.")
    ] = None,
    tagged: WantedTags = (),
) -> Page[Job]:
    named = tuple(id for id in (naming, model) if id is not None)
    return service.jobs.list(limit, cursor, status, None if kind == "all" else kind, named, tagged)


@router.get("/{id}", response_model=Job, responses={**problems("not_found"), 304: UNCHANGED}, summary="Show a job")
async def show(
    request: Request,
    id: JobPath,
    service: TheService,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="Seconds to wait while it has not ended.")] = 0,
) -> Response:
    """With an ETag: ``If-None-Match`` asks only for what is new."""
    return answer(request, await service.feed.ended(service.jobs, id, wait))


@router.patch(
    "/{id}",
    dependencies=[needs("jobs")],
    responses=problems(
        "media_type_not_supported", "body_too_large", "not_found", "precondition_failed", "origin_not_allowed"
    ),
    openapi_extra=json_body(JobChange, "Other tags", tags=["nightly", "resnet"]),
    summary="Change a job's tags",
)
def change(request: Request, job: TheJob, asked: ChangeBody, service: TheService) -> Job:
    """With ``If-Match``: only if it is still what that ETag was of."""
    return service.jobs.change(job.id, asked, if_match(request))


@router.post(
    "/{id}/cancel",
    status_code=202,
    dependencies=[needs("jobs")],
    responses=problems("not_found", "job_ended", "origin_not_allowed"),
    summary="Cancel a job",
)
def cancel(id: JobPath, service: TheService) -> Job:
    """A job that waits ends at once, a running one within about two seconds. Asking twice does no harm."""
    return service.jobs.cancel(id)


@router.post(
    "/{id}/pause",
    status_code=202,
    dependencies=[needs("jobs")],
    responses=problems("not_found", "job_ended", "not_pausable", "origin_not_allowed"),
    summary="Pause a job",
)
def pause(id: JobPath, service: TheService) -> Job:
    """A queued job is set aside at once; a running one saves a checkpoint first, which takes seconds, and its worker is
    free then. Asking twice does no harm."""
    return service.jobs.pause(id)


@router.post(
    "/{id}/resume",
    status_code=202,
    dependencies=[needs("jobs")],
    responses=problems("not_found", "not_paused", "origin_not_allowed"),
    summary="Resume a paused job",
)
def resume(id: JobPath, service: TheService) -> Job:
    """It is queued again and goes on from its checkpoint, on whatever worker is free."""
    job = service.jobs.resume(id)
    if service.queue is not None:
        dispatch(service.jobs, service.queue, job.id)
    return job


@router.delete(
    "/{id}",
    status_code=204,
    dependencies=[needs("delete")],
    response_class=Response,
    responses=problems("not_found", "job_not_ended", "precondition_failed", "origin_not_allowed"),
    summary="Delete a job",
)
def delete(request: Request, id: JobPath, service: TheService) -> None:
    """With its events, its report and all that it made. Only one that has ended; who asks for it later hears `gone`."""
    service.jobs.delete(id, service.blobs, check=if_match(request))
