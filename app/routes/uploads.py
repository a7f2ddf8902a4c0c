"""Models and datasets: the same things can be done with both; a dataset has a preview besides."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.access import needs
from app.conditions import answer, if_match
from app.docs import RAW_BODY, UNCHANGED, form_body, json_body, problems
from app.parameters import (
    Cursor,
    FileName,
    GivenTags,
    IdempotencyKey,
    Limit,
    Sha256,
    WantedTags,
    dataset_body,
    json_of,
    model_body,
    plausible,
)
from app.said import ARCHITECTURE, SCHEMA, Words
from app.service import Service, TheService
from app.uploads import checked_name, receive_body, receive_form
from pith.dataset import Preview
from pith.errors import PithError
from pith.imports import Import
from pith.job import Job, JobSpec
from pith.resources import Dataset, Model, Page, ResourceStatus, UploadOf
from pith.results import ModelOfJob, name_after
from pith.tags import ResourceChange
from store.dispatch import dispatch
from store.idempotency import Key
from store.resources import Resources

R = TypeVar("R", Model, Dataset)
DEFAULT_NAMES: Mapping[UploadOf, str] = {"model": "model.pt2", "dataset": "dataset.npz"}
_REFUSALS = (
    "upload_incomplete",
    "upload_empty",
    "upload_too_large",
    "digest_mismatch",
    "storage_full",
    "media_type_not_supported",
    "idempotency_key_reused",
    "quota_exceeded",
    "origin_not_allowed",
)
REFUSALS = problems(*_REFUSALS)


def models() -> APIRouter:
    return _routes("models", Model, lambda service: service.models, DEFAULT_NAMES["model"], ARCHITECTURE)


def datasets() -> APIRouter:
    router = _routes("datasets", Dataset, lambda service: service.datasets, DEFAULT_NAMES["dataset"], SCHEMA)

    @router.get("/{id}/preview", responses=problems("not_found", "not_ready"), summary="Class counts and a few samples")
    def preview(id: Annotated[str, Path(description="Id of the dataset.")], service: TheService) -> Preview:
        return service.datasets.preview(plausible(id, "dataset", "/v1/datasets"))

    return router


def _routes(
    noun: str, kind: type[R], of: Callable[[Service], Resources[R]], default: str, words: Words[Any]
) -> APIRouter:
    """The router of ``/v1/models`` or ``/v1/datasets``; ``default`` names a file that comes without a name."""
    what, listing = noun.removesuffix("s"), f"/v1/{noun}"
    router = APIRouter(prefix=listing, tags=[noun], dependencies=[needs()])
    _add_uploads(router, kind, of, default, words)
    page: Any = Page[kind]  # type: ignore[valid-type]
    Id = Annotated[str, Path(description=f"Id of the {what}.")]

    @router.get("", response_model=page, responses=problems("bad_cursor"), summary=f"List {noun}, newest first")
    def show_all(
        service: TheService,
        limit: Limit = 50,
        cursor: Cursor = None,
        status: Annotated[ResourceStatus | None, Query(description=f"Only {noun} with this status.")] = None,
        tagged: WantedTags = (),
    ) -> Page[R]:
        """Long lists among the facts are left out here."""
        return of(service).list(limit, cursor, status, tagged)

    shown = {**problems("not_found"), 304: UNCHANGED}

    @router.get("/{id}", response_model=kind, responses=shown, summary=f"Show a {what}")
    async def show(
        request: Request,
        id: Id,
        service: TheService,
        wait: Annotated[float, Query(ge=0, le=60, description="Seconds to wait while it is being checked.")] = 0,
    ) -> Response:
        """With an ETag: ``If-None-Match`` asks only for what is new."""
        id = plausible(id, what, listing)
        if wait:
            await run_in_threadpool(of(service).get, id)
            await service.checks.wait(id, wait)
        return answer(request, await run_in_threadpool(of(service).get, id))

    def _there(id: Id, service: TheService) -> str:
        return of(service).get(plausible(id, what, listing)).id

    @router.patch(
        "/{id}",
        dependencies=[needs("upload")],
        response_model=kind,
        responses=problems(
            "media_type_not_supported", "body_too_large", "not_found", "precondition_failed", "origin_not_allowed"
        ),
        openapi_extra=json_body(ResourceChange, "Another name and other tags", name="resnet", tags=["vision", "v2"]),
        summary=f"Change a {what}'s name or tags",
    )
    def change(
        request: Request,
        id: Annotated[str, Depends(_there)],
        asked: Annotated[ResourceChange, Depends(json_of(ResourceChange))],
        service: TheService,
    ) -> R:
        """With ``If-Match``: only if it is still what that ETag was of."""
        return of(service).change(id, asked, if_match(request))

    @router.post(
        "/{id}/check",
        status_code=202,
        dependencies=[needs("upload")],
        response_model=kind,
        responses=problems("not_found", "check_under_way", "in_use", "origin_not_allowed"),
        summary=f"Check a {what} again",
    )
    def check(id: Id, service: TheService, said: Annotated[Mapping[str, str], Depends(words.query)]) -> R:
        """As after an upload, with what is said of it now, or else with what was said then. What the check before has
        learnt is forgotten."""
        given = words.read(said, "query")
        return _sent(service, of(service).check(plausible(id, what, listing), given))

    @router.delete(
        "/{id}",
        status_code=204,
        dependencies=[needs("delete")],
        response_class=Response,
        responses=problems("not_found", "in_use", "precondition_failed", "origin_not_allowed"),
        summary=f"Delete a {what}",
    )
    def delete(request: Request, id: Id, service: TheService) -> None:
        of(service).delete(plausible(id, what, listing), if_match(request))

    return router


def _sent(service: Service, resource: R) -> R:
    """A resource whose check was queued a moment ago."""
    if service.queue is not None:
        dispatch(service.jobs, service.queue, resource.check)
    return resource


def _add_uploads(
    router: APIRouter, kind: type[R], of: Callable[[Service], Resources[R]], default: str, words: Words[Any]
) -> None:
    may = [needs("upload")]
    route: Any = {"response_model": kind, "status_code": 201, "responses": REFUSALS, "dependencies": may}
    Said = Annotated[Mapping[str, str], Depends(words.query)]

    def made(
        service: Service,
        response: Response,
        name: str,
        digest: str | None,
        size: int,
        given: Any,
        tags: tuple[str, ...],
        key: str | None = None,
    ) -> R:
        said = "" if given is None else given.model_dump_json()
        known = None if key is None else Key.of(key, router.prefix, name, digest or "", said, *tags)
        resource = of(service).create(name, digest, size, given, key=known, tagged=tags)
        response.headers["Location"] = f"{router.prefix}/{resource.id}"
        return _sent(service, resource)

    def referred(
        service: Service, response: Response, name: str, asked: Import, tags: tuple[str, ...], key: str | None
    ) -> R:
        known = None if key is None else Key.of(key, router.prefix, name, asked.model_dump_json(), *tags)
        resource = of(service).create(name, None, 0, asked.given(), key=known, imported=asked, tagged=tags)
        response.headers["Location"] = f"{router.prefix}/{resource.id}"
        return _sent(service, resource)

    def taken_over(
        service: Service, response: Response, asked: ModelOfJob, name: str, tags: tuple[str, ...], key: str | None
    ) -> R:
        known = None if key is None else Key.of(key, router.prefix, name, asked.model_dump_json(), *tags)
        resource = None if known is None else of(service).made(known)
        if resource is None:
            job = service.jobs.get(asked.job)
            artifact = asked.chosen(job)
            service.uploads.room(service.settings.max_upload_bytes).check(artifact.size_bytes)
            chosen = checked_name(asked.name or name or name_after(_begun_with(service, job), artifact))
            resource = of(service).take(chosen, artifact, asked.architecture, known, tags)
        response.headers["Location"] = f"{router.prefix}/{resource.id}"
        return _sent(service, resource)

    async def taken(
        request: Request,
        response: Response,
        service: Service,
        name: str,
        sha256: str | None,
        said: Mapping[str, str],
        tags: tuple[str, ...],
    ) -> R:
        given = words.read(said, "query")
        name, (digest, size), _ = await receive_body(request, service, name, sha256)
        return await run_in_threadpool(made, service, response, name, digest, size, given, tags)

    @router.put("", **route, openapi_extra=RAW_BODY, summary="Upload a file as the body (curl -T FILE)")
    async def put(
        request: Request,
        response: Response,
        service: TheService,
        said: Said,
        name: FileName = default,
        sha256: Sha256 = None,
        tags: GivenTags = (),
    ) -> R:
        """The name can be in the path too: curl adds it to a URL that ends in a slash."""
        return await taken(request, response, service, name or default, sha256, said, tags)

    # Left out of the description, where it would be the same path as the next ones under another name.
    @router.put("/{name}", **route, include_in_schema=False)
    async def put_named(
        name: Annotated[str, Path(max_length=255)],
        request: Request,
        response: Response,
        service: TheService,
        said: Said,
        sha256: Sha256 = None,
        tags: GivenTags = (),
    ) -> R:
        return await taken(request, response, service, name, sha256, said, tags)

    async def fresh(
        request: Request, response: Response, service: Service, name: str, key: str | None, tags: tuple[str, ...]
    ) -> R:
        asked = await (model_body if words is ARCHITECTURE else dataset_body)(request, service)
        if isinstance(asked, Import):
            chosen = checked_name(asked.name or name or asked.called())
            return await run_in_threadpool(referred, service, response, chosen, asked, tags, key)
        if isinstance(asked, ModelOfJob):
            return await run_in_threadpool(taken_over, service, response, asked, name, tags, key)
        chosen = checked_name(name or asked.name.rpartition("/")[2])
        return await run_in_threadpool(made, service, response, chosen, None, 0, asked, tags, key)

    form = "Upload a file as a form (curl -F file=@FILE)"

    of_job = ("not_found", "result_not_model") if words is ARCHITECTURE else ()
    repeated = {"responses": problems("gone", *of_job, *_REFUSALS)}

    @router.post("", **{**route, **repeated}, openapi_extra=form_body(words.names), summary=form)
    async def post(
        request: Request,
        response: Response,
        service: TheService,
        said: Said,
        name: FileName = "",
        sha256: Sha256 = None,
        idempotency_key: IdempotencyKey = None,
        tags: GivenTags = (),
    ) -> R:
        """Without a file, JSON: what a worker is to fetch, or (a model) an Architecture, whose weights are fresh, or a
        job, whose artifact is to be a model too."""
        if _is_json(request):
            return await fresh(request, response, service, name, idempotency_key, tags)

        def understood(parts: Mapping[str, str]) -> Any:
            return words.read({**said, **parts}, None if parts else "query")

        received = await receive_form(request, service, name or None, default, sha256, words.names, understood)
        (digest, size), given = received.stored, received.said
        return await run_in_threadpool(
            made, service, response, received.name, digest, size, given, tags, idempotency_key
        )


def _begun_with(service: Service, job: Job) -> str:
    """What the model of a job is called, or the job where that is gone."""
    try:
        return service.models.get(job.spec.model).name if isinstance(job.spec, JobSpec) else job.id
    except PithError:
        return job.id


def _is_json(request: Request) -> bool:
    return request.headers.get("content-type", "").split(";")[0].strip().lower() == "application/json"
