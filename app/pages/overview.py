"""The page at the root: what waits, who works, how much room there is, and what to do first."""

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, Response

from app.accept import preferred
from app.access import caller_of
from app.pages.render import page
from app.pages.visitor import visitor
from app.service import Service, ThePremises

router = APIRouter(include_in_schema=False)


@router.get("/")
async def root(request: Request, premises: ThePremises) -> Response:
    """For a program: what this is, and its routes."""
    if preferred(request.headers.get("accept"), ("application/json", "text/html")) == "text/html":
        await run_in_threadpool(visitor, request)
        return await run_in_threadpool(_overview, request, premises.within(caller_of(request)))
    app = request.app
    routes = sorted(app.openapi()["paths"])
    return JSONResponse({"name": app.title, "version": app.version, "docs": "/docs", "routes": routes})


def _overview(request: Request, service: Service) -> Response:
    return page(request, "overview.html.j2")
