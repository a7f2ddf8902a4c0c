"""Paired differences, constraints, and what is said first."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.compare import check_constraints, compare, headline, verdict_of
from engine.data import Dataset, Split
from engine.latency import timing
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
    assert said[2] == "min_speedup is not met: 0.25, and the limit is 2, short of it by 1.75."
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


@pytest.mark.parametrize(("limit", "said"), [(0.015, True), (0.2, False), (0.005, False)])
def test_a_limit_that_too_few_samples_have_met_is_said(limit: float, said: bool) -> None:
    before, after = answers([0] * 100), answers([1] + [0] * 99)
    found = compare(measured(1, 1), measured(1, 1), before, after, of(np.zeros(100, int), classes=True, count=100))
    results = check_constraints(Constraints(max_metric_drop=limit), found)
    lines = " ".join(headline(found, results, measured(1, 1), measured(1, 1)))
    assert ("is met by what was measured, and 100 samples cannot tell for sure" in lines) is said


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


CONSTRAINTS = Constraints(max_metric_drop=0.1, min_compression_ratio=2, min_speedup=4)


@pytest.mark.parametrize(
    ("size", "latency", "wrong", "binding"),
    [
        (10, 0.1, 0, "max_metric_drop"),  # the whole of it is left; of the others ten times and five times
        (40, 0.1, 0, "min_compression_ratio"),
        (10, 0.4, 0, "min_speedup"),
        (99, 1.9, 2, "max_metric_drop"),  # none is met: five times the limit, half of it, three quarters of it
        (99, 1.9, 0, "min_speedup"),
    ],
)
def test_the_constraint_that_binds_is_nearest_to_its_limit_or_furthest_beyond(
    size: float, latency: float, wrong: int, binding: str
) -> None:
    before, after = measured(100, 2), measured(size, latency)
    said = answers([9] * wrong + [0, 1, 2, 3][wrong:])
    found = compare(before, after, answers([0, 1, 2, 3]), said, samples([0, 1, 2, 3]))
    results = check_constraints(CONSTRAINTS, found)
    assert [each.name for each in results if each.binds] == [binding]


@pytest.mark.parametrize(("wrong", "binding"), [(0, "max_metric_drop"), (1, "max_metric_drop")])
def test_no_drop_at_all_binds_like_nothing_else(wrong: int, binding: str) -> None:
    said = answers([9] * wrong + [0, 1, 2, 3][wrong:])
    found = compare(measured(100, 2), measured(50, 1), answers([0, 1, 2, 3]), said, samples([0, 1, 2, 3]))
    results = check_constraints(Constraints(max_metric_drop=0, min_speedup=2), found)
    assert [each.name for each in results if each.binds] == [binding]
    assert check_constraints(Constraints(), found) == ()


@pytest.mark.parametrize(
    ("interval", "latency", "said"),
    [
        ((0.95, 1.21), 1.87, "95 % interval 0.95 to 1.21 times as fast"),
        ((0.7, 1.01), 2.5, "95 % interval 0.70 to 1.01 times as fast"),
        ((0.99, 1.01), 2.01, "2.00 times smaller, the latency unchanged."),
        ((1.02, 1.12), 1.87, "1.07 times faster"),
        ((0.7, 0.9), 2.5, "1.25 times slower than its baseline"),
    ],
)
def test_a_speedup_whose_interval_holds_one_is_none(interval: tuple[float, float], latency: float, said: str) -> None:
    before, after = measured(100, 2), measured(50, latency)
    found = compare(before, after, answers([0]), answers([0]), samples([0]), 0, interval)
    lines = " ".join(headline(found, (), before, after))
    assert found.speedup_interval == interval and said in lines
    certain = not interval[0] <= 1 <= interval[1]
    assert ("the latency unchanged" in lines) is not certain
    assert ("slower" in lines or "faster" in lines) is certain


def timed(latency: float, *runs: tuple[int, int, float]) -> Measurement:
    """``runs`` are threads, batch size and milliseconds."""
    found = tuple(timing(np.full(9, ms / 1e3), threads, batch) for threads, batch, ms in ((1, 1, latency), *runs))
    return measured(100, latency).model_copy(update={"timings": found})


def test_slower_anywhere_is_said_first() -> None:
    before, after = timed(2, (1, 8, 8), (4, 8, 3), (4, 32, 8)), timed(1, (1, 8, 4), (4, 8, 4.5), (4, 32, 9))
    found = compare(before, after, answers([0]), answers([0]), samples([0]), 0, (1.9, 2.1))
    lines = headline(found, (), before, after)
    assert lines[0] == "With 4 threads and 8 samples at once the result is 1.50 times slower than its baseline."
    assert "2.00 times faster" in lines[1]
    assert "With" not in " ".join(headline(found, (), after, after))


@pytest.mark.parametrize(("memory", "said"), [(150e6, "1.50 times the memory"), (104e6, None), (20e6, None)])
def test_more_memory_is_bad_news(memory: float, said: str | None) -> None:
    before, after = (
        measured(100, 2).model_copy(update={"metrics": (*measured(100, 2).metrics, metric("peak_memory_bytes", held))})
        for held in (100e6, memory)
    )
    found = compare(before, after, answers([0]), answers([0]), samples([0]))
    lines = headline(found, (), before, after)
    assert (said in lines[0]) if said else not any("memory" in line for line in lines)
