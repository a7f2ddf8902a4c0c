"""Projects: what one may use and uses; for who operates the service, all of them."""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from app.pages import words
from app.pages.keys import SAYS
from app.pages.render import page
from app.pages.visitor import pages_for
from app.parameters import plausible
from app.service import TheService
from pith.access import SCOPES, Project, Quotas, Usage
from pith.errors import PithError
from store.access import PROJECTS

SHOWN = 50
CALLED = {
    "storage_bytes": "Stored",
    "upload_bytes": "One uploaded file",
    "jobs_at_once": "Jobs that run at once",
    "jobs_unfinished": "Jobs that run or wait",
    "requests_per_minute": "Requests a minute, of each key",
}
router = APIRouter(prefix="/projects", include_in_schema=False, dependencies=pages_for())


class Row(NamedTuple):
    """One quota. ``share`` is how much of it is used; None where nothing is counted, or nothing bounds it."""

    name: str
    used: str
    most: str
    share: float | None


@router.get("")
def show_all(
    request: Request, service: TheService, cursor: Annotated[str | None, Query(max_length=500)] = None
) -> Response:
    """For who sees only one: that."""
    if "operate" not in service.caller.scopes:
        return RedirectResponse(f"/projects/{service.caller.project}", 303)
    found = service.projects.list(SHOWN, cursor)
    told = [(each, _bounds(each.quotas)) for each in found.data]
    return page(request, "projects.html.j2", found=found, told=told, cursor=cursor, fields=_fields(Quotas()))


@router.get("/{id}")
def show(request: Request, id: str, service: TheService) -> Response:
    """Another than one's own only by a key that operates."""
    own, operates = id == service.caller.project, "operate" in service.caller.scopes
    if not own and not operates:
        raise PithError("not_found", what="project", id=id[:64], listing=PROJECTS)
    project = service.projects.get(plausible(id, "project", PROJECTS))
    return page(
        request,
        "project.html.j2",
        project=project,
        rows=tuple(_rows(project, service.projects.usage(project.id))),
        own=own,
        operates=operates,
        scopes=[(scope, SAYS[scope]) for scope in SCOPES if scope in service.caller.scopes],
        required=service.settings.keys_required,
        fields=_fields(project.quotas),
    )


def _rows(project: Project, usage: Usage) -> Iterator[Row]:
    used = usage.model_dump()
    for name, most in project.quotas.model_dump().items():
        now = used.get(name)
        share = None if now is None or most is None else min(1.0, now / most if most else 1.0)
        yield Row(CALLED[name], _told(name, now), "no limit" if most is None else _told(name, most), share)


def _bounds(quotas: Quotas) -> str:
    told = (f"{CALLED[name].lower()}: {_told(name, most)}" for name, most in quotas if most is not None)
    return "; ".join(told) or "none"


def _told(name: str, value: int | None) -> str:
    return words.size(value) if name.endswith("_bytes") else words.whole(value)


def _fields(quotas: Quotas) -> list[tuple[str, str, int | None]]:
    return [(name, CALLED[name] + (", bytes" if name.endswith("_bytes") else ""), value) for name, value in quotas]
