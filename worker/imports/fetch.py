"""One address into bytes: streamed, bounded, tried again, and gone on with where a transfer broke.

A broken transfer goes on by ``Range`` and ``If-Range`` where the server gives a strong ETag or a date. Where it does
not, or the file has changed meanwhile, ``Anew`` says that all has to be fetched again.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import httpx
from pydantic import TypeAdapter, ValidationError

from pith.errors import PithError
from worker.imports.patience import Patience
from worker.outward import Outward

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 60.0
MOST_FAILURES = 6
PROGRESS_BYTES = 1 << 20
"""A connection that brings as much is no failure, however it ends."""
JSON_BYTES = 16 << 20
_AGAIN = frozenset({408, 425, 429, 500, 502, 503, 504})
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")

Say = Callable[[str], None]
T = TypeVar("T")


class Sink(Protocol):
    """Where the bytes go. ``expect`` hears how many are to come, and may refuse them."""

    def expect(self, size: int) -> None: ...
    def write(self, data: bytes) -> None: ...


class Anew(Exception):
    """All has to be fetched once more; the text says why."""


class _Broken(Exception):
    """Worth another try, not before ``after`` seconds."""

    def __init__(self, reason: str, after: float = 0) -> None:
        super().__init__(reason)
        self.after = after


@dataclass(frozen=True)
class File:
    """What is fetched: ``name`` is what to call it, ``size`` what its listing says."""

    name: str
    url: str
    size: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


class Fetcher:
    """``say`` hears of every failure that is tried again."""

    def __init__(self, outward: Outward, patience: Patience, say: Say, again: str) -> None:
        self._outward, self._patience, self._say, self._again = outward, patience, say, again

    def fetch(self, file: File, sink: Sink) -> str | None:
        """All bytes of a file; returns its ETag.

        Raises:
            PithError: ``import_failed``, ``address_refused``, and what the sink raises.
            Anew: it cannot be gone on with.
        """
        transfer = _Transfer(file, sink, self._outward, self._patience)
        self._tried(file.url, lambda: transfer.done, transfer.go_on)
        return transfer.tag

    def json(self, url: str, kind: type[T], headers: Mapping[str, str] | None = None) -> tuple[T, httpx.Headers]:
        """A small JSON document, and the headers that came with it. Raises PithError as ``fetch`` does."""
        sink = _Memory()
        transfer = _Transfer(File("", url, headers=headers or {}), sink, self._outward, self._patience)

        def whole() -> None:
            sink.data.clear()
            transfer.done = 0
            transfer.go_on()

        self._tried(url, lambda: 0, whole)
        try:
            return TypeAdapter(kind).validate_json(bytes(sink.data)), transfer.headers
        except ValidationError:
            raise self._failed(url, "it answered with something else than what such a server says") from None

    def _tried(self, url: str, done: Callable[[], int], attempt: Callable[[], None]) -> None:
        failures = 0
        while True:
            before = done()
            self._patience.begin()
            try:
                return attempt()
            except _Refused as fault:
                raise self._failed(url, str(fault)) from fault
            except (_Broken, httpx.HTTPError) as fault:
                failures = 1 if done() - before >= PROGRESS_BYTES else failures + 1
                reason = _plain(fault)
                if failures >= MOST_FAILURES:
                    raise self._failed(url, f"{reason}, {failures} times in a row") from fault
                self._say(f"{_host(url)}: {reason}, after {done():,} bytes; it is tried again.")
                wanted = fault.after if isinstance(fault, _Broken) else 0
                self._patience.pause(min(max(FIRST_PAUSE * 2 ** (failures - 1), wanted), LONGEST_PAUSE))

    def _failed(self, url: str, reason: str) -> PithError:
        return PithError("import_failed", host=_host(url), reason=reason, again=self._again)


class _Refused(Exception):
    """The server will not say anything else next time."""


class _Transfer:
    """``done`` bytes of a file have come; ``tag`` is what they are a part of."""

    def __init__(self, file: File, sink: Sink, outward: Outward, patience: Patience) -> None:
        self.done = 0
        self.tag: str | None = None
        self.headers = httpx.Headers()
        self._file, self._sink, self._outward, self._patience = file, sink, outward, patience
        self._validator: str | None = None
        self._size: int | None = None

    def go_on(self) -> None:
        headers = dict(self._file.headers)
        if self.done:
            if self._validator is None:
                raise Anew("the connection broke, and the server does not say whether the file is still the same")
            headers |= {"Range": f"bytes={self.done}-", "If-Range": self._validator}
        with self._outward.get(self._file.url, headers) as response:
            skip = self._look(response)
            for piece in response.iter_raw():
                self._patience.arrived += len(piece)
                self._patience()
                fresh, skip = piece[skip:], max(0, skip - len(piece))
                if fresh:
                    self.done += len(fresh)
                    self._check_size(self.done)
                    self._sink.write(fresh)
        if self._size is not None and self.done < self._size:
            raise _Broken(f"it ended after {self.done:,} of {self._size:,} bytes")

    def _look(self, response: httpx.Response) -> int:
        """Whether this is what was asked for; how many of its bytes are known already."""
        status, headers = response.status_code, response.headers
        if status in _AGAIN:
            raise _Broken(f"it answered {status}", _seconds(headers.get("retry-after", "")))
        if status not in (200, 206) and not (status == 416 and self.done):
            raise _Refused(f"it answered {status} {httpx.codes.get_reason_phrase(status)}".strip())
        if headers.get("content-encoding", "identity").lower() != "identity":
            raise _Refused(f"it sent the file with the Content-Encoding {headers['content-encoding'][:40]!r}")
        return self._going_on(response) if self.done else self._beginning(response)

    def _beginning(self, response: httpx.Response) -> int:
        headers = response.headers
        if response.status_code != 200:
            raise _Refused("it answered with a part of the file")
        etag = headers.get("etag", "")[:1000]
        self.headers, self.tag = headers, etag or None
        self._validator = etag if etag.startswith('"') else headers.get("last-modified")
        self._size = _length(headers)
        if self._size is not None:
            self._check_size(self._size)
            self._sink.expect(self._size)
        return 0

    def _going_on(self, response: httpx.Response) -> int:
        etag, size = response.headers.get("etag"), _length(response.headers)
        if response.status_code == 200 and etag is not None and etag == self._validator and size == self._size:
            return self.done
        found = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", ""))
        same = etag in (None, self.tag) and found is not None and int(found[1]) == self.done
        if response.status_code != 206 or not same or found is None or found[3] not in ("*", str(self._size)):
            raise Anew("the connection broke, and the file is not the same any more")
        return 0

    def _check_size(self, size: int) -> None:
        told = self._file.size
        if told is not None and size > told:
            raise _Refused(f"{self._file.name} has more than the {told:,} bytes that its listing says")


class _Memory:
    """Takes a small document."""

    def __init__(self) -> None:
        self.data = bytearray()

    def expect(self, size: int) -> None:
        if size > JSON_BYTES:
            raise _Refused(f"its answer has more than {JSON_BYTES:,} bytes")

    def write(self, data: bytes) -> None:
        self.data += data
        self.expect(len(self.data))


def _length(headers: httpx.Headers) -> int | None:
    text = headers.get("content-length", "")
    return int(text) if text.isdecimal() and len(text) < 20 else None


def _seconds(text: str) -> float:
    return float(text) if text.isdecimal() and len(text) < 6 else 0.0


def _host(url: str) -> str:
    return httpx.URL(url).host


def _plain(fault: Exception) -> str:
    """On one line and short. Exceptions of httpx name no address."""
    text = str(fault) or type(fault).__name__
    return "".join(character if character.isprintable() else " " for character in text)[:200]
