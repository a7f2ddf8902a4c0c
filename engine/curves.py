"""What is told of a training while it goes on, so that the report can draw it. It is kept in checkpoints."""

import math
from collections.abc import Iterable

from pith.findings.curves import Curve

MOST = 400
"""Points of one figure in one step, about; those of trainings with more epochs are spread evenly."""


class Curves:
    """Of the running step. What is recorded again, as after a resume, takes the place of what was."""

    def __init__(self, found: Iterable[Curve] = ()) -> None:
        self._points = {(each.step, each.phase, each.name): dict(each.points) for each in found}

    def record(self, place: tuple[int, int], name: str, epoch: int, value: float, epochs: int, phases: int = 1) -> None:
        """``place`` is step and phase; ``epoch`` counts from 1 to ``epochs``."""
        apart = math.ceil(epochs * phases / MOST)
        if math.isfinite(value) and (epoch in (1, epochs) or epoch % apart == 0):
            self._points.setdefault((*place, name), {})[float(epoch)] = value

    def drawn(self) -> tuple[Curve, ...]:
        return tuple(
            Curve(step=step, phase=phase, name=name, points=tuple(sorted(points.items())))
            for (step, phase, name), points in sorted(self._points.items())
        )
