"""How many of some portions, that are to go one after the other, have to go so that a cost is met."""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class Portion(Protocol):
    """What goes at once. Those of one group go in turn, and the last of them comes back first."""

    @property
    def group(self) -> str: ...


P = TypeVar("P", bound=Portion)


def fewest(order: Sequence[P], cost: Callable[[Sequence[P]], float], goal: float) -> Sequence[P] | None:
    """The shortest beginning of ``order`` without which the cost is no more than ``goal``, by bisection; None if even
    all of it is too little. The more goes, the less it must cost."""
    count = bisect_left(range(len(order) + 1), True, key=lambda count: cost(order[:count]) <= goal)
    return None if count > len(order) else order[:count]


def tightened(gone: Sequence[P], cost: Callable[[Sequence[P]], float], goal: float, near: float) -> Sequence[P]:
    """The same without portions that need not go, since one that went after them was larger than what was missing.

    They come back from the last one on, where ``goal`` allows it, until the cost is less than the part ``near`` below.
    """
    spent, kept, closed = cost(gone), list(gone), set[str]()
    for portion in reversed(gone):
        if spent >= goal * (1 - near):
            break
        fewer = [each for each in kept if each is not portion]
        if portion.group not in closed and (more := cost(fewer)) <= goal:
            kept, spent = fewer, more
        else:
            closed.add(portion.group)
    return kept
