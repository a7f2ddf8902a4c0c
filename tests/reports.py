"""Whole reports, made by hand: every section filled, one for each modality, and one of a model with 200 layers."""

import base64
import math
import random
import struct
import zlib
from datetime import UTC, datetime
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pith.findings.curves import Curve
from pith.findings.layers import Absent, LayerCost, LayerReport, Layers
from pith.findings.looks import Look, Looks
from pith.findings.lost import ClassLoss, Confused, Confusion, Flipped, Lost, Worse
from pith.findings.shown import Shown, ShownImage, ShownRow, ShownSound, ShownText
from pith.findings.trust import Calibration, Disturbance, Reliability, ReliabilityBin, Trust
from pith.findings.usage import Usage
from pith.job import JobSpec
from pith.metrics import MetricName
from pith.report import (
    Comparison,
    ConstraintResult,
    Environment,
    Measurement,
    Metric,
    OutputReport,
    Replay,
    ReplayedArtifact,
    ReplayedMetric,
    Report,
    StepChange,
    StepReport,
    Timing,
)

JOB, OTHER, MODEL, DATASET = "job_" + "5" * 26, "job_" + "6" * 26, "mdl_" + "0" * 26, "dts_" + "1" * 26
MODALITIES = ("image", "text", "audio", "tabular")
_NAMES = {
    "image": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "text": ("World", "Sports", "Business", "Science"),
    "audio": ("yes", "no", "up", "down", "left", "right"),
}
_DISTURBED = {
    "image": (
        ("noise", 0.1, "of the range"),
        ("blur", 1.5, "pixels"),
        ("brightness", 0.3, "of the range"),
        ("contrast", 0.5, "of the range"),
        ("adversarial", 0.008, "of the range"),
    ),
    "text": (("missing words", 0.15, "of the words"),),
    "audio": (("noise", 0.05, "standard deviations"), ("silence", 0.2, "of the time")),
    "tabular": (("noise", 0.1, "standard deviations"), ("missing values", 0.1, "of the values")),
}
_TEXT = "Oil prices fell for a third day as refiners on the Gulf coast resumed work sooner than traders had expected."
_COLUMNS = ("age", "hours per week", "education", "capital gain", "workclass")


def report(modality: str = "image", **changes: Any) -> Report:
    """A report with every section; ``changes`` replace fields."""
    chance = random.Random(modality)
    regression = modality == "tabular"
    found: dict[str, Any] = {
        "job": JOB,
        "created_at": datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC),
        "verdict": "not_met" if modality == "text" else "met",
        "headline": _headline(modality),
        "spec": _spec(),
        "model_digest": "sha256:" + "a" * 64,
        "uploaded_bytes": 12_300_417,
        "dataset_digest": "sha256:" + "b" * 64,
        "baseline": _measured(0, regression),
        "result": _measured(3, regression),
        "steps": tuple(_step(index, regression) for index in range(3)),
        "comparison": _comparison(regression),
        "constraints": _constraints(modality == "text"),
        "outputs": tuple(_output(form) for form in ("onnx", "pt2", "safetensors")),
        "environment": _environment(),
        "seconds": 754.2,
        "lost": _lost(modality, chance),
        "layers": layers(12, chance),
        "trust": _trust(modality, chance),
        "looks": _looks(modality, chance),
        "curves": _curves(chance),
        "usage": (_usage("model.onnx"), _usage("model.pt2")),
        "left_out": {},
    }
    return Report.model_validate({**found, **changes})


def short(**changes: Any) -> Report:
    """What a job says that had no data: no section but the layers, and the reasons for it."""
    left_out = dict.fromkeys(("lost", "trust", "looks"), "the job had no dataset")
    bare = {"lost": None, "trust": None, "looks": None, "curves": (), "usage": ()}
    return report(**{**bare, "left_out": {**left_out, "curves": "no step trains"}, **changes})


