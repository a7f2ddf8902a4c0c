"""Paired differences, constraints, and what is said first."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.compare import check_constraints, compare, headline, paired_interval, verdict_of
from engine.data import Dataset, Split
from engine.measure import Answers, Candidate, Samples, measurement, metric, sqnr_db
from engine.objective import objective
from pith.job import Constraints
from pith.report import Measurement


def measured(size: float, latency: float, accuracy: float = 0.5) -> Measurement:
    return Measurement(
        metrics=(
            metric("size_bytes", size),
            metric("latency_median_ms", latency),
            metric("accuracy", accuracy),
        )
    )


def samples(y: list[int] | None) -> Samples:
    labels = None if y is None else np.array(y)
    return of(labels, classes=True, count=4)


def of(labels: NDArray[Any] | None, classes: bool, count: int, dataset: Dataset | None = None) -> Samples:
    split = Split((np.zeros((count, 1), np.float32),), labels)
    return Samples(split, (np.dtype("float32"),), classes, "test split", objective(dataset))


def answers(chosen: list[int]) -> Answers:
    return Answers(np.array(chosen))


def test_flips_are_counted_each_way() -> None:
    found = compare(
        measured(100, 4), measured(25, 2), answers([0, 1, 2, 3]), answers([0, 1, 9, 1]), samples([0, 1, 2, 1])
    )
    assert (found.compression_ratio, found.speedup) == (4, 2)
    assert (found.flipped_to_wrong, found.flipped_to_right, found.quality_drop) == (1, 1, 0)


def test_without_labels_the_baseline_is_the_truth() -> None:
    found = compare(measured(1, 1), measured(1, 1), answers([0, 1, 2, 3]), answers([0, 1, 2, 0]), samples(None))
    assert found.quality == "agreement" and found.quality_drop == 0.25


@given(st.integers(1, 2000), st.data())
def test_the_interval_holds_the_difference_and_narrows_with_samples(n: int, data: st.DataObject) -> None:
    lost = data.draw(st.integers(0, n))
    won = data.draw(st.integers(0, n - lost))
    low, high = paired_interval(lost, won, n)
    assert -1 <= low <= high <= 1
    centre = (lost - won) / (n + 2)
    assert low <= centre + 1e-9 and high >= centre - 1e-9
    wider = high - low
    low, high = paired_interval(lost * 4, won * 4, n * 4)
    assert high - low <= wider + 1e-9


def test_no_flip_is_not_certainty() -> None:
    low, high = paired_interval(0, 0, 100)
    assert low < 0 < high


@pytest.mark.parametrize(
    ("limit", "drop_of", "met"), [(0.01, 10, True), (0.01, 11, False), (0.0, 0, True), (0.003, 3, True)]
)
def test_a_drop_at_the_limit_is_met(limit: float, drop_of: int, met: bool) -> None:
    before = answers([0] * 1000)
    after = answers([1] * drop_of + [0] * (1000 - drop_of))
    data = of(np.zeros(1000, int), classes=True, count=1000)
    found = compare(measured(1, 1), measured(1, 1), before, after, data)
    (result,) = check_constraints(Constraints(max_metric_drop=limit), found)
    assert result.met is met and (result.margin >= -1e-12) is met


def test_bad_news_comes_first() -> None:
    slower, larger = measured(300, 8, 0.75), measured(100, 2, 1.0)
    found = compare(larger, slower, answers([0, 1, 2, 3]), answers([0, 1, 2, 0]), samples([0, 1, 2, 3]))
    results = check_constraints(Constraints(min_speedup=2, min_compression_ratio=0.1), found)
    said = headline(found, results, larger, slower)
    assert verdict_of(results) == "not_met"
    assert said[0] == "The result is 4.00 times slower than its baseline."
    assert said[1] == "The result is 3.00 times larger than its baseline."
    assert said[2] == "min_speedup is not met: 0.25, and the limit is 2."
    assert "Accuracy 1.0000 → 0.7500 on 4 samples of the test split: -0.2500, 95 % interval" in said[-1]
    assert "1 sample became wrong, 0 right" in said[-1] and not any("times smaller" in line for line in said)


@pytest.mark.parametrize(
    ("size", "latency", "said"),
    [
        (25, 1, "4.00 times smaller, 2.00 times faster."),
        (100, 2.01, "The size unchanged, the latency unchanged."),
        (99, 1.99, "The size unchanged, the latency unchanged."),
        (50, 2, "2.00 times smaller, the latency unchanged."),
        (50, 4, "2.00 times smaller."),
    ],
)
def test_noise_is_no_news_and_nothing_is_said_twice(size: float, latency: float, said: str) -> None:
    before, after = measured(100, 2), measured(size, latency)
    found = compare(before, after, answers([0, 1, 2, 3]), answers([0, 1, 2, 3]), samples([0, 1, 2, 3]))
    lines = headline(found, (), before, after)
    assert said in lines and any("slower" in line for line in lines) == (latency > 3)


def test_a_model_that_is_destroyed_is_called_so_first() -> None:
    noisy = Measurement(metrics=(*measured(1, 1).metrics, metric("sqnr_db", -0.9)))
    data = replace(of(None, classes=False, count=4), origin="random inputs")
    raw = Answers(raw=(np.ones((4, 2), np.float32),))
    found = compare(measured(100, 1), noisy, raw, raw, data)
    said = headline(found, (), measured(100, 1), noisy)
    assert "little to do with the baseline" in said[0]
    assert said[-1] == (
        "Outputs match the baseline's to -0.9 dB of signal to noise (SQNR; more is closer: above 30 is close, below 3 "
        "is another model), on random inputs, as there was no data."
    )


def test_no_constraints_is_no_verdict() -> None:
    assert verdict_of(()) == "unconstrained"


def test_signal_to_noise() -> None:
    signal = np.ones(100, np.float32)
    assert sqnr_db(signal, signal) == 200
    assert sqnr_db(signal, signal * 0.9) == pytest.approx(20, abs=0.01)


def test_latency_is_median_and_95th_percentile_in_milliseconds() -> None:
    found = measurement(Candidate({}, None), np.arange(1, 101) / 1000, [])  # type: ignore[arg-type]
    assert found.get("latency_median_ms") == pytest.approx(50.5) and found.get("latency_p95_ms") == pytest.approx(95.05)
