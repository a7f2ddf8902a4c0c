"""Every error as application/problem+json: ours, the framework's, and those that nobody expected."""

import logging
import secrets
from collections.abc import Iterator, Mapping

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import Scope

from app.pages.failing import error_page, wants_page
from pith.errors import PithError, Problem
from pith.pointers import malformed
from store import logs

MEDIA_TYPE = "application/problem+json"
# A connection whose upload has stalled would wait for the rest for ever.
HEADERS = {
    "unavailable": {"Retry-After": "5"},
    "upload_incomplete": {"Connection": "close"},
    "upload_interrupted": {"Connection": "close"},
    "upload_busy": {"Retry-After": "5"},
    "tus_version": {"Tus-Version": "1.0.0"},
    # The body of who is not let in is not read: neither here nor by the server, which would look for the next request.
    "key_required": {"WWW-Authenticate": 'Bearer realm="pith"', "Connection": "close"},
    "key_refused": {"WWW-Authenticate": 'Bearer realm="pith", error="invalid_token"', "Connection": "close"},
    "scope_required": {"Connection": "close"},
    "rate_limited": {"Connection": "close"},
    "quota_exceeded": {"Connection": "close"},
}
METHODS = ("GET", "HEAD", "PUT", "POST", "PATCH", "DELETE")
log = logging.getLogger("pith.api")


def install(app: FastAPI) -> None:
    app.add_exception_handler(PithError, _pith_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)


def problem_response(problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    told = problem.model_copy(update={"request_id": logs.request_id()})
    content = told.model_dump_json(exclude_defaults=True)
    return Response(content, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


async def _pith_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, PithError)
    log_fault(request, error)
    return _answered(request, error.problem, headers_of(error))


def _answered(request: Request, problem: Problem, headers: Mapping[str, str] | None = None) -> Response:
    """As a page for a browser that wants one, and as JSON for all others."""
    if wants_page(request):
        return error_page(request, problem, headers)
    return problem_response(problem, headers)


def headers_of(error: Exception) -> Mapping[str, str]:
    """What an answer says of an error beside its body."""
    own: Mapping[str, str] = getattr(error, "headers", {})
    return {**HEADERS.get(error.code, {}), **own} if isinstance(error, PithError) else {}


def log_fault(request: Request, error: PithError) -> None:
    """What is ours to mend."""
    if error.problem.status >= 500:
        log.error("%s %s: %s", request.method, request.url.path, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return _answered(request, malformed(error.errors(), None).problem)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path, method = request.url.path[:255], request.method
    if error.status_code == 405:
        allowed = list(_methods(request))
        problem = PithError("method_not_allowed", path=path, method=method, allowed=", ".join(allowed)).problem
        return _answered(request, problem, {"Allow": ", ".join(allowed)})
    if error.status_code == 404:
        return _answered(request, PithError("route_not_found", method=method, path=path).problem)
    return _answered(request, problem_of(error, request.scope))


def problem_of(error: Exception, scope: Scope) -> Problem:
    """What a caller may know of any error at all; the rest goes to the log."""
    if isinstance(error, PithError):
        return error.problem
    reference = secrets.token_hex(4)
    log.error("%s: %s %s", reference, scope["method"], scope["path"], exc_info=error)
    return PithError("internal", reference=reference).problem


def _methods(request: Request) -> Iterator[str]:
    """All methods that this path takes: each route knows only its own, so every method is tried on all of them."""
    for method in METHODS:
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in request.app.routes):
            yield method