def deep(count: int = 200) -> Report:
    """A model with many layers, and everything else as large as it may be."""
    chance = random.Random(count)
    curves = tuple(_curve(step, phase, 100, chance) for step in range(3) for phase in range(4))
    found = report()
    assert found.lost is not None and found.looks is not None
    flipped = tuple(each.model_copy(update={"shown": noise(96, chance)}) for each in found.lost.flipped)
    looks = tuple(each.model_copy(update={"shown": noise(96, chance)}) for each in found.looks.looks * 2)
    return report(
        layers=layers(count, chance),
        curves=curves,
        lost=found.lost.model_copy(update={"flipped": flipped}),
        looks=found.looks.model_copy(update={"looks": looks}),
    )


LONG = "very_long_name_" * 12 + "<script>alert('é漢字')</script>"


def odd() -> dict[str, Report]:
    """Reports at the edges: nothing, one of each, very many, very long names, and worse in every way."""
    return {"bare": bare(), "single": single(), "crowded": crowded(), "worse": worse()}


def bare() -> Report:
    """Of a model without a dataset: no quality, and noise where there is any."""
    compared = {"quality": None, "measured_on": "random inputs", "quality_drop": None, "quality_drop_interval": None}
    comparison = _comparison(False).model_copy(update={**compared, "samples": 0, "flipped_to_wrong": 0})
    silent = [step.model_copy(update={"after": _without(step.after)}) for step in report().steps]
    steps = tuple(
        step.model_copy(update={"change": step.change and step.change.model_copy(update=_NO_QUALITY)})
        for step in silent
    )
    return short(
        comparison=comparison,
        baseline=_without(_measured(0, False)),
        result=_without(_measured(3, False)),
        steps=steps,
        constraints=(),
        verdict="unconstrained",
        headline=("4.05 times smaller, 2.10 times faster.",),
        uploaded_bytes=None,
    )


_NO_QUALITY: dict[str, Any] = {"quality_drop": None, "quality_drop_interval": None}


def _without(measured: Measurement) -> Measurement:
    kept = tuple(each for each in measured.metrics if each.name not in ("accuracy", "loss"))
    return measured.model_copy(update={"metrics": kept})


def single() -> Report:
    """One step, one layer, one sample, one epoch, one thread."""
    found = report()
    assert found.trust is not None and found.trust.calibration is not None and found.looks is not None
    one = found.trust.disturbances[:1]
    calibration = found.trust.calibration.model_copy(update={"samples": 1})
    return report(
        steps=found.steps[:1],
        spec=found.spec.model_copy(update={"recipe": found.spec.recipe[:1]}),
        comparison=found.comparison.model_copy(update={"samples": 1, "flipped_to_wrong": 1, "flipped_to_right": 0}),
        layers=layers(1, random.Random(1)).model_copy(update={"samples": 1}),
        trust=found.trust.model_copy(update={"samples": 1, "disturbances": one, "calibration": calibration}),
        looks=found.looks.model_copy(update={"looks": found.looks.looks[:1]}),
        curves=(Curve(step=0, name="loss", points=((1.0, 0.5),)),),
        constraints=found.constraints[:1],
        lost=Lost(confused=(Confused(truth="a", taken_for="b", before=0, after=1),)),
    )


def crowded() -> Report:
    """A thousand classes and two hundred layers, all with long names in several alphabets."""
    found, chance = report(), random.Random(3)
    assert found.lost is not None
    classes = tuple(
        ClassLoss(
            name=f"{LONG} {number}",
            samples=50,
            recall_before=0.9,
            recall_after=0.9 - chance.random() / 5,
            precision_before=0.9,
            precision_after=0.85,
        )
        for number in range(1000)
    )
    deep_rows = layers(200, chance)
    named = tuple(row.model_copy(update={"name": f"{LONG}.{row.name}"}) for row in deep_rows.rows)
    return report(
        layers=deep_rows.model_copy(update={"rows": named}),
        lost=found.lost.model_copy(update={"classes": classes, "confusion": None}),
        foreseen=(LONG,),
    )


