"""``merge.slerp``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change
from pith.outlook import Given, Outlook
from pith.peers import Combining, Peer, Peers, unlike


class MergeSlerp(Combining):
    """Go from the model's weights to another model's along the great circle, tensor by tensor.

    Statistics of batch norms are estimated anew on the training split; without one they are interpolated linearly.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Shoemake 1985, Animating Rotation with Quaternion Curves, SIGGRAPH"
    limits: ClassVar[str] = "Two models; tensors that point the same or the opposite way are interpolated linearly."

    kind: Literal["merge.slerp"] = "merge.slerp"
    peers: Peers = Field(max_length=1, description='The other model, by id, or "baseline".')
    t: float = Field(0.5, ge=0, le=1, description="How far to go: 0 is the step's own model, 1 the other one.")

    @property
    def peer(self) -> Peer:
        return self.peers[0]

    def outlook(self, given: Given) -> Outlook:
        return Outlook(
            does=f"Turns the weights {self.t:.0%} of the way to those of {self.peer}.",
            touched=tuple(layer.name for layer in given.layers),
            run=given.samples or 0,
            refusals=tuple(unlike(self.kind, self, given)),
        )
