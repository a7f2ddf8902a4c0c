"""Figures and what became of them, as people read them: a number with its unit, a change with its sign and in words."""

from typing import Literal, NamedTuple

from pith.findings.trust import Calibration, Disturbance, ReliabilityBin
from pith.metrics import MetricName
from pith.report import ConstraintResult, Measurement, Metric, Report

Tone = Literal["better", "worse", "same"]

LABELS: dict[MetricName, str] = {
    "size_bytes": "Size",
    "parameters": "Parameters",
    "nonzero_parameters": "Parameters that are not zero",
    "macs": "Multiply-accumulates",
    "latency_median_ms": "Latency, median",
    "latency_p95_ms": "Latency, 95th percentile",
    "peak_memory_bytes": "Peak memory",
    "accuracy": "Accuracy",
    "agreement": "Agreement with the baseline",
    "r2": "R², explained part of the variance",
    "rmse": "Root of the mean squared error",
    "mae": "Mean absolute error",
    "cosine_similarity": "Cosine similarity to the targets",
    "loss": "Loss",
    "sqnr_db": "Signal to noise against the baseline",
}
"""In the order of tables."""
SECTIONS = {
    "lost": "Where quality was lost",
    "layers": "The layers",
    "trust": "How far it can be trusted",
    "looks": "What it looks at",
    "curves": "Training",
    "usage": "How to use it",
}
CONSTRAINTS = {
    "max_metric_drop": "Quality lost, at most",
    "min_compression_ratio": "Times smaller, at least",
    "min_speedup": "Times faster, at least",
}
DISTURBANCES = {"adversarial": "an attack"}
"""Those that are not called by their names alone."""
ENDS: dict[str, tuple[float | None, float | None]] = {
    "accuracy": (0.0, 1.0),
    "agreement": (0.0, 1.0),
    "r2": (None, 1.0),
    "rmse": (0.0, None),
    "mae": (0.0, None),
    "cosine_similarity": (-1.0, 1.0),
}
"""What a metric can be at least and at most."""
SPACE = "\u00a0"
"""Between a number and its unit, so that no line breaks there."""
NOISE = 0.02
"""Latency and memory that change by less are called about the same, as ``engine.compare`` does."""
_DECIMAL = (("GB", 1e9), ("MB", 1e6), ("kB", 1e3))
_COUNTED = (("G", 1e9), ("M", 1e6), ("k", 1e3))
_POINTS = {"accuracy", "agreement"}
_MEASURED = {"latency_median_ms", "latency_p95_ms", "peak_memory_bytes"}
_LESS_MORE: dict[str, tuple[str, str]] = {
    "size_bytes": ("smaller", "larger"),
    "latency_median_ms": ("faster", "slower"),
    "latency_p95_ms": ("faster", "slower"),
    "parameters": ("fewer", "more"),
    "nonzero_parameters": ("fewer", "more"),
    "macs": ("fewer", "more"),
    "peak_memory_bytes": ("less", "more"),
}


class Change(NamedTuple):
    """``text`` says it all; ``tone`` is for a colour beside it."""

    text: str
    tone: Tone


def number(value: float | None, name: str) -> str:
    """A metric's value with its unit."""
    if value is None:
        return "–"
    if name in ("size_bytes", "peak_memory_bytes"):
        return scaled(value, _DECIMAL, "bytes")
    if name in ("parameters", "nonzero_parameters", "macs"):
        return scaled(value, _COUNTED, "")
    if name in ("latency_median_ms", "latency_p95_ms"):
        return milliseconds(value)
    if name == "sqnr_db":
        return minus(f"{value:.1f}{SPACE}dB")
    if name in _POINTS:
        return f"{100 * value:.2f}{SPACE}%"
    return minus(f"{value:.4g}" if name in ("rmse", "mae") else f"{value:.4f}")


def difference(value: float | None, name: str) -> str:
    """Of two values of a metric, with its sign and unit."""
    if value is None:
        return "–"
    return f"{'−' if value < 0 else '+'}{number(abs(value), name)}" if value else "none"