def worse() -> Report:
    """Larger, slower, more memory, and all constraints missed."""
    found = report()
    turned = {"baseline": found.result, "result": found.baseline}
    comparison = {"compression_ratio": 0.25, "speedup": 0.48, "speedup_interval": (0.46, 0.5)}
    missed = [
        ConstraintResult(name="max_metric_drop", limit=0.01, value=0.0956, met=False, margin=-0.0856, binds=True),
        ConstraintResult(name="min_compression_ratio", limit=4, value=0.25, met=False, margin=-3.75),
        ConstraintResult(name="min_speedup", limit=1.5, value=0.48, met=False, margin=-1.02),
    ]
    return report(
        **turned,
        verdict="not_met",
        constraints=tuple(missed),
        comparison=found.comparison.model_copy(update=comparison),
        headline=("The result is 2.10 times slower than its baseline.", "The result is 4.05 times larger."),
    )


def poisoned(value: Any, text: str, free: bool = False) -> Any:
    """The same with ``text`` wherever any text may stand, but for the spec."""
    if isinstance(value, JobSpec):
        return value
    if isinstance(value, BaseModel):
        fields = type(value).model_fields
        return value.model_copy(
            update={name: poisoned(getattr(value, name), text, _free(field)) for name, field in fields.items()}
        )
    if isinstance(value, tuple):
        return tuple(poisoned(each, text, free) for each in value)
    if isinstance(value, dict):
        return {name: poisoned(each, text, free) for name, each in value.items()}
    return text if free and isinstance(value, str) else value


def _free(field: FieldInfo) -> bool:
    """Whether any text may stand in it."""
    return "pattern" not in repr(field) and _of_text(field.annotation)


def _of_text(annotation: Any) -> bool:
    if "pattern" in repr(getattr(annotation, "__metadata__", ())):
        return False
    return annotation is str or any(_of_text(part) for part in get_args(annotation))


def replayed(**changes: Any) -> Report:
    metrics = (
        ReplayedMetric(name="accuracy", original=0.9132, replay=0.9132, difference=0.0),
        ReplayedMetric(name="latency_median_ms", original=4.31, replay=4.52, difference=0.21),
    )
    artifact = ReplayedArtifact(name="model.onnx", original="sha256:" + "c" * 64, replay=None, identical=False)
    said = Replay(
        job=OTHER,
        status="succeeded",
        verdict="All metrics agree within 1 %.",
        identical=False,
        metrics=metrics,
        artifacts=(artifact,),
    )
    return report(replay=said, **changes)


def _headline(modality: str) -> tuple[str, ...]:
    if modality == "text":
        return (
            "The result is 1.21 times slower than its baseline.",
            "min_speedup is not met: 0.8264, and the limit is 1.5.",
            "4.05 times smaller.",
            "Accuracy 0.9188 → 0.9132 on 2500 samples of the test split: -0.0056, 95 % interval -0.0102 to -0.0010; "
            "41 samples became wrong, 27 right.",
        )
    return (
        "4.05 times smaller, 2.10 times faster.",
        "Accuracy 0.9188 → 0.9132 on 2500 samples of the test split: -0.0056, 95 % interval -0.0102 to -0.0010; "
        "41 samples became wrong, 27 right.",
    )


def _spec() -> JobSpec:
    recipe = [
        {"kind": "prune.channel", "pruning_ratio": 0.4, "iterations": 4, "recovery": {"epochs": 2}},
        {"kind": "distill.logits", "teacher": "baseline", "temperature": 4, "epochs": 12},
        {"kind": "quantize.static"},
    ]
    asked = {"max_metric_drop": 0.01, "min_compression_ratio": 4}
    return JobSpec.model_validate({"model": MODEL, "dataset": DATASET, "recipe": recipe, "constraints": asked})


