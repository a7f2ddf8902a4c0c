"""The report as Markdown, for a pull request: the verdict, one table, what was lost, and the rest folded away.

Words that come from elsewhere make no markup, no link and no mention, and are cut where they are long.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from pith.faces import layers, origin, trade, words
from pith.findings.layers import LayerReport
from pith.findings.lost import Lost
from pith.findings.trust import Disturbance, Trust
from pith.report import Report, StepReport

_MARKUP = re.compile(r"([\\`*{}\[\]<#|~&$]|(?<![^\W_])_|_(?![^\W_]))")
_LINK = re.compile(r"(?i)(https?|ftp|www)([:.])")
_JOINER = "\u2060"
"""Is not seen; what it parts is no mention and no address."""
_NAME, _SENTENCE = 60, 500
_FEW, _LAYERS, _NOTES = 3, 20, 10
_LAYER_HEAD = ("Layer", "Shape", "Size before", "After", "Bits", "Noise (SQNR)", "Sensitivity")


def markdown(report: Report) -> str:
    """The whole, some 10 kB at most."""
    parts = (_verdict(report), _table(report), _constraints(report), _lost(report), _folded(report))
    return "\n\n".join("\n".join(lines) for lines in map(list, parts) if lines) + "\n"


def plain(text: str, most: int = _SENTENCE) -> str:
    """Text that is text in Markdown, and in HTML too."""
    line = "".join(character for character in " ".join(text.split()) if character.isprintable())
    kept = line if len(line) <= most else f"{line[: most - 1]}…"
    return _LINK.sub(r"\1\\\2", _MARKUP.sub(r"\\\1", kept)).replace("@", f"@{_JOINER}")


def grid(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> Iterator[str]:
    """A table; the first ``left`` columns are words, the others numbers. Its cells are made plain here."""
    yield f"| {' | '.join(head)} |"
    yield f"|{'|'.join(['---'] * left + ['---:'] * (len(head) - left))}|"
    yield from (f"| {' | '.join(plain(cell, _SENTENCE // 2) for cell in row)} |" for row in rows)


def _verdict(report: Report) -> Iterator[str]:
    mark = {"met": "✓", "not_met": "✗", "unconstrained": "–"}[report.verdict]
    yield f"### {mark} {words.verdict(report)}"
    yield ""
    yield from (f"- {plain(sentence)}" for sentence in report.headline[:_NOTES])
    yield from (f"- {plain(words.binding(each))}" for each in report.constraints if each.binds)
    if report.replay is not None:
        yield f"- A replay of {report.replay.job}: {plain(report.replay.verdict)}"


def _table(report: Report) -> Iterator[str]:
    rows = [
        (label, words.number(trade.before(report, name), name), words.number(report.result.get(name), name),
         trade.change(report, name).text)
        for name, label in trade.shown(report)
    ]  # fmt: skip
    yield from grid(("", "Before", "After", "Change"), rows)
    yield ""
    yield plain(words.files(report))


def _constraints(report: Report) -> Iterator[str]:
    rows = [
        (words.CONSTRAINTS[each.name], words.limit(each, each.limit), words.limit(each, each.value),
         f"{'met' if each.met else 'NOT MET'}, {words.margin(each)}")
        for each in report.constraints
    ]  # fmt: skip
    if rows:
        yield from grid(("Asked", "Limit", "Reached", ""), rows)


def _lost(report: Report) -> Iterator[str]:
    said = [*_by_class(report.lost), *_trusted(report.trust)]
    if said:
        yield "**What was lost**"
        yield ""
        yield from said


def _by_class(lost: Lost | None) -> Iterator[str]:
    if lost is None:
        return
    for each in lost.classes[:_FEW]:
        moved = words.change("accuracy", each.recall_before, each.recall_after)
        if moved.tone == "worse":
            yield f"- Recall of {plain(each.name, _NAME)}: {words.share(each.recall_after)} ({moved.text})"
    for pair in lost.confused[:_FEW]:
        truth, taken = plain(pair.truth, _NAME), plain(pair.taken_for, _NAME)
        yield f"- {truth} taken for {taken}: {words.counted(pair.before, 'time')} before, {pair.after:,} after"
    for worse in lost.worse[:_FEW]:
        yield f"- Sample {worse.sample} costs {worse.after:.4g} where it cost {worse.before:.4g}"


def _trusted(trust: Trust | None) -> Iterator[str]:
    if trust is None:
        return
    if trust.calibration is not None:
        before, after = trust.calibration.before.ece, trust.calibration.after.ece
        said = words.calibration(trust.calibration)
        yield f"- Expected calibration error: {words.share(before)} before, {words.share(after)} after; {said}"
    if trust.metric is None or not trust.disturbances:
        return
    yield f"- {words.LABELS[trust.metric]} of {words.counted(trust.samples, 'sample')}, disturbed:"
    for each in _worst(trust):
        then, now = words.number(each.before, trust.metric), words.number(each.after, trust.metric)
        moved = words.paired(trust.metric, each.before, each.after, each.drop_interval).text
        sure = words.lost(each.drop_interval, trust.metric)
        told = f"{moved}; 95 % interval {sure}" if sure else moved
        yield f"  - {plain(words.disturbance(each))}: {then} before, {now} after ({told})"


def _worst(trust: Trust) -> Iterable[Disturbance]:
    """Of each disturbance the strength that took most; the page has the others."""
    ordered = sorted(trust.disturbances, key=lambda each: each.drop or 0.0)
    worst = {each.name: each for each in ordered}
    return (worst[name] for name in dict.fromkeys(each.name for each in trust.disturbances))


def _folded(report: Report) -> Iterator[str]:
    yield "<details><summary>Layers, recipe and origin</summary>"
    yield ""
    yield from _layers(report)
    yield from _recipe(report)
    yield ""
    where = report.environment
    versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
    yield f"- Measured on {plain(where.device_name)} with {plain(words.runtime(report))}; {plain(versions)}"
    yield from (f"- {words.SECTIONS[name]}: left out, {plain(why)}" for name, why in report.left_out.items())
    yield from (f"- {plain(name, _NAME)}: `{digest}`" for name, digest in origin.lineage(report))
    if command := origin.again(report):
        yield f"- Again: `{command}`. {origin.COMPARES}"
    yield ""
    yield "</details>"


def _layers(report: Report) -> Iterator[str]:
    if report.layers is None or not report.layers.rows:
        return
    rows = sorted(report.layers.rows, key=_saved, reverse=True)
    yield from grid(_LAYER_HEAD, map(_layer, rows[:_LAYERS]), left=2)
    if len(rows) > _LAYERS:
        yield ""
        yield f"The {_LAYERS} layers of {len(rows)} whose size changed most."
    yield ""
    if reasons := list(layers.reasons(report.layers)):
        yield from (f"- {plain(each)}" for each in reasons)
        yield ""


def _saved(row: LayerReport) -> int:
    before, after = (0 if cost is None else cost.size_bytes for cost in (row.before, row.after))
    return abs(before - after)


def _layer(row: LayerReport) -> tuple[str, ...]:
    name = row.name if len(row.name) <= _NAME else f"…{row.name[1 - _NAME :]}"
    before, after = ("–" if cost is None else words.size(cost.size_bytes) for cost in (row.before, row.after))
    bits = "–" if row.after is None else f"{row.after.bits:.3g}"
    return name, layers.shapes(row), before, after, bits, layers.noise(row), layers.sensitivity(row)


def _recipe(report: Report) -> Iterator[str]:
    rows = [
        (f"{step.index + 1}. {step.kind}", origin.options(asked), words.duration(step.seconds), *_change(report, step),
         " ".join((*step.foreseen, *step.notes)) or "–")
        for step, asked in zip(report.steps, report.spec.recipe, strict=False)
    ]  # fmt: skip
    yield from grid(("Step", "Options", "Took", "Times as fast", "Quality", "Remarks"), rows, left=6)


def _change(report: Report, step: StepReport) -> tuple[str, str]:
    """Against the model before the step."""
    found, quality = step.change, report.comparison.quality
    if found is None:
        return "–", "–"
    faster = f"{words.factor(found.speedup)} ({words.ratio(found.speedup_interval)})"
    if quality is None or found.quality_drop is None:
        return faster, "–"
    sure = words.lost(found.quality_drop_interval, quality)
    return faster, words.moved(quality, found.quality_drop) + (f" ({sure})" if sure else "")
