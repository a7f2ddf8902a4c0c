"""Several results side by side: their numbers, which is best in each row, what their specs say differently, and what
keeps them from being compared."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.pages import words
from pith.faces import words as said
from pith.figures.axes import Ends
from pith.figures.parallel import Upright, parallel
from pith.figures.pareto import Axis, Better, Point, pareto
from pith.job import Job
from pith.metrics import MetricName
from pith.recipe import AnyStep
from pith.report import Measurement, Report

Told = Callable[[float], str]
Value = Callable[[Report], float | None]
ALIKE, SHARE = 0.1, 0.02
"""What an axis spans at least: a tenth of its largest value; of a share, two points of a hundred."""


@dataclass(frozen=True)
class Result:
    """One job that has a report, and how it is called here."""

    name: str
    job: Job
    report: Report


@dataclass(frozen=True)
class Cell:
    told: str
    best: bool


@dataclass(frozen=True)
class Row:
    """One number of all results, and of the baselines. An axis spans at ``least`` so much of it, ``within`` what can
    be. What differs by no more than ``noise`` cannot be told apart."""

    name: str
    better: Better
    values: tuple[float | None, ...]
    tell: Told
    baselines: tuple[float | None, ...] = ()
    least: float = 0.0
    within: Ends = (None, None)
    noise: float = 0.0

    @property
    def told(self) -> tuple[str, ...]:
        return tuple(map(self._told, self.values))

    @property
    def told_of_baselines(self) -> tuple[str, ...]:
        return tuple(map(self._told, self.baselines))

    def _told(self, value: float | None) -> str:
        return "–" if value is None else self.tell(value)

    @property
    def cells(self) -> tuple[Cell, ...]:
        """With the best marked, where it can be told from the next."""
        known = sorted({value for value in self.values if value is not None}, reverse=self.better == "higher")
        best = known[0] if len(known) > 1 and abs(known[0] - known[1]) > self.noise else None
        return tuple(
            Cell(told, value is not None and value == best) for value, told in zip(self.values, self.told, strict=True)
        )


@dataclass(frozen=True)
class Difference:
    """One place of the spec where they do not all say the same; None where a spec has no such place."""

    place: str
    values: tuple[str | None, ...]


def rows(results: Sequence[Result]) -> tuple[Row, ...]:
    """Every number that at least one of them has."""
    return tuple(_rows(results))


def baselines(results: Sequence[Result]) -> dict[str, Result]:
    """One for each model that went in, by what it is called here, with the first result that was held against it."""
    digests = list(dict.fromkeys(each.report.model_digest for each in results))
    first = {each.report.model_digest: each for each in reversed(results)}
    names = ["Baseline"] if len(digests) == 1 else [f"Baseline {number}" for number in range(1, len(digests) + 1)]
    return {name: first[digest] for name, digest in zip(names, digests, strict=True)}


def missed(result: Result) -> tuple[str, ...]:
    """What it did not keep of what was asked, and by how much."""
    return tuple(said.missed(each) for each in result.report.constraints if not each.met)


def differences(results: Sequence[Result]) -> tuple[Difference, ...]:
    """Of steps that are of one kind, the options; of others, what each of them is."""
    specs = [result.report.spec for result in results]
    around = [spec.model_dump(mode="json", exclude={"recipe"}) for spec in specs]
    found = list(_unlike([dict(_flat(each, "")) for each in around]))
    for index in range(max(len(spec.recipe) for spec in specs)):
        steps = [spec.recipe[index] if index < len(spec.recipe) else None for spec in specs]
        if len({step and step.kind for step in steps}) > 1:
            found.append(
                Difference(f"step {index + 1}", tuple(None if step is None else _described(step) for step in steps))
            )
        else:
            flat = [dict(_flat(step.model_dump(mode="json"), f"/recipe/{index}")) for step in steps if step]
            found += _unlike(flat)
    return tuple(found)


def warnings(results: Sequence[Result]) -> tuple[str, ...]:
    """Why numbers of different columns may not be held against each other."""
    return tuple(_warnings(results))


def same_data(results: Sequence[Result]) -> bool:
    """Whether quality may be held against each other."""
    return len({(each.report.dataset_digest, each.report.comparison.measured_on) for each in results}) == 1


def against_size(results: Sequence[Result]) -> str:
    return _plot(results, "size_bytes", Axis("size", "lower", "MB"), 1e-6)


def against_latency(results: Sequence[Result]) -> str:
    return _plot(results, "latency_median_ms", Axis("median latency", "lower", "ms"), 1)


def coordinates(results: Sequence[Result]) -> str:
    """Of the numbers that all have and that are not the same for all."""
    axes = [
        Upright(row.name, row.better, row.values, row.tell, row.least, row.within)
        for row in rows(results)
        if None not in row.values and len({*row.values}) > 1 and row.name in _UPRIGHT
    ]
    return parallel(
        [result.name for result in results], axes, "Each result as a line; better is to the right on every axis"
    )


def _rows(results: Sequence[Result]) -> Iterator[Row]:
    yield from _row(results, "Size", "lower", _Metric("size_bytes"), _size)
    yield from _row(results, "Compression ratio", "higher", lambda r: r.comparison.compression_ratio, _times)
    slack = _speedups(results)
    yield from _row(results, "Speedup", "higher", lambda r: r.comparison.speedup, _times, least=slack, noise=slack)
    for label, latency in _LATENCIES.items():
        slack = max(_widest(results, "latency_median_ms"), _drift(results, latency))
        yield from _row(results, label, "lower", _Metric(latency), _milliseconds, least=slack, noise=slack)
    elsewhere, unsure = (0.0 if same_data(results) else math.inf), 0.0
    for name in _qualities(results):
        (label, better), within = _QUALITIES[name], said.ENDS.get(name, (None, None))
        wide = _widest(results, name)
        slack = max(wide / 2, elsewhere)
        unsure = unsure or slack
        yield from _row(results, label, better, _Metric(name), _plain, least=wide, within=within, noise=slack)
    yield from _row(results, "Quality drop", "lower", lambda r: r.comparison.quality_drop, _plain, noise=unsure)
    for label, better, flips in _FLIPS:
        yield from _row(results, label, better, flips, _whole, _sampled, noise=math.inf)
    yield from _row(results, "Parameters", "lower", _Metric("parameters"), _whole)
    yield from _row(results, "Parameters that are not zero", "lower", _Metric("nonzero_parameters"), _whole)
    yield from _row(results, "MACs", "lower", _Metric("macs"), _whole)
    slack = _drift(results, "peak_memory_bytes")
    yield from _row(results, "Peak memory", "lower", _Metric("peak_memory_bytes"), _size, least=slack, noise=slack)
    yield from _row(results, "Time the job took", "lower", lambda r: r.seconds, words.duration)


def _row(
    results: Sequence[Result],
    name: str,
    better: Better,
    value: Value,
    told: Told,
    where: Callable[[Report], bool] = lambda report: True,
    *,
    least: float = 0.0,
    within: Ends = (None, None),
    noise: float = 0.0,
) -> Iterator[Row]:
    values = tuple(value(result.report) if where(result.report) else None for result in results)
    if any(each is not None for each in values):
        own = value.of if isinstance(value, _Metric) else lambda measured: None
        before = tuple(own(result.report.baseline) for result in baselines(results).values())
        yield Row(name, better, values, told, before, max(least, _least(values, within)), within, noise)


def _least(values: Sequence[float | None], within: Ends) -> float:
    return SHARE if within[1] == 1 else ALIKE * max([abs(each) for each in values if each is not None], default=0.0)


def _widest(results: Sequence[Result], name: MetricName) -> float:
    """The widest of the intervals, inside which nothing can be told apart."""
    found = [said.metric(result.report.result, name) for result in results]
    return max([each.interval[1] - each.interval[0] for each in found if each and each.interval], default=0.0)


def _drift(results: Sequence[Result], name: MetricName) -> float:
    """How far one and the same baseline was from itself, as every job measures it anew."""
    found: dict[str, list[float]] = {}
    for result in results:
        if (value := result.report.baseline.get(name)) is not None:
            found.setdefault(result.report.model_digest, []).append(value)
    return max([max(values) - min(values) for values in found.values()], default=0.0)


def _speedups(results: Sequence[Result]) -> float:
    found = [result.report.comparison.speedup_interval for result in results]
    return max([high - low for low, high in filter(None, found)], default=0.0)


@dataclass(frozen=True)
class _Metric:
    """One metric of the result; a baseline has it too."""

    name: MetricName

    def __call__(self, report: Report) -> float | None:
        return self.of(report.result)

    def of(self, measured: Measurement) -> float | None:
        return measured.get(self.name)


def _sampled(report: Report) -> bool:
    return report.comparison.samples > 0


_LATENCIES: Mapping[str, MetricName] = {"Median latency": "latency_median_ms", "p95 latency": "latency_p95_ms"}
_FLIPS: tuple[tuple[str, Better, Value], ...] = (
    ("Flipped to wrong", "lower", lambda report: report.comparison.flipped_to_wrong),
    ("Flipped to right", "higher", lambda report: report.comparison.flipped_to_right),
)
_QUALITIES: Mapping[MetricName, tuple[str, Better]] = {
    "accuracy": ("Accuracy", "higher"),
    "agreement": ("Agreement with the baseline", "higher"),
    "r2": ("R²", "higher"),
    "rmse": ("RMSE", "lower"),
    "mae": ("MAE", "lower"),
    "cosine_similarity": ("Cosine similarity", "higher"),
    "loss": ("Loss", "lower"),
    "sqnr_db": ("SQNR, dB", "higher"),
}
_UPRIGHT = frozenset(
    {"Size", "Speedup", "Median latency", "Parameters", "MACs", "Peak memory", "Time the job took"}
    | {name for name, _ in _QUALITIES.values()}
)


def _qualities(results: Sequence[Result]) -> Iterator[MetricName]:
    """What constraints would be about first."""
    said = {result.report.comparison.quality for result in results}
    yield from sorted(_QUALITIES, key=lambda name: name not in said)


def _plot(results: Sequence[Result], measured: MetricName, x: Axis, scale: float) -> str:
    """Quality against this; by the metric that most results have. A sentence where it is not that of the same data."""
    if not same_data(results):
        return '<p class="empty">Nothing to plot: quality was not measured on the same data.</p>'
    name = max(_QUALITIES, key=lambda name: sum(result.report.result.get(name) is not None for result in results))
    (label, better), within = _QUALITIES[name], said.ENDS.get(name, (None, None))
    models = [(called, "B" + called[9:], result.report.baseline) for called, result in baselines(results).items()]
    models += [(result.name, str(number), result.report.result) for number, result in enumerate(results, 1)]
    points = [
        Point(called, across * scale, up, mark)
        for called, mark, found in models
        if (across := found.get(measured)) is not None and (up := found.get(name)) is not None
    ]
    wide = max(_widest(results, name), _least([point.y for point in points], within))
    x = replace(x, least=_least([point.x for point in points], x.within), within=(0.0, None))
    return pareto(points, x, Axis(label, better, least=wide, within=within), f"{label} against {x.name}")


def _warnings(results: Sequence[Result]) -> Iterator[str]:
    devices = {_where(result.report) for result in results}
    if len(devices) > 1:
        yield f"Latency was not measured in the same place: {'; '.join(sorted(devices))}. Compare speedups instead."
    if len({result.report.model_digest for result in results}) > 1:
        yield "These jobs began with different models, so ratios and drops are each against their own."
    if len({result.report.dataset_digest for result in results}) > 1:
        yield "Quality was not measured on the same data."
    elif len({result.report.comparison.measured_on for result in results}) > 1:
        yield "Quality was not measured on the same part of the data."


def _where(report: Report) -> str:
    place = report.environment
    return f"{place.device_name}, {place.threads} threads, batches of {place.batch_size}"


def _unlike(flat: Sequence[Mapping[str, str]]) -> Iterator[Difference]:
    for place in dict.fromkeys(place for one in flat for place in one):
        values = tuple(one.get(place) for one in flat)
        if len({*values}) > 1:
            yield Difference(place, values)


def _described(step: AnyStep) -> str:
    """``prune.channel, iterations 3, recovery/epochs 2``: what is not as it would be by itself."""
    said = _flat(step.model_dump(mode="json", exclude_defaults=True, exclude={"kind"}), "")
    return ", ".join([step.kind, *(f"{place[1:]} {value}" for place, value in said if place)])


def _flat(value: Any, place: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(each, f"{place}/{key}")
    elif isinstance(value, list) and any(isinstance(each, dict) for each in value):
        for index, each in enumerate(value):
            yield from _flat(each, f"{place}/{index}")
    else:
        yield place, value if isinstance(value, str) else json.dumps(value)


def _size(value: float) -> str:
    return words.size(int(value))


def _times(value: float) -> str:
    return f"{value:.3g}×"


def _milliseconds(value: float) -> str:
    return f"{value:.3g} ms"


def _plain(value: float) -> str:
    return f"{value:.4g}"


def _whole(value: float) -> str:
    return f"{value:,.0f}"