def _measured(step: int, regression: bool) -> Measurement:
    """After that many steps."""
    given: tuple[tuple[MetricName, tuple[float, ...], str, bool], ...] = (
        ("size_bytes", (11_184_332, 6_120_448, 6_120_448, 2_761_114), "bytes", False),
        ("parameters", (2_790_218, 1_524_122, 1_524_122, 1_524_122), "parameters", False),
        ("nonzero_parameters", (2_790_218, 1_524_122, 1_524_122, 1_519_870), "parameters", False),
        ("macs", (94_371_840, 41_287_680, 41_287_680, 41_287_680), "multiply-accumulates", False),
        ("latency_median_ms", (9.05, 5.88, 5.91, 4.31), "ms", False),
        ("latency_p95_ms", (9.61, 6.4, 6.37, 4.72), "ms", False),
        ("peak_memory_bytes", (41e6, 29e6, 29e6, 18e6), "bytes", False),
        ("r2" if regression else "accuracy", (0.9188, 0.8996, 0.9168, 0.9132), "fraction", True),
        ("loss", (0.271, 0.33, 0.276, 0.291), "loss", False),
    )
    metrics = [_metric(name, values[step], unit, higher) for name, values, unit, higher in given]
    if step:
        metrics.append(_metric("sqnr_db", (0, 9.8, 14.2, 13.1)[step], "dB", True))
    return Measurement(metrics=tuple(metrics), timings=tuple(_timings(step)))


def _metric(name: MetricName, value: float, unit: str, higher: bool) -> Metric:
    half = 0.011 if name in ("accuracy", "r2") else 0.02 * value if name == "latency_median_ms" else None
    interval = None if half is None else (value - half, value + half)
    return Metric(name=name, value=value, unit=unit, better="higher" if higher else "lower", interval=interval)


def _timings(step: int) -> list[Timing]:
    base = (9.05, 5.88, 5.91, 4.31)[step]
    found = []
    for threads, batch in ((1, 1), (1, 8), (1, 64), (4, 1), (4, 8), (4, 64)):
        median = base * batch**0.92 / threads**0.8
        around = (median * 0.97, median * 1.04)
        found.append(
            Timing(
                threads=threads,
                batch_size=batch,
                median_ms=median,
                median_interval_ms=around,
                p95_ms=median * 1.1,
                throughput=1000 * batch / median,
            )
        )
    return found


def _step(index: int, regression: bool) -> StepReport:
    notes = ("18 of 20 layers lost channels; stem and head were left alone.",) if index == 0 else ()
    kind = ("prune.channel", "distill.logits", "quantize.static")[index]
    return StepReport(
        index=index,
        kind=kind,
        seconds=(212.0, 498.3, 9.4)[index],
        after=_measured(index + 1, regression),
        change=_change(index, regression),
        notes=notes,
        foreseen=("Depthwise layers gain little from integers.",) if index == 2 else (),
    )


def _change(index: int, regression: bool) -> StepChange:
    lost = (0.0192, -0.0172, 0.0036)[index]
    return StepChange(
        speedup=(1.54, 0.99, 1.37)[index],
        speedup_interval=((1.5, 1.57), (0.97, 1.02), (1.34, 1.41))[index],
        quality_drop=lost,
        quality_drop_interval=(lost - 0.004, lost + 0.004),
        flipped_to_wrong=0 if regression else (61, 9, 20)[index],
        flipped_to_right=0 if regression else (13, 52, 11)[index],
    )


def _comparison(regression: bool) -> Comparison:
    quality: MetricName = "r2" if regression else "accuracy"
    return Comparison(
        compression_ratio=4.05,
        speedup=2.1,
        speedup_interval=(2.02, 2.17),
        quality=quality,
        measured_on="test split",
        quality_drop=0.0056,
        quality_drop_interval=(0.001, 0.0102),
        samples=2500,
        flipped_to_wrong=0 if regression else 41,
        flipped_to_right=0 if regression else 27,
    )


