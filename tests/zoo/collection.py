"""Every model of the zoo, in the order of the table."""

from tests.zoo import encoders, images, others
from tests.zoo.entry import Entry


def everything() -> list[Entry]:
    return [*images.entries(), *encoders.entries(), *others.entries()]


def named(name: str) -> Entry:
    """The model of that name; the part behind the slash is enough."""
    found = [entry for entry in everything() if name in (entry.name, entry.name.partition("/")[2])]
    if not found:
        raise KeyError(name)
    return found[0]
