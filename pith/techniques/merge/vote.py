"""``merge.vote``."""

from typing import ClassVar, Literal

from pith.base import Change
from pith.ensembles import foreseen
from pith.outlook import Given, Outlook
from pith.peers import Combining, no_classes, unfit


class MergeVote(Combining):
    """One model that runs several side by side and gives the class that most of them choose.

    Between classes with equally many votes the mean of the probabilities decides. The scores are logarithms of shares
    of the votes; further outputs are averaged.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = "Hansen and Salamon 1990, Neural network ensembles, IEEE TPAMI 12(10)"
    limits: ClassVar[str] = "A vote has no gradient: training after it moves the members by their tie-break alone."

    kind: Literal["merge.vote"] = "merge.vote"

    def outlook(self, given: Given) -> Outlook:
        does = f"Makes one model of {1 + len(self.peers)} that vote."
        refusals = (*unfit(self, given), *no_classes(self.kind, given.model, given.classes))
        return foreseen(self, given, does, refusals)
