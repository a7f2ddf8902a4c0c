"""Jobs: submit, list, show, cancel. Their history and results: events.py and results.py."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from app.docs import JOB_BODY, problems
from app.parameters import Cursor, JobPath, JobSpecBody, Limit
from app.service import TheService
from pith.job import Job, JobStatus
from pith.resources import Page
from store.dispatch import dispatch

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
SUBMIT = problems(
    "media_type_not_supported",
    "body_too_large",
    "not_found",
    "recipe_order",
    "dataset_required",
    "dataset_required_by_constraint",
    "origin_not_allowed",
)


@router.post("", status_code=202, responses=SUBMIT, openapi_extra=JOB_BODY, summary="Submit a job")
def submit(spec: JobSpecBody, service: TheService, response: Response) -> Job:
    """The job is stored before this answers, and runs as soon as a worker is free."""
    job = service.jobs.submit(spec)
    if service.queue is not None:
        dispatch(service.jobs, service.queue, job.id)
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    return job


@router.get("", responses=problems("bad_cursor"), summary="List jobs, newest first")
def show_all(
    service: TheService,
    limit: Limit = 50,
    cursor: Cursor = None,
    status: Annotated[JobStatus | None, Query(description="Only jobs with this status.")] = None,
) -> Page[Job]:
    return service.jobs.list(limit, cursor, status)


@router.get("/{id}", responses=problems("not_found"), summary="Show a job")
def show(id: JobPath, service: TheService) -> Job:
    return service.jobs.get(id)


@router.post(
    "/{id}/cancel",
    status_code=202,
    responses=problems("not_found", "job_ended", "origin_not_allowed"),
    summary="Cancel a job",
)
def cancel(id: JobPath, service: TheService) -> Job:
    """A queued job ends at once, a running one within about two seconds. Asking twice does no harm."""
    return service.jobs.cancel(id)
