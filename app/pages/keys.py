"""Keys: who may do what. A secret is shown by the script that asked for it, and is in no page."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse

from app.pages.render import page
from app.pages.visitor import pages_for
from app.service import TheService
from pith.access import SCOPES, USUAL, Scope

SHOWN = 50
SAYS: dict[Scope, str] = {
    "upload": "bring models and datasets",
    "jobs": "submit, cancel, pause and resume",
    "delete": "delete what is stored",
    "admin": "the keys and webhooks of the project",
    "operate": "all projects, their quotas and their keys",
}
router = APIRouter(prefix="/keys", include_in_schema=False, dependencies=pages_for("admin"))


@router.get("")
def show_all(
    request: Request, service: TheService, cursor: Annotated[str | None, Query(max_length=500)] = None
) -> HTMLResponse:
    mine = service.caller.scopes
    return page(
        request,
        "keys.html.j2",
        found=service.keys.list(SHOWN, cursor),
        cursor=cursor,
        now=datetime.now(UTC),
        scopes=[(scope, SAYS[scope], scope in USUAL) for scope in SCOPES if scope in mine or "operate" in mine],
        projects={each.id: each.name for each in service.projects.list(200).data} if "operate" in mine else {},
        required=service.settings.keys_required,
    )
