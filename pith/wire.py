"""HTTP as the client speaks it: problems become PithError, silence becomes a sentence. Knows no route."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from pith.errors import PithError, Problem

T = TypeVar("T")

DEFAULT_URL = "http://127.0.0.1:8000"
# Storing a large upload ends with an fsync, so an answer may take minutes.
TIMEOUT = httpx.Timeout(connect=5, read=300, write=60, pool=5)
# The service pings an event stream every 15 s.
STREAM_TIMEOUT = httpx.Timeout(connect=5, read=45, write=60, pool=5)


class Wire:
    """One connection pool to one service."""

    def __init__(self, base_url: str, key: str | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        headers = {} if key is None else {"Authorization": f"Bearer {checked_key(key)}"}
        try:
            loopback = _is_loopback(base_url)
            self._http = httpx.Client(base_url=self.base_url, timeout=TIMEOUT, trust_env=not loopback, headers=headers)
        except (httpx.InvalidURL, ValueError) as fault:
            raise PithError("setting_refused", name="PITH_URL", value=base_url, reason=str(fault)) from fault

    def close(self) -> None:
        self._http.close()

    def call(self, method: str, path: str, **request: Any) -> httpx.Response:
        with self.stream(method, path, **request) as response:
            with self._translated():
                response.read()
            return response

    @contextmanager
    def stream(self, method: str, path: str, **request: Any) -> Iterator[httpx.Response]:
        """A response whose body is still to come; the status is already checked.

        Raises:
            PithError: the problem that came back, ``unreachable``, or ``not_pith``.
        """
        with self._translated():
            request_made = self._http.build_request(method, path, **request)
            response = self._http.send(request_made, stream=True)
        try:
            if not response.is_success:
                with self._translated():
                    response.read()
                raise _refusal(response)
            yield response
        finally:
            response.close()

    def read(self, response: httpx.Response) -> Iterator[bytes]:
        """The body of a stream, piece by piece."""
        with self._translated():
            yield from response.iter_bytes()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            reason = str(fault) or type(fault).__name__
            raise PithError("unreachable", url=self.base_url, reason=reason) from fault


def checked_key(key: str) -> str:
    """
    Raises:
        PithError: ``setting_refused`` for what no header can hold; the key is not repeated.
    """
    key = key.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        reason = "it is empty, or holds a space, a control character or a letter that is not ASCII"
        raise PithError("setting_refused", name="PITH_API_KEY", value="…", reason=reason)
    return key


def decode(kind: type[T], response: httpx.Response) -> T:
    """The contract's class that a response holds.

    Raises:
        PithError: ``not_pith`` when it holds anything else.
    """
    try:
        return TypeAdapter(kind).validate_json(response.content)
    except ValidationError as fault:
        raise _not_pith(response) from fault


def query(**values: object) -> Mapping[str, str]:
    """Query parameters, without those that are None."""
    return {name: str(value) for name, value in values.items() if value is not None}


def keyed(key: str | None) -> Mapping[str, str]:
    """The header that names a request, so that it may be sent again."""
    return {} if key is None else {"Idempotency-Key": key}


def _refusal(response: httpx.Response) -> PithError:
    try:
        return PithError.of(Problem.model_validate_json(response.content))
    except ValidationError:
        return _not_pith(response)


def _not_pith(response: httpx.Response) -> PithError:
    found = response.headers.get("content-type", "no content type")
    return PithError("not_pith", url=str(response.url), status=response.status_code, found=found)


def _is_loopback(url: str) -> bool:
    """A proxy from the environment must not be asked for this very machine."""
    host = httpx.URL(url).host
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
