"""The client's keys and projects."""

from collections.abc import Iterator
from typing import Any, Generic, TypeVar
from urllib.parse import quote

from pith.access import ApiKey, IssuedKey, NewKey, NewProject, Project, ProjectChange
from pith.base import Frozen
from pith.resources import Page
from pith.wire import Wire, decode, query

T = TypeVar("T", ApiKey, Project)


class _Listed(Generic[T]):
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

    def _send(self, method: str, path: str, body: Frozen, key: str | None = None) -> Any:
        named = {} if key is None else {"Idempotency-Key": key}
        content = body.model_dump_json(exclude_unset=True).encode()
        return self._wire.call(method, path, content=content, headers={"Content-Type": "application/json", **named})


class Keys(_Listed[ApiKey]):
    """The keys of the caller's project, or of all projects for one that operates."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "/v1/keys", ApiKey)

    def create(self, asked: NewKey, key: str | None = None) -> IssuedKey:
        """The only time that its secret is seen."""
        return decode(IssuedKey, self._send("POST", self._path, asked, key))

    def revoke(self, id: str) -> ApiKey:
        return decode(ApiKey, self._wire.call("DELETE", self._at(id)))


class Projects(_Listed[Project]):
    """All projects, for a key that operates."""

    def __init__(self, wire: Wire) -> None:
        super().__init__(wire, "/v1/projects", Project)

    def create(self, asked: NewProject, key: str | None = None) -> Project:
        return decode(Project, self._send("POST", self._path, asked, key))

    def change(self, id: str, change: ProjectChange) -> Project:
        return decode(Project, self._send("PATCH", self._at(id), change))

    def delete(self, id: str) -> None:
        self._wire.call("DELETE", self._at(id))
