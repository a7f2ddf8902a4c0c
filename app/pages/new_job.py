"""The page on which a job is put together. It says what a job would do and sends nothing: its script does, to /v1/jobs,
and so does the line for curl that it shows."""

import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from itertools import groupby
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse

from app.pages.answered import document
from app.pages.draft import Draft, changed, curl, drafted, python, shortest, unreadable
from app.pages.render import page
from app.pages.shapes import job_shape
from app.pages.visitor import pages_for
from app.parameters import plausible, whole_body
from app.service import Service, TheService
from pith.errors import PithError
from pith.fork import refuse_check
from pith.presets import PRESETS
from pith.recipe import Technique, techniques
from pith.resources import Dataset, Model

MOST_FIELDS = 20_000
MOST_OFFERED = 200
FAMILIES = {
    "prune": "Take parts of the model away",
    "distill": "Train a student to answer as its teacher does",
    "quantize": "Fewer bits for each number",
    "finetune": "Train it, or teach it another task",
    "merge": "Make one model of several",
    "encode": "Pack the weights for transport",
}
REST = ("preprocessing", "augmentation", "device", "priority", "limits", "seed", "webhooks", "report", "keep_steps")
PART = "pith-part"
"""The header with which the script asks for the inner part of the page alone."""
R = TypeVar("R", Model, Dataset)
router = APIRouter(prefix="/jobs/new", include_in_schema=False, dependencies=pages_for("jobs"))


@router.get("")
def begin(
    request: Request,
    service: TheService,
    model: Annotated[str | None, Query(max_length=100)] = None,
    dataset: Annotated[str | None, Query(max_length=100)] = None,
    preset: Annotated[str | None, Query(max_length=100)] = None,
    like: Annotated[str | None, Query(max_length=100)] = None,
) -> HTMLResponse:
    """From nothing, from a model, or from another job's spec."""
    if like is not None:
        spec = shortest(refuse_check(service.jobs.get(plausible(like, "job", "/v1/jobs"))))
    else:
        named = {"model": model or _newest(service), "dataset": dataset}
        spec = {key: value for key, value in named.items() if value is not None}
        spec = changed(spec, f"preset:{preset}") if preset else spec
    return _shown(request, service, drafted(service, spec), spec, (), fresh=not spec.get("recipe"))


@router.post("")
async def work(request: Request, service: TheService) -> HTMLResponse:
    """The form as it stands, and what its buttons do with it."""
    body = await whole_body(request, service)
    return await run_in_threadpool(_worked, request, service, body)


def _worked(request: Request, service: Service, body: bytes) -> HTMLResponse:
    try:
        pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=MOST_FIELDS)
    except ValueError as fault:
        raise PithError("malformed_request", wrong="The form is wrong", summary=str(fault)) from fault
    given = dict(pairs)
    act, tags = given.get("do", ""), tuple(given.get("tags", "").replace(",", " ").split())
    if act != "json":
        spec = changed(document(job_shape(), given), act)
        # What has moved is not where it was answered.
        return _shown(request, service, drafted(service, spec, given={} if act else given), spec, tags)
    text = given.get("json", "")
    try:
        written = _read(text)
    except (ValueError, RecursionError) as fault:
        draft = unreadable(text, given, str(fault))
        return _shown(request, service, draft, document(job_shape(), given), tags)
    return _shown(request, service, drafted(service, written, text), written, tags)


def _read(text: str) -> object:
    """JSON that can be written again. Raises ValueError or RecursionError."""
    written = json.loads(text, parse_constant=_refused)
    json.dumps(written, ensure_ascii=False, allow_nan=False).encode()
    return written


def _refused(constant: str) -> object:
    raise ValueError(f"{constant} is no number of JSON")


def _shown(
    request: Request, service: Service, draft: Draft, spec: object, tags: Sequence[str], fresh: bool = False
) -> HTMLResponse:
    base, keys = str(request.base_url), service.settings.keys_required
    return page(
        request,
        "new_job_form.html.j2" if PART in request.headers else "new_job.html.j2",
        draft=draft,
        fresh=fresh,
        tags=" ".join(tags),
        models=_offered(service.models.list(MOST_OFFERED).data, draft.form.child("model").value, service.models.get),
        datasets=_offered(
            service.datasets.list(MOST_OFFERED).data, draft.form.child("dataset").value, service.datasets.get
        ),
        families=_families(),
        presets=PRESETS,
        rest=REST,
        curl=curl(base, draft.text, tags, keys),
        python=python(base, spec, tags),
    )


def _offered(found: Sequence[R], chosen: str, get: Callable[[str], R]) -> list[R]:
    """What can be picked, and what is picked."""
    offered = [each for each in found if each.status != "rejected" or each.id == chosen]
    if chosen and all(each.id != chosen for each in offered):
        with suppress(PithError):
            offered.append(get(chosen))
    return offered


def _newest(service: Service) -> str | None:
    ready = service.models.list(1, status="ready").data
    return ready[0].id if ready else None


@cache
def _families() -> list[tuple[str, str, list[Technique]]]:
    found = {family: list(each) for family, each in groupby(techniques(), key=lambda one: one.family)}
    order = [*FAMILIES, *(family for family in found if family not in FAMILIES)]
    return [(family, FAMILIES.get(family, ""), found[family]) for family in order if family in found]
