"""The trade as figures: what each step did to size, time and quality, and which samples changed sides."""

from collections.abc import Iterable, Iterator

from pith.faces import words
from pith.figures.bars import Bar, Length, bars
from pith.figures.scatter import Point, scatter
from pith.figures.svg import WIDTH, Drawn, box, drawing, text
from pith.figures.table import figure, table
from pith.metrics import MetricName
from pith.report import Comparison, Measurement, Metric, Report, StepChange, Timing

Columns = tuple[tuple[str, Measurement], ...]
_DRAWN: tuple[MetricName, ...] = ("size_bytes", "latency_median_ms", "macs", "peak_memory_bytes")


def columns(report: Report) -> Columns:
    """The models of the report, each with what it is called; the last is the result."""
    return (("Baseline", report.baseline), *((f"{each.index + 1}. {each.kind}", each.after) for each in report.steps))


def tiles(report: Report) -> Iterator[tuple[str, str, str, words.Change]]:
    """The figures that matter most: name, before, after, change."""
    quality: MetricName = report.comparison.quality or "sqnr_db"
    for name in (*_DRAWN[:2], quality, *_DRAWN[2:]):
        after = report.result.get(name)
        if after is not None:
            found = words.number(before(report, name), name), words.number(after, name)
            yield words.LABELS[name], *found, change(report, name)


def before(report: Report, name: MetricName) -> float | None:
    """Of the baseline; for quality, of the model whose outputs first meant what the result's do."""
    comparison = report.comparison
    if name != comparison.quality or comparison.quality_since is None:
        return report.baseline.get(name)
    since = comparison.quality_since
    return report.steps[since].after.get(name) if since < len(report.steps) - 1 else None


def change(report: Report, name: MetricName) -> words.Change:
    """From before to after; what may as well be the other way round has not changed."""
    if name == report.comparison.quality:
        drop = report.comparison.quality_drop_interval
        return words.paired(name, before(report, name), report.result.get(name), drop)
    found = words.change(name, before(report, name), report.result.get(name))
    sure = report.comparison.speedup_interval
    if name == "latency_median_ms" and sure is not None and sure[0] <= 1 <= sure[1]:
        return words.Change(f"{found.text.partition(',')[0]}, the same as far as can be told", "same")
    return found


def shown(report: Report) -> list[tuple[MetricName, str]]:
    """The metrics that any model of the report has."""
    there = {metric.name for _, measured in columns(report) for metric in measured.metrics}
    return [(name, label) for name, label in words.LABELS.items() if name in there]


def steps(report: Report) -> Drawn:
    """Bars of what is counted and timed, before and after each step."""
    found = columns(report)
    drawings = [_bars(found, name) for name in _DRAWN if report.result.get(name) is not None]
    head = ("Model", *(words.LABELS[name] for name in _DRAWN))
    rows = [(title, *(_figure(measured, name) for name in _DRAWN)) for title, measured in found]
    numbers = table("Size, time and work after each step", head, rows)
    return figure(drawings, "Before and after each step. The thin lines are 95 % confidence intervals.", numbers)


def each_step(report: Report) -> Drawn | None:
    """Each against the one before it, paired; None where that was not measured, or there is one alone."""
    changes = [(f"{step.index + 1}. {step.kind}", step.change) for step in report.steps if step.change is not None]
    if len(changes) < 2:
        return None
    quality = report.comparison.quality
    counted = quality in ("accuracy", "agreement")
    head = ("Step", "Times as fast", *((words.LABELS[quality],) if quality else ()), *(_FLIPPED if counted else ()))
    rows = [
        (
            name,
            Drawn(f"{words.factor(found.speedup)}<small>{words.ratio(found.speedup_interval)}</small>"),
            *((_moved(found, quality),) if quality else ()),
            *(_flipped(found) if counted else ()),
        )
        for name, found in changes
    ]
    return table("Each step against the model before it, sample by sample, with 95 % intervals", head, rows)


_FLIPPED = ("Became wrong", "Became right")


def _moved(found: StepChange, quality: MetricName) -> str:
    if found.quality_drop is None:
        return "–"
    sure = words.lost(found.quality_drop_interval, quality)
    return Drawn(words.moved(quality, found.quality_drop) + (f"<small>{sure}</small>" if sure else ""))


def _flipped(found: StepChange) -> tuple[str, str]:
    if found.quality_drop is None:
        return "–", "–"
    return f"{found.flipped_to_wrong:,}", f"{found.flipped_to_right:,}"


def _figure(measured: Measurement, name: MetricName) -> str:
    found = words.metric(measured, name)
    if found is None:
        return "–"
    said = words.interval(found.interval, name)
    return words.number(found.value, name) + (f" ({said})" if said else "")


def _bars(found: Columns, name: MetricName) -> Drawn:
    rows = []
    for place, (title, measured) in enumerate(found):
        value, each = measured.get(name), words.metric(measured, name)
        length = Length(value, "before" if place == 0 else "after", each.interval if each else None)
        rows.append(Bar(title, words.number(length.value, name), (length,)))
    said = "; ".join(f"{row.label} {row.shown}" for row in rows)
    return _headed(words.LABELS[name], bars(words.LABELS[name], said, rows))


def _headed(title: str, drawn: Drawn) -> Drawn:
    return Drawn(f'<p class="over">{title}</p>{drawn}')


