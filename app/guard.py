"""The outermost layer of the API: who may speak to it, and the headers of every answer. Pure ASGI, so streams pass.

It decides by the headers alone: of a request that is refused here, the body is never read.
"""

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import cookie
from app.doors import ASKED, Doors
from app.problems import headers_of, problem_of, problem_response
from app.settings import ApiSettings
from pith.errors import PithError

AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:/@\[\]]+))(?::\d{1,5})?")
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # A route that answers with a page sets its own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses a Host that is not ours (DNS rebinding), writes that a page of another origin sends, and missing keys."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        try:
            service, headers = scope["app"].state.service, Headers(scope=scope)
            check(service.settings, scope["method"], headers, scope["scheme"])
            if scope["path"].startswith(ASKED):
                answer.headers = await _let_in(service.doors, headers, scope)
            await self.app(scope, receive, answer.send)
        except Exception as error:
            if answer.started:
                raise
            await problem_response(problem_of(error, scope), headers_of(error))(scope, receive, answer.send)


class _Answer:
    """The way out, where every answer gets the headers above."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.started = False
        self.headers: Mapping[str, str] = {}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            for name, value in {**HEADERS, **self.headers}.items():
                headers.setdefault(name, value)
        await self._send(message)


async def _let_in(doors: Doors, headers: Headers, scope: Scope) -> Mapping[str, str]:
    """Who it is goes along with the request; returned are headers of the answer."""
    scheme = scope["scheme"]
    asks = doors.asks(headers)
    admission = await run_in_threadpool(doors.admit, headers, scheme) if asks else doors.admit(headers, scheme)
    scope.setdefault("state", {})["caller"] = admission.caller
    return admission.headers


def check(settings: ApiSettings, method: str, headers: Headers, scheme: str = "http") -> None:
    """
    Raises:
        PithError: ``host_not_allowed`` or ``origin_not_allowed``.
    """
    host = headers.get("host", "")
    if len(headers.getlist("host")) != 1 or not settings.serves(hostname(host)):
        raise PithError("host_not_allowed", host=host[:255])
    if method not in SAFE_METHODS:
        _check_origin(host, headers)
        if "authorization" not in headers and cookie.carried(headers, scheme) is not None:
            _check_own_page(headers)


def hostname(host: str) -> str:
    """``127.0.0.1:8000`` and ``[::1]:8000`` without port and brackets; empty when it is neither name nor address."""
    match = AUTHORITY.fullmatch(host)
    return (match[1] or match[2]).lower() if match else ""


def _check_origin(host: str, headers: Headers) -> None:
    origin = headers.get("origin")
    if origin is not None and authority(origin) != host.lower():
        raise PithError("origin_not_allowed", origin=origin[:255])
    if origin is None and headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        raise PithError("origin_not_allowed", origin=headers["sec-fetch-site"][:255])


def _check_own_page(headers: Headers) -> None:
    """A browser sends the cookie by itself; that one of our pages wanted it must be said."""
    if "origin" not in headers and headers.get("sec-fetch-site") != "same-origin":
        raise PithError("origin_not_allowed", origin="nobody's")


def authority(origin: str) -> str | None:
    """The authority of an http origin; None for ``null`` and everything else."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in {"http", "https"} else None
