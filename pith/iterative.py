"""What steps share that take something away: a schedule, and recovery along it."""

from pydantic import Field

from pith.base import Need, Step
from pith.outlook import Given
from pith.training import TrainingOptions


class Iterative(Step):
    """A target that is reached in parts, with recovery after each."""

    iterations: int = Field(
        1, ge=1, le=100, description="Reach the target in this many parts, with recovery after each."
    )
    recovery: TrainingOptions | None = Field(
        None, description="Fine-tuning after each iteration; null leaves the model as pruning left it."
    )

    def required(self) -> frozenset[Need]:
        return self.needs | {"training_data", "labels"} if self.recovery else self.needs

    def asks(self) -> tuple[str, ...]:
        return ("recovery (null does without)",) if self.recovery else ()

    def recovered(self, given: Given) -> str:
        """The recovery in words, to follow a sentence; nothing without one."""
        parts = f", in {self.iterations} parts" if self.iterations > 1 else ""
        if self.recovery is None:
            return parts
        return f"{parts}{', each' if parts else ','} followed by {self.recovery.foreseen(given.samples)}"

    def trained(self, given: Given) -> int:
        return self.iterations * self.recovery.epochs * (given.samples or 0) if self.recovery else 0

    def together(self, given: Given) -> int:
        return self.recovery.together(given.samples) if self.recovery else 0
