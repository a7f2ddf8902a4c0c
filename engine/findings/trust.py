"""How far answers can be trusted: whether confidence means what it says, and what disturbances do to quality.

Both models see the same disturbed samples; an attack is made against each by itself. Intervals are over the samples,
and not over what a disturbance draws at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.findings.asked import Asked, affordable, drawn, instead
from engine.findings.attack import TRIES, attacked
from engine.findings.disturb import ADVERSARIAL, DISTURBANCES, Change, furthest, reaches
from engine.findings.evidence import Evidence, LeftOut
from engine.findings.exam import Exam, exam
from engine.findings.form import Form, form_of
from engine.findings.lost import check_data
from engine.intervals import mean_interval
from engine.measure import Answers, Samples
from engine.randomness import stream
from pith.findings.trust import Calibration, Disturbance, DisturbanceName, Reliability, ReliabilityBin, Trust

BINS = 10
SAMPLES = range(16, 257)
WORTH = 64
"""With fewer samples each disturbance has one strength."""
DRAWN, DISTURBED, ATTACKED = 2_000_003, 2_000_029, 2_000_039

Costs = NDArray[np.float64]
Pair = list[Costs]
"""What each sample costs, before and after."""


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
    trials = _affordable(evidence, form)
    if trials is not None:
        rows = drawn(samples, trials.samples, evidence.ctx.spec.seed, DRAWN)
        models = tuple(Asked(path, evidence.ctx.job.threads) for path in evidence.pair())
        return under_stress(found, exam(samples, before, rows), form, models, evidence.ctx.spec.seed, trials)
    if found.calibration is None:
        raise LeftOut("; ".join(evidence.missing.pop("trust")))
    return found


@dataclass(frozen=True)
class Trials:
    """What a model may be asked: about how many samples, whether in all strengths, and whether they are attacked."""

    samples: int
    every_strength: bool = True
    attack: bool = False

    def strengths(self, change: Change) -> tuple[float, ...]:
        return change.strengths if self.every_strength else (change.strength,)


def _affordable(evidence: Evidence, form: Form) -> Trials | None:
    """None where nothing may be disturbed; what is missing is said."""
    changes = DISTURBANCES[form.kind]
    if not changes:
        evidence.lacks("trust", "nothing was disturbed: nobody has said what the integers mean that go into the model")
        return None
    runs = affordable((evidence.candidates[evidence.since], evidence.candidates[-1]))
    trials = _shared_out(runs, changes, form.kind in ADVERSARIAL)
    if trials is None:
        evidence.lacks("trust", "nothing was disturbed: the model computes too much for so many further runs")
    elif form.kind in ADVERSARIAL and not trials.attack:
        evidence.lacks("trust", "nothing was attacked: the model computes too much for so many further runs")
    return trials


def _shared_out(runs: int, changes: Sequence[Change], attack: bool) -> Trials | None:
    """The attack is given up after all strengths but one, and samples are fewer before that; each takes one run for
    itself and one for each disturbance in each strength, and an attack one for each try and two around them."""
    tries = TRIES + 2
    every = sum(len(change.strengths) for change in changes) + 1
    ways = [(WORTH, every, True, attack), (SAMPLES.start, len(changes) + 1, False, attack)]
    if attack:
        ways.append((SAMPLES.start, len(changes) + 1, False, False))
    for least, asked, every_strength, attacked_too in ways:
        most = min(SAMPLES.stop - 1, runs // (asked + tries * attacked_too))
        if most >= least:
            return Trials(most, every_strength, attacked_too)
    return None


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


def under_stress(found: Trust, given: Exam, form: Form, models: tuple[Asked, ...], seed: int, trials: Trials) -> Trust:
    """What is ``found`` already, and both models' quality on these samples, undisturbed and disturbed."""
    clean = [given.costs(model.first(given.x)) for model in models]
    disturbances = [
        _told(given, change.name, strength, change.unit, clean, _disturbed(given, form, models, seed, place, strength))
        for place, change in enumerate(DISTURBANCES[form.kind])
        for strength in trials.strengths(change)
    ]
    if trials.attack:
        strength, unit = ADVERSARIAL[form.kind]
        costs = [_under_attack(given, form, model, seed) for model in models]
        disturbances.append(_told(given, "adversarial", strength, unit, clean, costs))
    return found.model_copy(
        update={
            "metric": given.samples.quality,
            "samples": len(given),
            "disturbances": tuple(each for each in disturbances if each is not None),
            **_undisturbed(given, clean),
        }
    )


def _undisturbed(given: Exam, clean: Pair) -> dict[str, Any]:
    before, after = (given.quality(costs) for costs in clean)
    found: dict[str, Any] = {
        "clean_before": before and before.value,
        "clean_after": after and after.value,
        "clean_before_interval": before and before.interval,
        "clean_after_interval": after and after.interval,
    }
    if before is not None and after is not None:
        found["clean_drop"], found["clean_drop_interval"] = given.drop(*clean)
    return found


def _disturbed(given: Exam, form: Form, models: tuple[Asked, ...], seed: int, place: int, strength: float) -> Pair:
    """The same chances for every strength, so that a stronger one is more of the same."""
    random = np.random.default_rng(stream(seed, DISTURBED, place))
    change = DISTURBANCES[form.kind][place]
    x = instead(given.x, form.place, change.make(form, given.x[form.place], strength, random))
    return [given.costs(model.first(x)) for model in models]


def _under_attack(given: Exam, form: Form, model: Asked, seed: int) -> Costs:
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
    return given.costs(model.first(instead(given.x, form.place, worst)))


def _told(
    given: Exam, name: DisturbanceName, strength: float, unit: str, clean: Pair, costs: Pair
) -> Disturbance | None:
    """None for qualities that are no numbers."""
    before, after = (given.quality(each) for each in costs)
    if before is None or after is None:
        return None
    drop, interval = given.drop(*costs)
    more = (costs[1] - costs[0]) - (clean[1] - clean[0])
    known = bool(np.isfinite(more).all())
    return Disturbance(
        name=name,
        strength=strength,
        unit=unit,
        before=before.value,
        after=after.value,
        before_interval=before.interval,
        after_interval=after.interval,
        drop=drop,
        drop_interval=interval,
        further=float(more.mean()) if known else None,
        further_interval=mean_interval(more) if known else None,
    )
