"""What the client does alike with keys, projects and webhooks: show one, list them page after page, send JSON."""

from collections.abc import Iterator
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx

from pith.base import Frozen
from pith.resources import Page
from pith.wire import Wire, decode, query

T = TypeVar("T", bound=Frozen)


class Listed(Generic[T]):
    """What is shown, and listed page after page."""

    def __init__(self, wire: Wire, path: str, kind: type[T]) -> None:
        self._wire = wire
        self._path = path
        self._kind: type[T] = kind
        self._page: type[Page[T]] = Page[kind]  # type: ignore[valid-type]

    def get(self, id: str) -> T:
        return decode(self._kind, self._wire.call("GET", self._at(id)))

    def page(self, limit: int | None = None, cursor: str | None = None) -> Page[T]:
        return decode(self._page, self._wire.call("GET", self._path, params=query(limit=limit, cursor=cursor)))

    def list(self) -> Iterator[T]:
        """All of them, newest first, page after page."""
        cursor: str | None = None
        while True:
            page = self.page(cursor=cursor)
            yield from page.data
            if (cursor := page.next_cursor) is None:
                return

    def _at(self, id: str) -> str:
        return f"{self._path}/{quote(id, safe='')}"

    def _send(self, method: str, path: str, body: Frozen, key: str | None = None) -> httpx.Response:
        named = {} if key is None else {"Idempotency-Key": key}
        content = body.model_dump_json(exclude_unset=True).encode()
        return self._wire.call(method, path, content=content, headers={"Content-Type": "application/json", **named})
