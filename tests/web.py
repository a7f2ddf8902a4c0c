"""A real HTTP server on a real socket, which does to each request what a test wrote down for it."""

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

OK = "HTTP/1.1 200 OK\r\n"


@dataclass
class Asked:
    """One request: its path with the query, and its headers in lower case."""

    path: str
    headers: dict[str, str]


@dataclass
class Conversation:
    """What a handler has in hand: the request, the connection, and whether the test is over."""

    asked: Asked
    connection: socket.socket
    over: threading.Event

    def say(self, text: str, body: bytes = b"") -> None:
        self.connection.sendall(text.encode() + body)

    def give(self, body: bytes, *headers: str, status: str = "200 OK") -> None:
        lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(body)}", *headers))
        self.say(f"HTTP/1.1 {status}\r\n{lines}Connection: close\r\n\r\n", body)

    def redirect(self, to: str) -> None:
        self.give(b"", f"Location: {to}", status="302 Found")


Handler = Callable[[Conversation], None]


@dataclass
class Web:
    """``pages`` are handlers by path; ``asked`` is what came."""

    port: int = 0
    pages: dict[str, Handler] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.contextmanager
def serving(wrap: Callable[[socket.socket], socket.socket] = lambda one: one) -> Iterator[Web]:
    """``wrap`` makes TLS of a connection."""
    web, over = Web(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        web.port = listener.getsockname()[1]
        listener.settimeout(0.1)
        threads = [threading.Thread(target=_accept, args=(listener, web, over, wrap), daemon=True)]
        threads[0].start()
        try:
            yield web
        finally:
            over.set()
            threads[0].join()


def _accept(listener: socket.socket, web: Web, over: threading.Event, wrap: Callable[..., socket.socket]) -> None:
    while not over.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _ = listener.accept()
            threading.Thread(target=_serve, args=(connection, web, over, wrap), daemon=True).start()


def _serve(connection: socket.socket, web: Web, over: threading.Event, wrap: Callable[..., socket.socket]) -> None:
    with contextlib.suppress(OSError), wrap(connection) as wrapped:
        wrapped.settimeout(20)
        head = b""
        while b"\r\n\r\n" not in head:
            if not (more := wrapped.recv(65536)):
                return
            head += more
        first, *lines = head.partition(b"\r\n\r\n")[0].decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        asked = Asked(first.split()[1], headers)
        web.asked.append(asked)
        conversation = Conversation(asked, wrapped, over)
        page = web.pages.get(asked.path) or web.pages.get(asked.path.partition("?")[0])
        if page is None:
            conversation.give(b"nothing here", status="404 Not Found")
        else:
            page(conversation)


def file(data: bytes, etag: str = '"one"') -> Handler:
    """A file whose parts can be asked for."""

    def given(one: Conversation) -> None:
        wanted = one.asked.headers.get("range")
        if wanted is None or one.asked.headers.get("if-range") != etag:
            one.give(data, f"ETag: {etag}")
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-"))
        part = f"Content-Range: bytes {start}-{len(data) - 1}/{len(data)}"
        one.give(data[start:], f"ETag: {etag}", part, status="206 Partial Content")

    return given


def breaking(data: bytes, after: int, *headers: str) -> Handler:
    """The first bytes of a file, and then the end of the connection."""

    def given(one: Conversation) -> None:
        lines = "".join(f"{line}\r\n" for line in (f"Content-Length: {len(data)}", *headers))
        one.say(f"{OK}{lines}\r\n", data[:after])

    return given


def first(*handlers: Handler) -> Handler:
    """One handler after the other; the last one for all that follow."""
    left = list(handlers)

    def given(one: Conversation) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(one)

    return given
