"""Models and datasets: the same five things can be done with both."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from app.docs import FORM_BODY, RAW_BODY, problems
from app.parameters import Cursor, FileName, Limit, Sha256, plausible
from app.service import Service, TheService
from app.uploads import Received, receive_body, receive_form
from pith.resources import Dataset, Model, Page
from store.resources import Resources

R = TypeVar("R", Model, Dataset)
REFUSALS = problems(
    "upload_incomplete",
    "upload_empty",
    "upload_too_large",
    "digest_mismatch",
    "storage_full",
    "media_type_not_supported",
    "origin_not_allowed",
)


def routes(noun: str, kind: type[R], of: Callable[[Service], Resources[R]], default: str) -> APIRouter:
    """The router of ``/v1/models`` or ``/v1/datasets``; ``default`` names a file that comes without a name."""
    what, listing = noun.removesuffix("s"), f"/v1/{noun}"
    router = APIRouter(prefix=listing, tags=[noun])
    _add_uploads(router, kind, of, default)
    page: Any = Page[kind]  # type: ignore[valid-type]
    Id = Annotated[str, Path(description=f"Id of the {what}.")]

    @router.get("", response_model=page, responses=problems("bad_cursor"), summary=f"List {noun}, newest first")
    def show_all(service: TheService, limit: Limit = 50, cursor: Cursor = None) -> Page[R]:
        return of(service).list(limit, cursor)

    @router.get("/{id}", response_model=kind, responses=problems("not_found"), summary=f"Show a {what}")
    def show(id: Id, service: TheService) -> R:
        return of(service).get(plausible(id, what, listing))

    @router.delete(
        "/{id}",
        status_code=204,
        response_class=Response,
        responses=problems("not_found", "in_use", "origin_not_allowed"),
        summary=f"Delete a {what}",
    )
    def delete(id: Id, service: TheService) -> None:
        of(service).delete(plausible(id, what, listing))

    return router


def _add_uploads(router: APIRouter, kind: type[R], of: Callable[[Service], Resources[R]], default: str) -> None:
    route: Any = {"response_model": kind, "status_code": 201, "responses": REFUSALS}

    async def created(service: Service, received: Received, response: Response) -> R:
        name, (digest, size) = received
        made = await run_in_threadpool(of(service).create, name, digest, size)
        response.headers["Location"] = f"{router.prefix}/{made.id}"
        return made

    @router.put("", **route, openapi_extra=RAW_BODY, summary="Upload a file as the body (curl -T FILE)")
    async def put(
        request: Request, response: Response, service: TheService, name: FileName = default, sha256: Sha256 = None
    ) -> R:
        """The name can be in the path too: curl adds it to a URL that ends in a slash."""
        return await created(service, await receive_body(request, service, name or default, sha256), response)

    # Left out of the description, where it would be the same path as the next ones under another name.
    @router.put("/{name}", **route, include_in_schema=False)
    async def put_named(
        name: Annotated[str, Path(max_length=255)],
        request: Request,
        response: Response,
        service: TheService,
        sha256: Sha256 = None,
    ) -> R:
        return await created(service, await receive_body(request, service, name, sha256), response)

    @router.post("", **route, openapi_extra=FORM_BODY, summary="Upload a file as a form (curl -F file=@FILE)")
    async def post(
        request: Request, response: Response, service: TheService, name: FileName = "", sha256: Sha256 = None
    ) -> R:
        return await created(service, await receive_form(request, service, name or None, default, sha256), response)
