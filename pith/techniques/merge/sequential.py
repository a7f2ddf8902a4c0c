"""``merge.sequential``."""

from collections.abc import Iterator
from typing import ClassVar, Literal

from pith.base import Change
from pith.ensembles import foreseen
from pith.outlook import Given, Outlook, Refusal
from pith.peers import Combining, behind, unusable


class MergeSequential(Combining):
    """One model in which the outputs of the first go into the second, and so on.

    The inputs are the first model's, the outputs the last one's. A model takes as many of the outputs before it as it
    has inputs, in order.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values", "outputs"})
    paper: ClassVar[str] = "Composition of functions; no paper"
    limits: ClassVar[str] = "Nothing is converted on the way: outputs must have the shape and type of the next inputs."

    kind: Literal["merge.sequential"] = "merge.sequential"

    def outlook(self, given: Given) -> Outlook:
        refusals = tuple(self._refusals(given))
        known = self.known(given)
        outputs = known[-1][2].outputs if len(known) == len(self.peers) else None
        does = f"Makes one model of {1 + len(self.peers)}, each taking the outputs of the one before."
        return foreseen(self, given, does, refusals, outputs)

    def _refusals(self, given: Given) -> Iterator[Refusal]:
        before = given.model
        facts = {name: each for _, name, each in self.known(given)}
        for place, name in self.named().items():
            if name not in facts:
                return
            if refusal := unusable(self.kind, place, name, facts[name]):
                yield refusal
            else:
                yield from behind(place, name, facts[name], before)
            before = facts[name]