def _constraints(missed: bool) -> tuple[ConstraintResult, ...]:
    found = [
        ConstraintResult(name="max_metric_drop", limit=0.01, value=0.0056, met=True, margin=0.0044),
        ConstraintResult(name="min_compression_ratio", limit=4, value=4.05, met=True, margin=0.05, binds=not missed),
    ]
    if missed:
        found.append(
            ConstraintResult(name="min_speedup", limit=1.5, value=0.8264, met=False, margin=-0.6736, binds=True)
        )
    return tuple(found)


def _output(form: str) -> OutputReport:
    return OutputReport.model_validate(
        {
            "name": f"model.{form}",
            "format": form,
            "size_bytes": 2_761_114,
            "digest": "sha256:" + "c" * 64,
            "reload_max_abs_difference": 3.6e-7,
            "agreement_with_result": 1.0,
        }
    )


def _environment() -> Environment:
    versions = {"pith": "0.1.0", "torch": "2.14.1", "onnxruntime": "1.31.0", "python": "3.11.9"}
    return Environment(
        device="cpu",
        device_name="Example CPU @ 2.4 GHz, 16 cores",
        runtime="ONNX Runtime",
        threads=1,
        batch_size=1,
        versions=versions,
        sandbox=("namespaces", "landlock", "seccomp"),
    )


def classes(modality: str) -> tuple[str, ...]:
    return _NAMES.get(modality, ())


def sample(modality: str, number: int, chance: random.Random) -> Shown:
    if modality == "image":
        return ShownImage(address=png(32, 32, number), width=32, height=32)
    if modality == "audio":
        high = tuple(abs(math.sin(at / 9)) * math.exp(-((at - 70 - number) ** 2) / 1800) for at in range(200))
        return ShownSound(seconds=1.0, low=tuple(-0.8 * each for each in high), high=high)
    if modality == "text":
        return ShownText(text=_TEXT)
    return ShownRow(values=(*((name, chance.uniform(-2, 40)) for name in _COLUMNS[:4]), ("workclass", "private")))


def png(width: int, height: int, seed: int) -> str:
    """A little landscape, written by hand."""
    rows = b"".join(
        b"\0" + bytes(_pixel(x / width, y / height, seed, channel) for x in range(width) for channel in range(3))
        for y in range(height)
    )
    return _encoded(width, height, rows)


def _encoded(width: int, height: int, rows: bytes) -> str:
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    return "data:image/png;base64," + base64.b64encode(data).decode()


def _pixel(x: float, y: float, seed: int, channel: int) -> int:
    sky = y < 0.55 + 0.12 * math.sin(6 * x + seed)
    colour = ((120, 170, 230), (96, 140, 70))[0 if sky else 1][channel]
    sun = 90 * math.exp(-60 * ((x - 0.2 - 0.1 * (seed % 6)) ** 2 + (y - 0.25) ** 2))
    return int(max(0, min(255, colour + sun * (1, 0.8, 0.2)[channel] + 14 * math.sin(40 * x * y + seed))))


def noise(side: int, chance: random.Random) -> ShownImage:
    """A picture that no compression makes smaller."""
    rows = b"".join(b"\0" + chance.randbytes(3 * side) for _ in range(side))
    return ShownImage(address=_encoded(side, side, rows), width=side, height=side)


