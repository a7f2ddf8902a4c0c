"""Training as curves: the trainings of a step one after the other, and where they were resumed."""

from collections.abc import Iterable, Iterator

from pith.faces import words
from pith.figures.lines import Mark, Series, lines
from pith.figures.svg import Drawn
from pith.figures.svg import said as escaped
from pith.figures.table import figure, table
from pith.findings.curves import Curve
from pith.report import StepReport


def trainings(curves: Iterable[Curve], steps: tuple[StepReport, ...]) -> Iterator[Drawn]:
    """A figure for each step and each of its figures, in order; a sentence where one epoch is all there is."""
    found: dict[tuple[int, str], list[Curve]] = {}
    for curve in curves:
        found.setdefault((curve.step, curve.name), []).append(curve)
    for (step, name), phases in found.items():
        kind = f" {steps[step].kind}" if step < len(steps) else ""
        yield _training(f"{step + 1}.{kind}: {name}", name, sorted(phases, key=lambda each: each.phase))


def _training(title: str, name: str, phases: list[Curve]) -> Drawn:
    if sum(len(curve.points) for curve in phases) < 2:
        values = [f"{value:.4g} after 1 epoch" for curve in phases for _, value in curve.points]
        return Drawn(f"<p>{escaped(title)}: {values[0] if values else 'no epoch ended'}.</p>")
    points: list[tuple[float, float]] = []
    marks, rows, start = [], [], 0.0
    for number, curve in enumerate(phases, 1):
        if len(phases) > 1:
            marks.append(Mark(start + 0.5, f"training {number}"))
        marks += [Mark(start + epoch + 0.25, "resumed", above=True) for epoch in curve.resumed]
        points += [(start + epoch, value) for epoch, value in curve.points]
        rows += [(f"{number}", f"{epoch:g}", f"{value:.6g}") for epoch, value in curve.points]
        start = points[-1][0] if points else start
    said = _said(points, phases)
    shares = "accuracy" in name
    ends, least = ((0.0, 1.0), 0.05) if shares else ((None, None), 0.0)
    drawn = lines(title, said, [Series(name, tuple(points))], "epoch", marks, within=ends, least=least)
    return figure(
        [Drawn(f'<p class="over">{escaped(title)}</p>{drawn}')], said, table(title, ("Training", "Epoch", name), rows)
    )


def _said(points: list[tuple[float, float]], phases: list[Curve]) -> str:
    first, last = points[0][1], points[-1][1]
    epochs = words.counted(len(points), "epoch")
    said = f"From {first:.4g} to {last:.4g} in {epochs}."
    if first == last:
        said = f"{last:.4g} at first and at last, in {epochs}."
    if len(phases) > 1:
        said += f" The step trained {len(phases)} times, one after the other."
    if resumed := sum(len(curve.resumed) for curve in phases):
        said += f" It was cut off and went on {'once' if resumed == 1 else f'{resumed} times'}."
    return said
