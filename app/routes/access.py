"""Keys and projects: who may do what, and how much of it."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Response
from fastapi.concurrency import run_in_threadpool

from app.access import listed, needs
from app.docs import json_body, problems
from app.parameters import Cursor, IdempotencyKey, Limit, json_of, plausible
from app.service import TheService
from pith.access import SCOPES, ApiKey, IssuedKey, Me, NewKey, NewProject, Project, ProjectChange
from pith.errors import PithError
from pith.resources import Page
from store.access import KEYS, PROJECTS, Caller
from store.idempotency import Key

router = APIRouter(tags=["access"])
BODY = ("media_type_not_supported", "body_too_large", "origin_not_allowed")


def _project(id: Annotated[str, Path(description="Id of the project.")]) -> str:
    return plausible(id, "project", PROJECTS)


def _key(id: Annotated[str, Path(description="Id of the key.")]) -> str:
    return plausible(id, "key", KEYS)


ProjectPath = Annotated[str, Depends(_project)]
KeyPath = Annotated[str, Depends(_key)]


@router.get("/v1/me", dependencies=[needs()], responses=problems(), summary="Who calls, and what the project uses")
def me(service: TheService) -> Me:
    caller = service.caller
    project, usage = service.projects.get(caller.project), service.projects.usage(caller.project)
    return Me(
        project=project,
        usage=usage,
        key=caller.key,
        name=caller.name,
        scopes=tuple(scope for scope in SCOPES if scope in caller.scopes),
    )


@router.post(
    KEYS,
    status_code=201,
    dependencies=[needs("admin")],
    responses=problems("not_found", "scope_required", "scope_not_yours", "idempotency_key_reused", *BODY),
    openapi_extra=json_body(NewKey, "For a pipeline, for a while", name="pipeline", scopes=["upload", "jobs"]),
    summary="Make a key",
)
async def create_key(
    asked: Annotated[NewKey, Depends(json_of(NewKey))],
    service: TheService,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> IssuedKey:
    """Its secret is in this answer and nowhere else. A key can give no scope that it has not itself; one that operates
    can give all, in any project."""
    _check_own(service.caller, asked)
    key = None if idempotency_key is None else Key.of(idempotency_key, "keys", asked.model_dump_json())
    made = await run_in_threadpool(service.keys.create, asked, service.caller.project, key)
    response.headers["Location"] = f"{KEYS}/{made.id}"
    return made


@router.get(KEYS, dependencies=[needs("admin")], responses=problems("bad_cursor"), summary="List keys, newest first")
def show_keys(service: TheService, limit: Limit = 50, cursor: Cursor = None) -> Page[ApiKey]:
    """Those of the project, and those of all projects for a key that operates."""
    return service.keys.list(limit, cursor)


@router.get(f"{KEYS}/{{id}}", dependencies=[needs("admin")], responses=problems("not_found"), summary="Show a key")
def show_key(id: KeyPath, service: TheService) -> ApiKey:
    return service.keys.get(id)


@router.delete(
    f"{KEYS}/{{id}}",
    dependencies=[needs("admin")],
    responses=problems("not_found", "origin_not_allowed"),
    summary="Revoke a key",
)
def revoke(id: KeyPath, service: TheService) -> ApiKey:
    """At once and for good; what it was is still shown. Asking twice does no harm."""
    return service.keys.revoke(id)


@router.post(
    PROJECTS,
    status_code=201,
    dependencies=[needs("operate")],
    responses=problems("gone", "idempotency_key_reused", *BODY),
    openapi_extra=json_body(NewProject, "Two jobs at once", name="vision", quotas={"jobs_at_once": 2}),
    summary="Make a project",
)
async def create_project(
    asked: Annotated[NewProject, Depends(json_of(NewProject))],
    service: TheService,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Project:
    """Nobody can do anything in it before it has a key."""
    key = None if idempotency_key is None else Key.of(idempotency_key, "projects", asked.model_dump_json())
    made = await run_in_threadpool(service.projects.create, asked, service.caller.project, key)
    response.headers["Location"] = f"{PROJECTS}/{made.id}"
    return made


@router.get(
    PROJECTS, dependencies=[needs("operate")], responses=problems("bad_cursor"), summary="List projects, newest first"
)
def show_projects(service: TheService, limit: Limit = 50, cursor: Cursor = None) -> Page[Project]:
    return service.projects.list(limit, cursor)


@router.get(f"{PROJECTS}/{{id}}", dependencies=[needs()], responses=problems("not_found"), summary="Show a project")
def show_project(id: ProjectPath, service: TheService) -> Project:
    """Another than one's own only by a key that operates."""
    if id != service.caller.project and "operate" not in service.caller.scopes:
        raise PithError("not_found", what="project", id=id, listing=PROJECTS)
    return service.projects.get(id)


@router.patch(
    f"{PROJECTS}/{{id}}",
    dependencies=[needs("operate")],
    responses=problems("not_found", *BODY),
    openapi_extra=json_body(ProjectChange, "A hundred gigabytes", quotas={"storage_bytes": 10**11}),
    summary="Change a project's name or quotas",
)
async def change_project(
    id: ProjectPath, change: Annotated[ProjectChange, Depends(json_of(ProjectChange))], service: TheService
) -> Project:
    """Quotas hold from now on: what is stored already stays, and jobs that run go on."""
    return await run_in_threadpool(service.projects.change, id, change)


@router.delete(
    f"{PROJECTS}/{{id}}",
    status_code=204,
    response_class=Response,
    dependencies=[needs("operate")],
    responses=problems("not_found", "project_not_empty", "origin_not_allowed"),
    summary="Delete a project",
)
def delete_project(id: ProjectPath, service: TheService) -> None:
    """One that holds nothing any more; its keys are revoked."""
    service.projects.delete(id)


def _check_own(caller: Caller, asked: NewKey) -> None:
    """
    Raises:
        PithError: ``scope_required``, ``scope_not_yours``.
    """
    if "operate" in caller.scopes:
        return
    if asked.project not in (None, caller.project):
        raise PithError("scope_required", name=caller.name, scope="operate", has=listed(caller.scopes))
    for scope in asked.scopes:
        if scope not in caller.scopes:
            raise PithError("scope_not_yours", name=caller.name, scope=scope, has=listed(caller.scopes))