def _lost(modality: str, chance: random.Random) -> Lost:
    names = classes(modality)
    if not names:
        worse = [
            Worse(
                sample=number * 17,
                truth=f"{chance.uniform(1, 9):.2f}",
                before=0.2 + number / 50,
                after=2.9 - number / 5,
                shown=sample(modality, number, chance),
            )
            for number in range(6)
        ]
        return Lost(worse=tuple(worse))
    before = _matrix(len(names), 12, chance)
    after = _matrix(len(names), 17, chance)
    listed = sorted(
        (_class(names, number, before, after) for number in range(len(names))),
        key=lambda each: (each.recall_after or 0) - (each.recall_before or 0),
    )
    flipped = [
        Flipped(
            sample=number * 31 + 5,
            truth=names[number % len(names)],
            before=names[number % len(names)],
            after=names[(number + 2) % len(names)],
            confidence_before=0.7 + number / 50,
            confidence_after=0.99 - number / 30,
            shown=sample(modality, number, chance),
        )
        for number in range(12)
    ]
    pairs = tuple(Confused(truth=names[n], taken_for=names[n + 1], before=9 - n, after=18 - 2 * n) for n in range(3))
    matrix = Confusion(classes=names, before=before, after=after)
    return Lost(classes=tuple(listed), confusion=matrix, confused=pairs, flipped=tuple(flipped))


def _matrix(size: int, wrong: int, chance: random.Random) -> tuple[tuple[int, ...], ...]:
    return tuple(
        tuple(
            chance.randint(180, 240) if row == column else max(0, chance.randint(-6, wrong)) for column in range(size)
        )
        for row in range(size)
    )


def _class(names: tuple[str, ...], number: int, before: Any, after: Any) -> ClassLoss:
    def share(counts: Any, whole: int) -> float:
        return float(counts[number][number] / whole)

    return ClassLoss(
        name=names[number],
        samples=sum(before[number]),
        recall_before=share(before, sum(before[number])),
        recall_after=share(after, sum(after[number])),
        precision_before=share(before, sum(row[number] for row in before)),
        precision_after=share(after, sum(row[number] for row in after)),
    )


