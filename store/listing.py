"""Lists in pages, newest first. The cursor is the id that the page before ended with."""

import re
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from sqlalchemy import Select

from pith.errors import PithError
from pith.ids import Prefix

MAX_LIMIT = 200


class HasId(Protocol):
    @property
    def id(self) -> Any: ...


T = TypeVar("T", bound=HasId)


def page_of(query: Select[Any], id_column: Any, prefix: Prefix, limit: int, cursor: str | None) -> Select[Any]:
    """One row more than the page holds: it says whether there is a next page.

    Raises:
        PithError: ``bad_cursor``.
    """
    if cursor is not None:
        if not is_id(prefix, cursor):
            raise PithError("bad_cursor", cursor=cursor[:64])
        query = query.where(id_column < cursor)
    return query.order_by(id_column.desc()).limit(clamp(limit) + 1)


def cut(rows: Sequence[T], limit: int) -> tuple[Sequence[T], str | None]:
    """The page's rows, and the cursor of the next page."""
    size = clamp(limit)
    return (rows[:size], rows[size - 1].id) if len(rows) > size else (rows, None)


def is_id(prefix: Prefix, text: str) -> bool:
    """Anything else never reaches the database, which may not even be able to read it."""
    return re.fullmatch(rf"{prefix}_[0-9a-z]{{26}}", text) is not None


def clamp(limit: int) -> int:
    return max(1, min(limit, MAX_LIMIT))
