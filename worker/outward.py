"""Requests that go out of the service to an address that a caller has named: only to public addresses.

    with Outward(Reach.of(hosts=("*",), private=())) as outward:
        with outward.get(url) as response:
            ...

A name is resolved once. If any of its addresses is none of the public internet the request is refused; else the
connection goes to one of those very addresses, with the name in TLS and in ``Host``. Each redirect is checked
anew. Nothing is taken from the environment: no proxy, no .netrc.
"""

import socket
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import httpcore
import httpx

from pith.errors import PithError
from store.addresses import Address, parse
from store.reach import Reach

CONNECT_SECONDS, READ_SECONDS = 10.0, 60.0
POLL_SECONDS = 0.25
MOST_REDIRECTS = 5
MOST_ADDRESSES = 4
_REDIRECTS = (301, 302, 303, 307, 308)
Resolve = Callable[[str, int], Sequence[str]]
Watch = Callable[[], None]


def resolve(host: str, port: int) -> Sequence[str]:
    """Every address of a name. Raises OSError."""
    return list(dict.fromkeys(str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)))


def _go_on() -> None:
    """Nothing watches."""


def checked(reach: Reach, url: httpx.URL, resolve: Resolve) -> Sequence[Address]:
    """The addresses that this may be asked at.

    Raises:
        PithError: ``address_refused``.
        httpx.ConnectError: the name has none.
    """
    host, port = url.raw_host.decode("ascii"), url.port or _default_port(url)
    if url.scheme not in ("http", "https") or url.userinfo or not host:
        raise refused(url, "it is no plain http or https address")
    # What is refused whatever its addresses are is not looked up: no name of it goes out.
    if (reason := reach.refusal(url.scheme, host, port, None)) is not None:
        raise refused(url, reason)
    found = _addresses(host, port, resolve)
    if (reason := reach.refusal(url.scheme, host, port, found)) is not None:
        raise refused(url, reason)
    return found


class Transport(httpx.BaseTransport):
    """For an ``httpx.Client(transport=…, trust_env=False)``. ``watch`` is called while it waits, and may raise."""

    def __init__(self, reach: Reach, resolve: Resolve = resolve, watch: Watch = _go_on) -> None:
        self._reach, self._resolve = reach, resolve
        self._network = _Checked(watch)
        # No connection is kept: each request goes to an address that was looked at for it.
        self._pool = httpcore.ConnectionPool(
            ssl_context=httpx.create_ssl_context(), network_backend=self._network, max_keepalive_connections=0
        )

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        self._network.allow(url, checked(self._reach, url, self._resolve))
        assert isinstance(request.stream, httpx.SyncByteStream)
        outgoing = httpcore.Request(
            method=request.method,
            url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
            headers=request.headers.raw,
            content=request.stream,
            extensions=request.extensions,
        )
        with _as_httpx():
            answer = self._pool.handle_request(outgoing)
        assert isinstance(answer.stream, Iterable)
        return httpx.Response(
            answer.status, headers=answer.headers, stream=_Body(answer.stream), extensions=answer.extensions
        )

    def close(self) -> None:
        self._pool.close()