def layers(count: int, chance: random.Random) -> Layers:
    rows = []
    for number in range(count):
        wide = 16 * 2 ** min(6, number * 7 // count)
        weights = wide * wide * 9
        left = int(weights * (0.4 if 0 < number < count - 1 else 1.0))
        macs = int(weights * 4096 / wide)
        before = LayerCost(
            shape=(wide, wide, 3, 3), parameters=weights, nonzero=weights, size_bytes=4 * weights, bits=32, macs=macs
        )
        after = LayerCost(
            shape=(int(wide * 0.4), wide, 3, 3) if left < weights else (wide, wide, 3, 3),
            parameters=left,
            nonzero=int(left * chance.uniform(0.9, 1)),
            size_bytes=left + 64,
            bits=8,
            macs=int(macs * left / weights),
        )
        name = f"backbone.stage{number * 4 // count + 1}.block{number % 6}.conv{number}"
        same = number in (0, count - 1) or number % 3 == 0
        why: Absent | None = None if same else ("other shape", "merged")[number % 2]
        rows.append(
            LayerReport(
                name=name,
                kind="Conv2d" if number < count - 1 else "Linear",
                before=before,
                after=after,
                sqnr_db=chance.uniform(18, 38) if same else None,
                no_noise=why,
                sensitivity=abs(chance.gauss(0, 0.004)) if same else None,
                no_sensitivity=why,
            )
        )
    return Layers(rows=tuple(rows), samples=256, metric="agreement")


def _trust(modality: str, chance: random.Random) -> Trust:
    metric: MetricName = "r2" if modality == "tabular" else "accuracy"
    tried = tuple(
        _disturbance(name, strength * times, unit, times, chance)
        for name, strength, unit in _DISTURBED[modality]
        for times in ((1,) if name == "adversarial" else (0.5, 1, 2))
    )
    calibrated = None
    if modality != "tabular":
        calibrated = Calibration(samples=2500, before=_reliability(0.03), after=_reliability(0.08))
    return Trust(
        calibration=calibrated,
        metric=metric,
        samples=255,
        clean_before=0.918,
        clean_after=0.912,
        clean_before_interval=(0.88, 0.945),
        clean_after_interval=(0.87, 0.94),
        clean_drop=0.006,
        clean_drop_interval=(-0.004, 0.016),
        disturbances=tried,
    )


def _disturbance(name: str, strength: float, unit: str, times: float, chance: random.Random) -> Disturbance:
    before = 0.918 - chance.uniform(0.02, 0.15) * times
    drop = chance.uniform(-0.01, 0.05) * times + 0.006
    found = {"name": name, "strength": strength, "unit": unit, "before": before, "after": before - drop}
    intervals = {"before_interval": (before - 0.03, before + 0.03), "after_interval": (before - drop - 0.03, before)}
    further = {"further": drop - 0.006, "further_interval": (drop - 0.026, drop + 0.014)}
    paired = {"drop": drop, "drop_interval": (drop - 0.02, drop + 0.02), **further}
    return Disturbance.model_validate({**found, **intervals, **paired})


def _reliability(gap: float) -> Reliability:
    bins = []
    for number in range(10):
        low, samples = number / 10, int(4 * 2.1**number)
        there = number >= 2
        sure, right = low + 0.055, max(0.0, low + 0.055 - gap - 0.02 * math.sin(number))
        bins.append(
            ReliabilityBin(
                low=low,
                high=low + 0.1,
                samples=samples if there else 0,
                confidence=sure if there else None,
                accuracy=right if there else None,
            )
        )
    return Reliability(ece=gap, bins=tuple(bins))


def _looks(modality: str, chance: random.Random) -> Looks:
    return Looks(looks=tuple(_look(modality, number, chance) for number in range(4)), similarity=0.81)


def _look(modality: str, number: int, chance: random.Random) -> Look:
    names: tuple[str, ...] = ()
    rows, columns = 8, 8
    if modality == "text":
        names = tuple(_TEXT.rstrip(".").split())
    elif modality == "tabular":
        names = _COLUMNS
    if modality != "image":
        rows, columns = 1, len(names) or 20
    middle = (rows * 0.35, columns * (0.3 + 0.1 * number))
    before = tuple(
        math.exp(-(((at // columns) - middle[0]) ** 2 + (at % columns - middle[1]) ** 2) / 5)
        - 0.04
        + chance.gauss(0, 0.03)
        for at in range(rows * columns)
    )
    says = classes(modality) or ("4.31", "7.02", "2.20", "5.5")
    return Look(
        sample=number * 40,
        truth=says[number],
        before_says=says[number],
        after_says=says[(number + number // 3) % 4],
        shown=sample(modality, number, chance),
        rows=rows,
        columns=columns,
        names=names,
        before=before,
        after=tuple(each * 0.8 + chance.gauss(0, 0.06) for each in before),
        similarity=0.9 - number / 12,
    )


def _curves(chance: random.Random) -> tuple[Curve, ...]:
    pruned = [_curve(0, phase, 2, chance) for phase in range(4)]
    pruned[2] = pruned[2].model_copy(update={"resumed": (1.0,)})
    judged = Curve(
        step=1,
        name="validation accuracy",
        points=tuple((at + 1.0, 0.9 + 0.017 * (1 - math.exp(-at / 3))) for at in range(12)),
    )
    return (*pruned, _curve(1, 0, 12, chance), judged)


def _curve(step: int, phase: int, epochs: int, chance: random.Random) -> Curve:
    points = tuple((at + 1.0, 0.3 + math.exp(-at / 4) + chance.uniform(0, 0.05) - phase * 0.03) for at in range(epochs))
    return Curve(step=step, phase=phase, name="loss", points=points)


def _usage(name: str) -> Usage:
    code = f'''import numpy as np
import onnxruntime

# preprocessing.json says how a picture becomes this input: 32 by 32, scaled to 0..1, normalized, channels first.
sample = {{"input": np.zeros((1, 3, 32, 32), dtype=np.float32)}}
session = onnxruntime.InferenceSession("{name}")
for output, value in zip(session.get_outputs(), session.run(None, sample)):
    print(output.name, value.dtype, value.shape)
'''
    return Usage(artifact=name, needs=("numpy", "onnxruntime"), code=code, printed="output float32 (1, 10)\n")
