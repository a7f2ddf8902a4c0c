"""Time, as the database tells it: whole microseconds since 1970 (UTC), compared by the database's own clock.

Numbers, because SQLite has no date type and compares its dates as text. Not for measuring durations.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Dialect, TypeDecorator, func, type_coerce
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql import select
from sqlalchemy.sql.functions import FunctionElement

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """A column that holds an aware ``datetime``. A naive one is taken as UTC."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        return ((value if value.tzinfo else value.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND

    def process_result_value(self, value: Any, dialect: Dialect) -> datetime | None:
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class _Now(FunctionElement[int]):
    """The database's clock, fixed for the length of one statement."""

    type = BigInteger()
    inherit_cache = True


@compiles(_Now, "sqlite")
def _sqlite(element: _Now, compiler: Any, **options: Any) -> str:
    return "(CAST(ROUND((julianday('now') - 2440587.5) * 86400000) AS INTEGER) * 1000)"


@compiles(_Now, "postgresql")
def _postgresql(element: _Now, compiler: Any, **options: Any) -> str:
    return "CAST(EXTRACT(EPOCH FROM statement_timestamp()) * 1000000 AS BIGINT)"


def now_plus(seconds: float = 0) -> Any:
    """An SQL expression: that many seconds from now, by the database's clock."""
    return _Now() + int(seconds * 1_000_000)


def since(column: Any) -> Any:
    """An SQL expression: microseconds since that instant, and 0 where there is none."""
    return func.coalesce(_Now() - type_coerce(column, BigInteger), 0)


def now(session: Session) -> datetime:
    return _EPOCH + timedelta(microseconds=session.execute(select(_Now())).scalar_one())


def later(session: Session, seconds: float) -> datetime:
    return now(session) + timedelta(seconds=seconds)
