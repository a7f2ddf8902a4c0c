"""The tags of models, datasets and jobs, and for a while those of uploads."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, delete, exists, select, update
from sqlalchemy.orm import Session

from store.tables import TagRow


def write(session: Session, id: str, tags: Iterable[str]) -> None:
    """In the place of those that there are."""
    remove(session, id)
    session.add_all(TagRow(resource_id=id, tag=tag) for tag in sorted(set(tags)))
    session.flush()


def of(session: Session, ids: Collection[str]) -> Mapping[str, tuple[str, ...]]:
    """By id, in order; every id is there."""
    found: dict[str, list[str]] = {id: [] for id in ids}
    query = select(TagRow).where(TagRow.resource_id.in_(ids)).order_by(TagRow.tag)
    for row in session.scalars(query):
        found[row.resource_id].append(row.tag)
    return {id: tuple(tags) for id, tags in found.items()}


def all_of(id: Any, tags: Sequence[str]) -> tuple[ColumnElement[bool], ...]:
    """Of a row with this column: it has every one of the tags."""
    return tuple(exists().where(TagRow.resource_id == id, TagRow.tag == tag) for tag in tags)


def hand_on(session: Session, before: str, after: str) -> None:
    """What one has is the other's."""
    session.execute(update(TagRow).where(TagRow.resource_id == before).values(resource_id=after))


def remove(session: Session, *ids: str) -> None:
    session.execute(delete(TagRow).where(TagRow.resource_id.in_(ids)))
