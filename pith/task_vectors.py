"""What steps share that compute with differences of fine-tuned models to their common start."""

from typing import Self

from pydantic import Field, model_validator

from pith.outlook import Given, Outlook
from pith.peers import Combining, Peer, unlike


class TaskVectors(Combining):
    """A base and models that were fine-tuned from it; the result stands where the step's own model stood."""

    base: Peer | None = Field(
        None,
        description="The common start, by id. Null: it is the step's own model; else that is the first of the "
        "fine-tuned ones, and the peers the others.",
    )

    @model_validator(mode="after")
    def _another_base(self) -> Self:
        if self.base in self.peers:
            raise ValueError(f"names the base {self.base} among the peers, where it has no difference")
        return self

    def named(self) -> dict[str, Peer]:
        return super().named() | ({"base": self.base} if self.base is not None else {})

    def tasks(self) -> int:
        """How many fine-tuned models there are."""
        return len(self.peers) + (self.base is not None)

    def start(self) -> str:
        """The base in words."""
        return "the step's own model" if self.base is None else str(self.base)

    def foreseen(self, given: Given, does: str) -> Outlook:
        return Outlook(
            does=does,
            touched=tuple(layer.name for layer in given.layers),
            run=given.samples or 0,
            refusals=tuple(unlike(self.kind, self, given)),  # type: ignore[attr-defined]
        )