def size(value: float) -> str:
    return scaled(value, _DECIMAL, "bytes")


def count(value: float) -> str:
    return scaled(value, _COUNTED, "")


def scaled(value: float, units: tuple[tuple[str, float], ...], smallest: str) -> str:
    for unit, one in units:
        if value >= one:
            return f"{value / one:.2f}{SPACE}{unit}"
    return f"{value:.0f}{SPACE}{smallest}".strip()


def milliseconds(value: float) -> str:
    if value < 0.1:
        return f"{1000 * value:.1f}{SPACE}µs"
    return f"{value:.3f}{SPACE}ms" if value < 10 else f"{value:.1f}{SPACE}ms"


def share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}{SPACE}%"


def signed(value: float, form: str = ".4f") -> str:
    """With a true minus sign; nothing is never negative."""
    found = f"{value:+{form}}"
    return minus(f"{0.0:+{form}}" if not found.strip("+-0.") else found)


def minus(text: str) -> str:
    return text.replace("-", "−", 1) if text.startswith("-") else text


def duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, left = divmod(minutes, 60)
    return f"{hours} h {left} min" if hours else f"{minutes} min {rest} s"


def interval(found: tuple[float, float] | None, name: str) -> str:
    """``""`` where there is none."""
    return "" if found is None else f"{number(found[0], name)} to {number(found[1], name)}"


def lost(found: tuple[float, float] | None, name: str) -> str:
    """The interval of a change, of a drop's; ``""`` where there is none."""
    if found is None:
        return ""
    low, high = found if name in ("loss", "rmse", "mae") else (-found[1], -found[0])
    if name in _POINTS:
        return f"{signed(100 * low, '.2f')} to {signed(100 * high, '.2f')}{SPACE}points"
    return f"{signed(low)} to {signed(high)}"


def moved(name: str, drop: float) -> str:
    """What a metric has changed by, given how much worse it is."""
    return change(name, 0.0, drop if name in ("loss", "rmse", "mae") else -drop).text.partition(",")[0]


def ratio(found: tuple[float, float]) -> str:
    return f"{factor(found[0])} to {factor(found[1])}"


def metric(measured: Measurement, name: str) -> Metric | None:
    return next((each for each in measured.metrics if each.name == name), None)


def change(name: str, before: float | None, after: float | None) -> Change:
    """What became of a metric."""
    if before is None or after is None:
        return Change("–", "same")
    if name in _LESS_MORE:
        return _times(name, before, after)
    moved = after - before
    lower = name in ("loss", "rmse", "mae")
    text = f"{signed(100 * moved, '.2f')}{SPACE}points" if name in _POINTS else _moved(name, moved)
    if not any(digit in text for digit in "123456789"):
        return Change("unchanged", "same")
    tone: Tone = "better" if (moved < 0) == lower else "worse"
    return Change(f"{text}, {tone}", tone)


def paired(name: str, before: float | None, after: float | None, drop: tuple[float, float] | None) -> Change:
    """The same, of quality whose drop has this paired interval: what may as well be none has not changed."""
    found = change(name, before, after)
    if drop is None or not drop[0] <= 0 <= drop[1] or found.text in ("–", "unchanged"):
        return found
    return Change(f"{found.text.partition(',')[0]}, the same as far as can be told", "same")


def _moved(name: str, moved: float) -> str:
    return (
        f"{signed(moved, '.1f')}{SPACE}dB"
        if name == "sqnr_db"
        else signed(moved, ".4g" if name in ("rmse", "mae") else ".4f")
    )


