"""The page on which a job is put together. It says what a job would do and sends nothing: its script does, to /v1/jobs,
and so does the line for curl that it shows."""

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cache
from itertools import groupby
from types import MappingProxyType
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse

from app.pages.answered import document
from app.pages.draft import Document, Draft, changed, curl, drafted, python, shortest, unreadable
from app.pages.models import what_is_left
from app.pages.plainly import plainly
from app.pages.render import page
from app.pages.shapes import job_shape
from app.pages.tagging import split_tags, tags_field, wrong_tags
from app.pages.visitor import pages_for
from app.parameters import plausible, whole_body
from app.service import Service, TheService
from pith.errors import PithError
from pith.facts import ModelFacts
from pith.fork import refuse_check
from pith.presets import PRESETS
from pith.recipe import Technique, takes, techniques
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
OF_FINISHED = ("onnx",)
"""The outputs of a model that came as ONNX."""
FITTED = "fitted"
"""The field that says that the outputs are such because of the model."""
PART = "pith-part"
"""The header with which the script asks for the inner part of the page alone."""
R = TypeVar("R", Model, Dataset)
router = APIRouter(prefix="/jobs/new", include_in_schema=False, dependencies=pages_for("jobs"))


@router.get("", response_model=None)
def begin(
    request: Request,
    service: TheService,
    model: Annotated[str | None, Query(max_length=100)] = None,
    dataset: Annotated[str | None, Query(max_length=100)] = None,
    preset: Annotated[str | None, Query(max_length=100)] = None,
    like: Annotated[str | None, Query(max_length=100)] = None,
    fork: Annotated[str | None, Query(max_length=100)] = None,
) -> Response:
    """From nothing, from a model, or from another job's spec. A fork begins on the page of its job."""
    if fork is not None:
        return RedirectResponse(f"/jobs/{service.jobs.get(plausible(fork, 'job', '/v1/jobs')).id}#fork", 303)
    if like is not None:
        spec = shortest(refuse_check(service.jobs.get(plausible(like, "job", "/v1/jobs"))))
        return _shown(request, service, drafted(service, spec), spec)
    notes = _unknown("model", model, service.models.get) | _unknown("dataset", dataset, service.datasets.get)
    named = {"model": model or _newest(service), "dataset": dataset}
    spec = {key: value for key, value in named.items() if value is not None and value not in notes}
    if preset is not None and preset not in (known := [each.name for each in PRESETS]):
        notes[preset] = f"There is no aim “{preset}”; there are {', '.join(known)}."
    spec = _fitted(service, changed(spec, f"preset:{preset}") if preset else spec)
    return _shown(request, service, drafted(service, spec), spec, fresh=not spec.get("recipe"), notes=notes)


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
    act, tags = given.get("do", ""), given.get("tags", "")
    if act != "json":
        spec = _fitted(service, changed(document(job_shape(), given), act), given.get(FITTED, ""))
        # What has moved is not where it was answered.
        return _shown(request, service, drafted(service, spec, given={} if act else given), spec, tags)
    text = given.get("json", "")
    try:
        written = _read(text)
    except (ValueError, RecursionError) as fault:
        draft = unreadable(text, given, str(fault))
        return _shown(request, service, draft, document(job_shape(), given), tags)
    return _shown(request, service, drafted(service, written, text), written, tags)


def _unknown(what: str, id: str | None, get: Callable[[str], object]) -> dict[str, str]:
    """What is to be said of an id that names nothing, by that id."""
    try:
        if id is not None:
            get(plausible(id, what, f"/v1/{what}s"))
    except PithError as error:
        return {str(id): plainly(error.problem.detail)}
    return {}


def _fitted(service: Service, spec: Document, fitted: str = "") -> Document:
    """Outputs that nobody has chosen are those that the model can give. ``fitted`` says that they were made so before,
    for a model that may have been another one."""
    facts = _facts(service, spec.get("model"))
    if facts is not None and not facts.trainable and "outputs" not in spec:
        return spec | {"outputs": list(OF_FINISHED)}
    if fitted and facts is not None and facts.trainable and spec.get("outputs") == list(OF_FINISHED):
        return {key: value for key, value in spec.items() if key != "outputs"}
    return spec


def _facts(service: Service, model: object) -> ModelFacts | None:
    with suppress(PithError):
        return service.models.get(plausible(str(model), "model", "/v1/models")).facts
    return None


def _read(text: str) -> object:
    """JSON that can be written again. Raises ValueError or RecursionError."""
    written = json.loads(text, parse_constant=_refused)
    json.dumps(written, ensure_ascii=False, allow_nan=False).encode()
    return written


def _refused(constant: str) -> object:
    raise ValueError(f"{constant} is no number of JSON")


def _shown(
    request: Request,
    service: Service,
    draft: Draft,
    spec: object,
    tags: str = "",
    fresh: bool = False,
    notes: Mapping[str, str] = MappingProxyType({}),
) -> HTMLResponse:
    base, keys, words = str(request.base_url), service.settings.keys_required, split_tags(tags)
    model = draft.form.child("model").value
    facts = _facts(service, model)
    return page(
        request,
        "new_job_form.html.j2" if PART in request.headers else "new_job.html.j2",
        draft=replace(draft, wrong=(*draft.wrong, *wrong_tags(words))),
        fresh=fresh,
        notes=list(notes.values()),
        tags=tags_field(tags),
        models=_offered(service.models.list(MOST_OFFERED).data, model, service.models.get),
        datasets=_offered(
            service.datasets.list(MOST_OFFERED).data, draft.form.child("dataset").value, service.datasets.get
        ),
        families=_families(),
        takes=takes(facts),
        left=what_is_left(facts),
        fitted=FITTED if facts is not None and not facts.trainable else "",
        presets=[(preset, preset.suits(facts)) for preset in PRESETS],
        rest=REST,
        curl=curl(base, draft.text, words, keys),
        python=python(base, spec, words),
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
