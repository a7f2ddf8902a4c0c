"""Intervals hold what they are about as often as they say, and never leave out the figure itself."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.intervals import mean_interval, median_interval, paired_interval, ratio_interval, share_interval

FLOATS = st.floats(1e-6, 1e6)


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


def test_the_interval_of_a_mean_is_student_s() -> None:
    noise = np.random.default_rng(1)
    for freedom, quantile in ((1, 12.7062), (9, 2.2622), (10, 2.2281), (11, 2.2010), (29, 2.0452), (999, 1.9623)):
        differences = noise.normal(0.3, 1, freedom + 1)
        low, high = mean_interval(differences) or (0, 0)
        assert (low + high) / 2 == pytest.approx(differences.mean())
        half = quantile * differences.std(ddof=1) / (freedom + 1) ** 0.5
        assert (high - low) / 2 == pytest.approx(half, rel=2e-3)
    assert mean_interval(np.ones(1)) is None and mean_interval(np.zeros(5)) == (0, 0)


@given(st.integers(1, 5000), st.data())
def test_a_share_lies_in_its_interval_which_is_the_same_from_the_other_side(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = share_interval(right, n)
    assert 0 <= low <= right / n <= high <= 1 and low < high
    assert share_interval(n - right, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


def test_a_share_has_wilson_s_interval() -> None:
    """Brown, Cai and DasGupta 2001: 0 of 10 and 5 of 10."""
    assert share_interval(0, 10) == pytest.approx((0, 0.2775), abs=1e-4)
    assert share_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


@given(st.lists(FLOATS, min_size=1, max_size=320))
def test_a_median_lies_in_its_interval_which_is_made_of_what_was_measured(numbers: list[float]) -> None:
    low, high = median_interval(np.array(numbers))
    assert low in numbers and high in numbers and low <= np.median(numbers) <= high
    assert len(numbers) >= 6 or (low, high) == (min(numbers), max(numbers))


@pytest.mark.parametrize(("count", "cut"), [(6, 0), (8, 0), (9, 1), (20, 5), (100, 39), (300, 132)])
def test_the_interval_of_a_median_is_that_of_tables(count: int, cut: int) -> None:
    """The binomial distribution's: of 20 numbers the 6th and the 15th, of 100 the 40th and the 61st."""
    shuffled = np.random.default_rng(3).permutation(count).astype(float)
    assert median_interval(shuffled) == (cut, count - 1 - cut)


def test_a_median_s_interval_misses_it_as_rarely_as_it_says() -> None:
    chance = np.random.default_rng(5)
    held = [low <= 1 <= high for low, high in (median_interval(np.exp2(chance.normal(0, 2, 50))) for _ in range(1000))]
    assert 0.93 < np.mean(held) <= 1


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=40), st.floats(0.01, 100))
def test_a_ratio_lies_in_its_interval_which_grows_as_it_does(rounds: list[tuple[float, float]], factor: float) -> None:
    before, after = np.array(rounds).T
    low, high = ratio_interval(before, after)
    assert low <= np.median(before) / np.median(after) <= high
    assert ratio_interval(before * factor, after) == pytest.approx((low * factor, high * factor))
    assert ratio_interval(before, before) == (1, 1)


def test_what_slows_a_whole_round_down_is_no_difference() -> None:
    """A machine that is busy half of the time: each model's own times vary by ten, and their ratio does not."""
    chance = np.random.default_rng(7)
    busy = np.where(chance.random(200) < 0.5, 10.0, 1.0)
    before, after = 2.0 * busy * chance.normal(1, 0.01, 200), busy * chance.normal(1, 0.01, 200)
    low, high = ratio_interval(before, after)
    assert 1.9 < low <= 2 <= high < 2.1 and np.ptp(before) > 10