def _times(name: str, before: float, after: float) -> Change:
    less, more = _LESS_MORE[name]
    if before == after:
        return Change("unchanged", "same")
    if before <= 0 or after <= 0:
        return Change(less, "better") if after < before else Change(more, "worse")
    part = signed(100 * (after / before - 1), ".1f") + f"{SPACE}%"
    if name in _MEASURED and abs(after / before - 1) < NOISE:
        return Change(f"{part}, about the same", "same")
    if after < before:
        return Change(f"{part}, {factor(before / after)} times {less}", "better")
    return Change(f"{part}, {factor(after / before)} times {more}", "worse")


def factor(ratio: float) -> str:
    return f"{ratio:.2f}" if ratio < 99.5 else f"{ratio:,.0f}"


def verdict(report: Report) -> str:
    """Met or not, how much of it, and which constraint binds."""
    results = report.constraints
    if not results:
        return "No constraints were given"
    missed, whole = sum(not each.met for each in results), len(results)
    if whole == 1:
        return "The constraint is not met" if missed else "The constraint is met"
    if not missed:
        return f"{'Both' if whole == 2 else f'All {whole}'} constraints are met"
    return f"{missed} of {whole} constraints {'is' if missed == 1 else 'are'} not met"


def margin(each: ConstraintResult) -> str:
    """By how much a constraint is met or missed."""
    by = f"{abs(each.margin):.4f}" if each.name == "max_metric_drop" else f"{abs(each.margin):.2f}"
    if each.met:
        return "exactly met" if each.margin < 5e-5 else f"{by} to spare"
    return f"missed by {by}"


def missed(each: ConstraintResult) -> str:
    """A constraint that is not met, in a line."""
    return f"{CONSTRAINTS[each.name]} {limit(each, each.limit)}: {limit(each, each.value)}, {margin(each)}"


def binding(each: ConstraintResult) -> str:
    """The constraint that decides, in a sentence."""
    asked = CONSTRAINTS[each.name]
    nearest = "Nearest to its limit" if each.met else "Furthest beyond its limit"
    found = f"{asked[0].lower()}{asked[1:]} {limit(each, each.limit)}; it is {limit(each, each.value)}"
    return f"{nearest}: {found}, {margin(each)}."


def files(report: Report) -> str:
    """What was measured, in a sentence: the file that was uploaded has another size, and ran elsewhere."""
    said = f"Baseline and result were both measured as ONNX files, run with {runtime(report)}"
    form = report.spec.outputs[0]
    if report.spec.encodes():
        said += ", and the size of the result is that of its encoded file"
    elif form != "onnx":
        said += f", and weighed as {form} files"
    if report.uploaded_bytes is None:
        return f"{said}; in the framework it came from, the uploaded model has another size and speed."
    return f"{said}; the uploaded file has {size(report.uploaded_bytes)}, and another speed in its own framework."


def runtime(report: Report) -> str:
    return {"onnxruntime": "ONNX Runtime"}.get(report.environment.runtime, report.environment.runtime)


def device(report: Report) -> str:
    found = report.environment.device
    return {"cpu": "the CPU", "cuda": "the GPU"}.get(found, found)


def limit(each: ConstraintResult, value: float) -> str:
    return minus(f"{value:.4f}") if each.name == "max_metric_drop" else f"{value:.2f}"


def disturbance(each: Disturbance) -> str:
    """What was done to samples, and how much of it."""
    return f"{DISTURBANCES.get(each.name, each.name)}, {each.strength:.3g}{SPACE}{each.unit}"


def counted(number: int, one: str, many: str = "") -> str:
    """``1 layer``, ``2 layers``."""
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def calibration(found: Calibration) -> str:
    """Of the result: how sure it is against how often it is right."""
    lean = sum(map(_lean, found.after.bins)) / max(1, sum(each.samples for each in found.after.bins))
    if abs(lean) < 0.005:
        return "on the whole it is as sure as it is right"
    return f"on the whole it is {share(abs(lean))} {'surer' if lean > 0 else 'less sure'} than it is right"


def _lean(each: ReliabilityBin) -> float:
    if each.confidence is None or each.accuracy is None:
        return 0.0
    return (each.confidence - each.accuracy) * each.samples
