"""``merge.gated``."""

from math import ceil, prod
from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Need
from pith.ensembles import foreseen
from pith.kinds import floating
from pith.outlook import Given, Outlook
from pith.peers import Combining, unfit
from pith.training import TrainingOptions


class MergeGated(Combining, TrainingOptions):
    """One model that runs several side by side and averages their outputs with weights that depend on the input.

    A small gating network gives the weights: one hidden layer on the input, or on what the members say of it. It is
    trained on the training split with the task's loss, the members stay as they are. It begins with equal weights.
    Scores of classes are averaged as probabilities and given as logarithms; other outputs are averaged as they are.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"peers", "training_data", "labels"})
    changes: ClassVar[frozenset[Change]] = frozenset({"shapes", "values"})
    paper: ClassVar[str] = (
        "Jacobs, Jordan, Nowlan and Hinton 1991, Adaptive Mixtures of Local Experts, Neural Computation 3"
    )
    limits: ClassVar[str] = "All members run for every sample; the members are not trained along with the gate."

    kind: Literal["merge.gated"] = "merge.gated"
    sees: Literal["inputs", "outputs", "both"] = Field(
        "inputs",
        description="What the gate decides by. Pictures are seen at 8 x 8, texts as the mean of their tokens.",
    )
    hidden: int = Field(32, ge=1, le=4096, description="Width of the gate's hidden layer.")

    def outlook(self, given: Given) -> Outlook:
        seen = {"inputs": "the inputs", "outputs": "their outputs", "both": "the inputs and their outputs"}[self.sees]
        return foreseen(
            self,
            given,
            f"Makes one model of {1 + len(self.peers)}, weighed by a gate on {seen} that is trained for "
            f"{self.foreseen(given.samples)}.",
            tuple(unfit(self, given)),
            extra=self._gate(given),
            run=self.epochs * (given.samples or 0) * (1 + len(self.peers)),
            batch=self.together(given.samples),
        )

    def _gate(self, given: Given) -> int:
        """About how many parameters the gate has."""
        members, model = 1 + len(self.peers), given.model
        tables = [layer.shape[0] for layer in model.layers if layer.kind == "Embedding" and layer.shape]
        width = rows = 0
        for tensor in model.inputs if self.sees != "outputs" else ():
            if floating(tensor.dtype):
                width += _features(tensor.shape[1:])
            elif tables:
                width, rows = width + WORD, rows + tables.pop(0)
        width += members * _features(model.outputs[0].shape[1:]) if self.sees != "inputs" else 0
        return rows * WORD + self.hidden * (width + 1) + members * (self.hidden + 1)


WORD, PICTURE, LONGEST = 16, 8, 1024


def _features(shape: tuple[int | None, ...]) -> int:
    """Numbers that the gate sees of a tensor: pictures are pooled, sizes that are free averaged over."""
    free = None in shape
    sizes = [size for size in shape if size is not None]
    if len(shape) == 3 and not free:
        sizes = [sizes[0], *(size // ceil(size / PICTURE) for size in sizes[1:])]
    count = prod(sizes)
    return count // ceil(count / LONGEST)
