"""The page with the routes and their examples. No script, no other address."""

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response

from app.docs_page import render
from app.service import ThePremises

router = APIRouter(include_in_schema=False)
CSP = (
    "default-src 'none'; style-src 'self'; img-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)


@router.get("/docs")
async def docs(request: Request, service: ThePremises) -> Response:
    html = render(request.app.openapi(), str(request.base_url), service.settings.keys_required)
    return HTMLResponse(html, headers={"Content-Security-Policy": CSP})
