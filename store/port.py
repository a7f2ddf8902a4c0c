"""The port that a process may have of its own: /metrics for Prometheus, and /livez, which says whether its loops turn.

A loop says ``Life.beat`` each time round, and how long it may be silent. A loop that hangs is then seen, and so is a
process that is stopped: it answers nothing at all.
"""

import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from prometheus_client.exposition import choose_encoder

from pith.errors import PithError
from store.metrics import REGISTRY
from store.settings import Settings


class Life:
    """The loops of one process and when each must have been heard of again."""

    def __init__(self) -> None:
        self._due: dict[str, float] = {}

    def beat(self, loop: str, within: float) -> None:
        """It goes round, and will say so again within so many seconds."""
        self._due[loop] = time.monotonic() + within

    def rest(self, loop: str) -> None:
        """It has ended, or waits for something else; nothing is expected of it."""
        self._due.pop(loop, None)

    def silent(self) -> tuple[str, ...]:
        """The loops that are overdue."""
        now = time.monotonic()
        return tuple(sorted(loop for loop, due in list(self._due.items()) if due < now))


def open_port(settings: Settings, life: Life) -> ThreadingHTTPServer | None:
    """Answer from threads of its own, if PITH_METRICS_PORT asks for it.

    Raises:
        PithError: ``setting_refused`` when the port cannot be had.
    """
    if settings.metrics_port is None:
        return None
    handler = type("Handler", (_Handler,), {"life": life})
    try:
        server = _Server((settings.metrics_host, settings.metrics_port), handler)
    except OSError as error:
        reason = f"it cannot be listened on at {settings.metrics_host} ({error.strerror}); set another one"
        raise PithError(
            "setting_refused", name="PITH_METRICS_PORT", value=settings.metrics_port, reason=reason
        ) from error
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()
    return server


class _Server(ThreadingHTTPServer):
    daemon_threads = True


class _Handler(BaseHTTPRequestHandler):
    life: ClassVar[Life]
    timeout = 10

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/metrics":
                encode, kind = choose_encoder(self.headers.get("Accept", ""))
                self._answer(200, kind, encode(REGISTRY))
            case "/livez":
                silent = self.life.silent()
                said = f"silent for too long: {', '.join(silent)}\n" if silent else "ok\n"
                self._answer(503 if silent else 200, "text/plain; charset=utf-8", said.encode())
            case _:
                self._answer(404, "text/plain; charset=utf-8", b"there are /metrics and /livez\n")

    def _answer(self, status: int, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """A scrape every few seconds is no news."""
