"""Paired differences, constraints, and what is said first."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compare import check_constraints, compare, headline, paired_interval, verdict_of
from engine.measure import Answers, Candidate, Samples, measurement, metric, sqnr_db
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
    return Samples(np.zeros((4, 1), np.float32), labels, np.dtype("float32"), True)


def answers(chosen: list[int]) -> Answers:
    return Answers(np.array(chosen), None)


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
    data = Samples(np.zeros((1000, 1), np.float32), np.zeros(1000, int), np.dtype("float32"), True)
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
    assert "accuracy 1.0000 → 0.7500 on 4 samples" in said[-1] and "1 samples became wrong, 0 right" in said[-1]


def test_no_constraints_is_no_verdict() -> None:
    assert verdict_of(()) == "unconstrained"


def test_signal_to_noise() -> None:
    signal = np.ones(100, np.float32)
    assert sqnr_db(signal, signal) == 200
    assert sqnr_db(signal, signal * 0.9) == pytest.approx(20, abs=0.01)


def test_latency_is_median_and_95th_percentile_in_milliseconds() -> None:
    found = measurement(Candidate({}, None), np.arange(1, 101) / 1000, [])  # type: ignore[arg-type]
    assert found.get("latency_median_ms") == pytest.approx(50.5) and found.get("latency_p95_ms") == pytest.approx(95.05)
