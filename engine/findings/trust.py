"""How far answers can be trusted: whether confidence means what it says, and what disturbances do to quality.

Both models see the same disturbed samples; an attack is made against each by itself.
"""

import math

import numpy as np
from numpy.typing import NDArray

from engine.findings.asked import Asked, affordable, drawn, instead
from engine.findings.attack import TRIES, attacked
from engine.findings.disturb import ADVERSARIAL, DISTURBANCES, furthest, reaches
from engine.findings.evidence import Evidence, LeftOut
from engine.findings.exam import Exam, exam
from engine.findings.form import Form, form_of
from engine.findings.lost import check_data
from engine.measure import Answers, Samples
from engine.randomness import stream
from pith.findings.trust import Calibration, Disturbance, DisturbanceName, Reliability, ReliabilityBin, Trust

BINS = 10
SAMPLES = range(16, 257)
DRAWN, DISTURBED, ATTACKED = 2_000_003, 2_000_029, 2_000_039


def trust(evidence: Evidence) -> Trust:
    """
    Raises:
        LeftOut: there is neither a confidence to check nor anything to disturb.
    """
    samples = evidence.samples
    check_data(samples)
    before, after = evidence.answers()
    found = Trust(calibration=calibration(before, after, samples))
    form = form_of(samples, evidence.ctx.dataset)
    most, attack = _affordable(evidence, form)
    if most:
        rows = drawn(samples, most, evidence.ctx.spec.seed, DRAWN)
        models = tuple(Asked(path, evidence.ctx.job.threads) for path in evidence.pair())
        return under_stress(found, exam(samples, before, rows), form, models, evidence.ctx.spec.seed, attack)
    if found.calibration is None:
        raise LeftOut("; ".join(evidence.missing.pop("trust")))
    return found


def _affordable(evidence: Evidence, form: Form) -> tuple[int, bool]:
    """How many samples may be disturbed, and whether they may be attacked too; what is missing is said."""
    kinds = len(DISTURBANCES[form.kind])
    if not kinds:
        evidence.lacks("trust", "nothing was disturbed: nobody has said what the integers mean that go into the model")
        return 0, False
    runs = affordable((evidence.candidates[evidence.since], evidence.candidates[-1]))
    if form.kind in ADVERSARIAL and runs // (kinds + TRIES + 2) >= SAMPLES.start:
        return min(SAMPLES.stop - 1, runs // (kinds + TRIES + 2)), True
    most = min(SAMPLES.stop - 1, runs // (kinds + 1))
    if most < SAMPLES.start:
        evidence.lacks("trust", "nothing was disturbed: the model computes too much for so many further runs")
        return 0, False
    if form.kind in ADVERSARIAL:
        evidence.lacks("trust", "nothing was attacked: the model computes too much for so many further runs")
    return most, False


def calibration(before: Answers, after: Answers, samples: Samples) -> Calibration | None:
    """None where there are no classes, or no labels, since a baseline that is its own truth is always right."""
    if samples.split.y is None or before.confidence is None or after.confidence is None:
        return None
    right = [answers.chosen == samples.split.y for answers in (before, after)]
    return Calibration(
        samples=len(samples),
        before=reliability(before.confidence, np.asarray(right[0])),
        after=reliability(after.confidence, np.asarray(right[1])),
    )


def reliability(confidence: NDArray[np.float64], right: NDArray[np.bool_]) -> Reliability:
    """Bins of equal width; the error is the mean of their gaps, weighed by their samples."""
    places = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    found, error = [], 0.0
    for place in range(BINS):
        mine = places == place
        count = int(mine.sum())
        sure = float(confidence[mine].mean()) if count else None
        accuracy = float(right[mine].mean()) if count else None
        if sure is not None and accuracy is not None:
            error += count / len(right) * abs(sure - accuracy)
        found.append(
            ReliabilityBin(low=place / BINS, high=(place + 1) / BINS, samples=count, confidence=sure, accuracy=accuracy)
        )
    return Reliability(ece=min(error, 1.0), bins=tuple(found))


def under_stress(found: Trust, given: Exam, form: Form, models: tuple[Asked, ...], seed: int, attack: bool) -> Trust:
    """What is ``found`` already, and both models' quality on these samples, undisturbed and disturbed."""
    clean = [given.quality(model.first(given.x)) for model in models]
    disturbances = [_disturbed(given, form, models, seed, index) for index in range(len(DISTURBANCES[form.kind]))]
    if attack:
        disturbances.append(_attacked(given, form, models, seed))
    return found.model_copy(
        update={
            "metric": given.samples.quality,
            "samples": len(given),
            "clean_before": clean[0] if math.isfinite(clean[0]) else None,
            "clean_after": clean[1] if math.isfinite(clean[1]) else None,
            "disturbances": tuple(each for each in disturbances if each is not None),
        }
    )


def _disturbed(given: Exam, form: Form, models: tuple[Asked, ...], seed: int, index: int) -> Disturbance | None:
    change = DISTURBANCES[form.kind][index]
    random = np.random.default_rng(stream(seed, DISTURBED, index))
    x = instead(given.x, form.place, change.make(form, given.x[form.place], change.strength, random))
    qualities = [given.quality(model.first(x)) for model in models]
    return _told(change.name, change.strength, change.unit, qualities)


def _attacked(given: Exam, form: Form, models: tuple[Asked, ...], seed: int) -> Disturbance | None:
    strength, unit = ADVERSARIAL[form.kind]
    return _told("adversarial", strength, unit, [_under_attack(given, form, model, seed) for model in models])


def _under_attack(given: Exam, form: Form, model: Asked, seed: int) -> float:
    values = given.x[form.place]

    def margin(tried: NDArray[np.generic], rows: NDArray[np.int64]) -> NDArray[np.float64]:
        x = instead(tuple(each[rows] for each in given.x), form.place, tried)
        return given.margin(model.first(x), rows)

    worst = attacked(
        margin,
        values,
        furthest(form, values, ADVERSARIAL[form.kind][0]),
        reaches(form, values),
        flat=form.kind not in ("image", "spectrogram"),
        won=given.wrong,
        random=np.random.default_rng(stream(seed, ATTACKED)),
    )
    return given.quality(model.first(instead(given.x, form.place, worst)))


def _told(name: DisturbanceName, strength: float, unit: str, qualities: list[float]) -> Disturbance | None:
    """None for qualities that are no numbers."""
    if not all(map(math.isfinite, qualities)):
        return None
    return Disturbance(name=name, strength=strength, unit=unit, before=qualities[0], after=qualities[1])
