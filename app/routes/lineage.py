"""Jobs that come from other jobs: the same again, or from a step of it on."""

from typing import Annotated

from fastapi import APIRouter, Depends, Response

from app.access import needs
from app.docs import json_body, problems
from app.parameters import IdempotencyKey, JobPath, TheJob, json_of
from app.planning import refuse_impossible
from app.routes.jobs import SUBMITS
from app.service import Service, TheService
from pith.fork import ForkSpec, forked, refuse_check
from pith.job import Job, JobSpec
from store.dispatch import dispatch
from store.idempotency import Key
from store.lineage import Origin

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], dependencies=[needs()])
FORK = json_body(
    ForkSpec, "Another last step", from_step=2, recipe=[{"kind": "quantize.weight_only"}], outputs=["onnx"]
)
ForkBody = Annotated[ForkSpec, Depends(json_of(ForkSpec))]


@router.post(
    "/{id}/replay",
    status_code=202,
    dependencies=[needs("jobs")],
    responses=problems(*SUBMITS, "check_not_repeatable"),
    summary="Run a job's spec again",
)
def replay(id: JobPath, service: TheService, response: Response, idempotency_key: IdempotencyKey = None) -> Job:
    """A new job with the same spec. Its report compares the two: each metric, and whether the bytes are the same."""
    key = None if idempotency_key is None else Key.of(idempotency_key, "replays", id)
    if (made := _made_before(service, key)) is None:
        made = _queued(service, refuse_check(service.jobs.get(id)), key, Origin(id))
    return _sent(service, made, response)


@router.post(
    "/{id}/fork",
    status_code=202,
    dependencies=[needs("jobs")],
    responses=problems(
        *SUBMITS, "check_not_repeatable", "step_out_of_range", "step_not_kept", "fork_weighed_otherwise"
    ),
    openapi_extra=FORK,
    summary="Run a job again from one of its steps on",
)
def fork(
    job: TheJob, asked: ForkBody, service: TheService, response: Response, idempotency_key: IdempotencyKey = None
) -> Job:
    """A new job whose steps before ``from_step`` are taken from the old one, which must have kept them (`keep_steps` in
    its spec); the others are run, or those that are given here."""
    key = None if idempotency_key is None else Key.of(idempotency_key, "forks", job.id, asked.model_dump_json())
    if (made := _made_before(service, key)) is None:
        made = _queued(service, forked(job, asked), key, Origin(job.id, asked.from_step))
    return _sent(service, made, response)


def _made_before(service: Service, key: Key | None) -> Job | None:
    return None if key is None else service.jobs.submitted(key)


def _queued(service: Service, spec: JobSpec, key: Key | None, origin: Origin) -> Job:
    refuse_impossible(service, spec)
    return service.jobs.submit(spec, key, origin)


def _sent(service: Service, job: Job, response: Response) -> Job:
    response.headers["Location"] = f"/v1/jobs/{job.id}"
    if service.queue is not None and job.status == "queued":
        dispatch(service.jobs, service.queue, job.id)
    return job
