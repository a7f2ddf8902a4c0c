"""Having the service fetch a model or a dataset, instead of sending it."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from app.pages.render import page
from app.pages.visitor import pages_for

router = APIRouter(include_in_schema=False, dependencies=pages_for("upload"))


@router.get("/import")
def show(request: Request) -> HTMLResponse:
    return page(request, "import.html.j2")
