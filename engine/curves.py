"""What is told of a training while it goes on, so that the report can draw it. It is kept in checkpoints."""

import math
from collections.abc import Iterable

from pith.findings.curves import Curve

MOST = 400
"""Points of one figure in one step, about; those of trainings with more epochs are spread evenly."""


class Curves:
    """Of the running step. What is recorded again, as after a resume, takes the place of what was."""

    def __init__(self, found: Iterable[Curve] = ()) -> None:
        curves = {(each.step, each.phase, each.name): each for each in found}
        self._points = {place: dict(each.points) for place, each in curves.items()}
        self._resumed = {place: set(each.resumed) for place, each in curves.items()}

    def resume(self, step: int, phase: int) -> None:
        """This training goes on in another attempt."""
        for place, points in self._points.items():
            if place[:2] == (step, phase):
                self._resumed.setdefault(place, set()).add(max(points))

    def record(self, place: tuple[int, int], name: str, epoch: int, value: float, epochs: int, phases: int = 1) -> None:
        """``place`` is step and phase; ``epoch`` counts from 1 to ``epochs``."""
        apart = math.ceil(epochs * phases / MOST)
        if math.isfinite(value) and (epoch in (1, epochs) or epoch % apart == 0):
            self._points.setdefault((*place, name), {})[float(epoch)] = value

    def drawn(self) -> tuple[Curve, ...]:
        return tuple(
            Curve(
                step=place[0],
                phase=place[1],
                name=place[2],
                points=tuple(sorted(points.items())),
                resumed=tuple(sorted(self._resumed.get(place, ()))),
            )
            for place, points in sorted(self._points.items())
        )