def against_size(report: Report) -> Drawn | None:
    """Quality against size, step by step; None where there are not two models with both."""
    quality = report.comparison.quality
    if quality is None:
        return None
    found = list(_judged(report, quality))
    if len(found) < 2:
        return None
    last = len(found) - 1
    tones = {0: "before", last: "after"}
    points = [
        Point(title, weight / 1e6, metric.value, tones.get(place, "cold"), metric.interval)
        for place, (title, weight, metric) in enumerate(found)
    ]
    label = words.LABELS[quality]
    said = f"{label} against size of {', '.join(point.label for point in points)}, in the order of the recipe."
    ends = words.ENDS.get(quality, (None, None))
    drawn = scatter(f"{label} against size", said, points, "size, MB", label, way=range(len(points)), within=ends)
    rows = [(title, words.size(weight), _of(metric, quality)) for title, weight, metric in found]
    return figure(
        [drawn], f"{label} against size, in the order of the steps.", table(said, ("Model", "Size", label), rows)
    )


def _of(metric: Metric, name: MetricName) -> str:
    said = words.interval(metric.interval, name)
    return words.number(metric.value, name) + (f" ({said})" if said else "")


def _judged(report: Report, quality: MetricName) -> Iterator[tuple[str, float, Metric]]:
    since = report.comparison.quality_since
    for place, (title, measured) in enumerate(columns(report)):
        weight, metric = measured.get("size_bytes"), words.metric(measured, quality)
        if weight is not None and metric is not None and (since is None or place > since):
            yield title, weight, metric


def flips(comparison: Comparison) -> Drawn | None:
    """How many samples changed sides, of all; None where none can."""
    if comparison.quality not in ("accuracy", "agreement") or not comparison.samples or comparison.quality_drop is None:
        return None
    wrong, right = comparison.flipped_to_wrong, comparison.flipped_to_right
    same = max(0, comparison.samples - wrong - right)
    changed = "Were right, are wrong" if comparison.quality == "accuracy" else "Another prediction"
    named = [("As before", same, "before"), (changed, wrong, "bad"), ("Were wrong, are right", right, "after")]
    kept = [each for each in named if each[2] != "after" or comparison.quality == "accuracy"]
    said = "; ".join(f"{label}: {count}" for label, count, _ in kept)
    rows = [(label, f"{count:,}", words.share(count / comparison.samples)) for label, count, _ in kept]
    numbers = table("The same samples, before and after", ("Samples", "Number", "Share"), rows)
    caption = (
        f"The same {words.counted(comparison.samples, 'sample')} of the {comparison.measured_on}, before and after."
    )
    return figure([_flips(kept, comparison.samples, said)], caption, numbers)


def _flips(named: list[tuple[str, int, str]], whole: int, said: str) -> Drawn:
    """One bar in parts; each part is told below with its own mark."""
    parts, x = [], 0.0
    for label, count, tone in named:
        width = WIDTH * count / whole
        parts.append(box(x, 2, max(width, 1.5) if count else 0, 20, tone, note=f"{label}: {count}"))
        x += width
    for place, (label, count, tone) in enumerate(named):
        y = 34.0 + place * 18
        parts += [box(0, y, 10, 10, tone), text(16, y + 9.5, label)]
        parts.append(text(WIDTH, y + 9.5, f"{count:,} ({words.share(count / whole)})", anchor="end"))
    return drawing(36 + 18 * len(named), "Samples that changed sides", said, parts)


def timings(report: Report) -> Drawn | None:
    """With other numbers of threads and larger batches, before and after; None where nothing was timed so."""
    pairs = list(_paired(report.baseline.timings, report.result.timings))
    if not pairs:
        return None
    threads = dict.fromkeys(now.threads for _, now in pairs)
    drawings = [_timed(each, [pair for pair in pairs if pair[1].threads == each]) for each in threads]
    caption = "Samples a second, by batch size: baseline above, result below. Longer is better."
    head = ("Threads, batch", "Median before", "Median after", "95th before", "95th after", "Samples/s before",
            "Samples/s after", "Change")  # fmt: skip
    numbers = table("Latency of a batch, and throughput", head, (_numbers(*pair) for pair in pairs))
    return figure(drawings, caption, numbers)


def _paired(before: Iterable[Timing], after: Iterable[Timing]) -> Iterator[tuple[Timing, Timing]]:
    then = {(each.threads, each.batch_size): each for each in before}
    for now in after:
        if (now.threads, now.batch_size) in then:
            yield then[now.threads, now.batch_size], now


def _timed(threads: int, pairs: list[tuple[Timing, Timing]]) -> Drawn:
    rows = [_throughput(*pair) for pair in pairs]
    title = words.counted(threads, "thread")
    said = "; ".join(f"{row.label}: {row.shown}" for row in rows)
    return _headed(title, bars(f"Samples a second, {title}", said, rows))


def _throughput(before: Timing, after: Timing) -> Bar:
    shown = f"{before.throughput:,.0f} → {after.throughput:,.0f} samples/s"
    lengths = Length(before.throughput, "before"), Length(after.throughput, "after")
    return Bar(f"Batch of {after.batch_size}", shown, lengths)


def _numbers(before: Timing, after: Timing) -> tuple[str, ...]:
    change = words.change("latency_median_ms", before.median_ms, after.median_ms)
    return (
        f"{after.threads}, {after.batch_size}",
        _median(before),
        _median(after),
        words.milliseconds(before.p95_ms),
        words.milliseconds(after.p95_ms),
        f"{before.throughput:,.0f}",
        f"{after.throughput:,.0f}",
        change.text,
    )


def _median(each: Timing) -> Drawn:
    low, high = each.median_interval_ms
    return Drawn(f"{words.milliseconds(each.median_ms)}<small>{low:.3g} to {high:.3g}</small>")
