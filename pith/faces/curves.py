"""Training as curves: the phases of a step one after the other."""

from collections.abc import Iterable, Iterator

from pith.figures.lines import Series, lines
from pith.figures.svg import Drawn
from pith.figures.table import figure, table
from pith.findings.curves import Curve
from pith.report import StepReport


def trainings(curves: Iterable[Curve], steps: tuple[StepReport, ...]) -> Iterator[Drawn]:
    """A figure for each step and each of its figures, in order."""
    found: dict[tuple[int, str], list[Curve]] = {}
    for curve in curves:
        found.setdefault((curve.step, curve.name), []).append(curve)
    for (step, name), phases in found.items():
        kind = f" {steps[step].kind}" if step < len(steps) else ""
        yield _training(f"{step + 1}.{kind}: {name}", name, sorted(phases, key=lambda each: each.phase))


def _training(title: str, name: str, phases: list[Curve]) -> Drawn:
    points, marks, start = [], [], 0.0
    for curve in phases:
        points += [(start + epoch, value) for epoch, value in curve.points]
        start = points[-1][0] if points else start
        marks.append(start + 0.5)
    rows = [
        (f"{curve.phase + 1}" if len(phases) > 1 else "1", f"{epoch:g}", f"{value:.6g}")
        for curve in phases
        for epoch, value in curve.points
    ]
    first, last = (points[0][1], points[-1][1]) if points else (0.0, 0.0)
    said = f"From {first:.4g} to {last:.4g} in {len(points)} epochs."
    drawn = lines(title, said, [Series(name, tuple(points))], "epoch", marks[:-1])
    return figure([drawn], f"{title}. {said}", table(title, ("Training", "Epoch", name), rows))