class Outward:
    """A client that follows redirects by asking anew whether it may go there."""

    def __init__(self, reach: Reach, resolve: Resolve = resolve, watch: Watch = _go_on) -> None:
        timeout = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(transport=Transport(reach, resolve, watch), timeout=timeout, trust_env=False)

    def __enter__(self) -> "Outward":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._http.close()

    @contextmanager
    def get(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[httpx.Response]:
        """A response whose body is still to come; read it by ``iter_raw``, since nothing is unpacked.

        Headers go to the first origin alone.

        Raises:
            PithError: ``address_refused``.
            httpx.HTTPError: it did not answer, or not in HTTP.
        """
        said = {"Accept-Encoding": "identity", "User-Agent": "Pith", **(headers or {})}
        request = self._http.build_request("GET", url, headers=said)
        for _ in range(MOST_REDIRECTS + 1):
            response = self._http.send(request, stream=True)
            try:
                if response.status_code not in _REDIRECTS or "location" not in response.headers:
                    yield response
                    return
                request = self._next(request, response)
            finally:
                response.close()
        raise refused(request.url, f"it is the end of more than {MOST_REDIRECTS} redirects")

    def post(self, url: str, body: bytes, headers: Mapping[str, str], most: int) -> httpx.Response:
        """An answer without its body, of which ``most`` bytes are looked at; a redirect is an answer like others.

        Raises:
            PithError: ``address_refused``.
            httpx.HTTPError: it did not answer, or not in HTTP.
        """
        request = self._http.build_request("POST", url, content=body, headers={"User-Agent": "Pith", **headers})
        response = self._http.send(request, stream=True)
        try:
            seen = 0
            for piece in response.iter_raw():
                if (seen := seen + len(piece)) > most:
                    break
            return response
        finally:
            response.close()

    def _next(self, request: httpx.Request, response: httpx.Response) -> httpx.Request:
        try:
            url = request.url.join(response.headers["location"])
        except httpx.InvalidURL as fault:
            raise refused(request.url, "it redirects to something that is no address") from fault
        kept = ("accept-encoding", "user-agent", "range", "if-range")
        same = origin_of(url) == origin_of(request.url)
        headers = {name: value for name, value in request.headers.items() if name in kept or (same and name != "host")}
        return self._http.build_request("GET", url, headers=headers)


def refused(url: httpx.URL, reason: str) -> PithError:
    return PithError("address_refused", host=url.host[:255] or "(no host)", reason=reason)


def origin_of(url: httpx.URL) -> str:
    """As ``Reach.origins`` has them."""
    return f"{url.scheme}://{url.raw_host.decode('ascii')}:{url.port or _default_port(url)}"


class _Checked(httpcore.NetworkBackend):
    """Connects to addresses that were checked, and to nothing else; resolves nothing."""

    def __init__(self, watch: Watch) -> None:
        self._sockets = httpcore.SyncBackend()
        self._allowed: dict[tuple[str, int], Sequence[Address]] = {}
        self._watch = watch

    def allow(self, url: httpx.URL, addresses: Sequence[Address]) -> None:
        self._allowed[url.raw_host.decode("ascii"), url.port or _default_port(url)] = addresses

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        fault: Exception = httpcore.ConnectError("no address")
        for address in self._allowed.pop((host, port), ())[:MOST_ADDRESSES]:
            self._watch()
            try:
                return _Watched(self._sockets.connect_tcp(str(address), port, timeout), self._watch)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                fault = error
        raise fault


class _Watched(httpcore.NetworkStream):
    """Waits in short turns, and between them asks whether it should go on."""

    def __init__(self, stream: httpcore.NetworkStream, watch: Watch) -> None:
        self._stream, self._watch = stream, watch

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        left = READ_SECONDS if timeout is None else timeout
        while True:
            self._watch()
            try:
                return self._stream.read(max_bytes, min(POLL_SECONDS, left))
            except httpcore.ReadTimeout:
                if (left := left - POLL_SECONDS) <= 0:
                    raise

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._watch()
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: float | None = None
    ) -> "_Watched":
        return _Watched(self._stream.start_tls(ssl_context, server_hostname, timeout), self._watch)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _Body(httpx.SyncByteStream):
    def __init__(self, stream: Iterable[bytes]) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        with _as_httpx():
            yield from self._stream

    def close(self) -> None:
        if hasattr(self._stream, "close"):
            self._stream.close()


@contextmanager
def _as_httpx() -> Iterator[None]:
    """The exceptions of httpcore have their namesakes in httpx."""
    try:
        yield
    except (httpcore.NetworkError, httpcore.TimeoutException, httpcore.ProtocolError, httpcore.ProxyError) as error:
        kind = getattr(httpx, type(error).__name__, httpx.TransportError)
        raise kind(str(error) or type(error).__name__) from error


def _addresses(host: str, port: int, resolve: Resolve) -> Sequence[Address]:
    try:
        found = [parse(text) for text in resolve(host, port)]
    except (OSError, UnicodeError) as error:
        raise httpx.ConnectError(f"the name has no address ({error})") from error
    known = [address for address in found if address is not None]
    if not known or len(known) != len(found):
        raise httpx.ConnectError("the name has no address")
    return known


def _default_port(url: httpx.URL) -> int:
    return 80 if url.scheme == "http" else 443
