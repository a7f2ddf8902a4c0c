"""Pages for a person with a browser: the root, and the routes with their examples. No script, no other address."""

from html import escape

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response

from app.accept import preferred
from app.docs_page import page, render
from app.service import ThePremises

router = APIRouter(include_in_schema=False)
CSP = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


@router.get("/")
async def root(request: Request) -> Response:
    app = request.app
    if preferred(request.headers.get("accept"), ("application/json", "text/html")) == "application/json":
        routes = sorted(app.openapi()["paths"])
        return JSONResponse({"name": app.title, "version": app.version, "docs": "/docs", "routes": routes})
    body = f"<h1>{escape(app.title)} {escape(app.version)}</h1><p><a href='/docs'>Routes and examples</a></p>"
    return HTMLResponse(page(app.title, body), headers={"Content-Security-Policy": CSP})


@router.get("/docs")
async def docs(request: Request, service: ThePremises) -> Response:
    html = render(request.app.openapi(), str(request.base_url), service.settings.keys_required)
    return HTMLResponse(html, headers={"Content-Security-Policy": CSP})
