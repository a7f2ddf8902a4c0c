"""What is seen of every request: its id, one line in the log, its numbers. Pure ASGI, around all other layers."""

import logging
import re
import secrets
import time

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import metrics
from store import logs

HEALTH = frozenset({"/livez", "/readyz"})
_GIVEN = re.compile(r"[\x21-\x7e]{1,128}")
log = logging.getLogger("pith.requests")


class Watch:
    """``X-Request-Id`` of the caller is kept where it is printable and short; else there is a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-request-id", "")
        seen = _Seen(scope, receive, send, given if _GIVEN.fullmatch(given) else secrets.token_hex(8))
        with logs.bound(request_id=seen.id):
            try:
                await self.app(scope, seen.receive, seen.send)
            finally:
                seen.over()


class _Seen:
    """One request on its way through."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, id: str) -> None:
        self.id = id
        self._scope, self._receive, self._send = scope, receive, send
        self._began = time.perf_counter()
        self._status: int | None = None
        self._received = 0
        self._streams = False

    async def receive(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._received += len(message.get("body", b""))
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.id
            self._status = message["status"]
            self._streams = headers.get("content-type", "").startswith("text/event-stream")
            if self._streams:
                metrics.EVENT_STREAMS.inc()
        await self._send(message)

    def over(self) -> None:
        """It is answered, or the caller has left without an answer."""
        seconds = time.perf_counter() - self._began
        if self._streams:
            metrics.EVENT_STREAMS.dec()
        method, path = self._scope["method"], self._scope["path"]
        metrics.request(
            method, _template(self._scope), self._status, None if self._streams else seconds, self._received
        )
        if path not in HEALTH and self._scope["app"].state.service.logs_requests:
            said = {"method": method, "path": path[:1000], "status": self._status, "seconds": round(seconds, 6)}
            log.info("%s %s %s in %.3f s", method, path[:1000], self._status or "unanswered", seconds, extra=said)


def _template(scope: Scope) -> str:
    """The route as it is written, ``/v1/jobs/{id}``; there are as many as there are routes."""
    return getattr(scope.get("route"), "path", "none")
