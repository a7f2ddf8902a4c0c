"""Changes have a sign and words, and say no more than is known."""

import pytest

from pith.faces import trade, words
from pith.faces.words import Change
from pith.report import Comparison, ConstraintResult
from tests import reports


@pytest.mark.parametrize(
    ("name", "before", "after", "said"),
    [
        ("size_bytes", 4e6, 1e6, ("−75.0 %, 4.00 times smaller", "better")),
        ("size_bytes", 1e6, 1e6, ("unchanged", "same")),
        ("macs", 0, 5, ("more", "worse")),
        ("latency_median_ms", 1.0, 1.5, ("+50.0 %, 1.50 times slower", "worse")),
        ("latency_median_ms", 1.0, 1.01, ("+1.0 %, about the same", "same")),
        ("accuracy", 0.9, 0.8875, ("−1.25 points, worse", "worse")),
        ("accuracy", 0.9, 0.9, ("unchanged", "same")),
        ("loss", 0.5, 0.25, ("−0.2500, better", "better")),
        ("sqnr_db", 10, 12.5, ("+2.5 dB, better", "better")),
        ("r2", None, 0.5, ("–", "same")),
    ],
)
def test_a_change_in_words(name: str, before: float | None, after: float, said: tuple[str, str]) -> None:
    found = words.change(name, before, after)
    assert (found.text.replace(words.SPACE, " "), found.tone) == said


@pytest.mark.parametrize(
    ("value", "name", "said"),
    [
        (985, "size_bytes", "985 bytes"),
        (2.5e9, "peak_memory_bytes", "2.50 GB"),
        (0.0131, "latency_p95_ms", "13.1 µs"),
        (12.345, "latency_p95_ms", "12.3 ms"),
        (-3.25, "sqnr_db", "−3.2 dB"),
        (None, "macs", "–"),
    ],
)
def test_a_number_with_its_unit(value: float | None, name: str, said: str) -> None:
    assert words.number(value, name).replace(words.SPACE, " ") == said


def test_a_speedup_that_may_be_none_is_no_change() -> None:
    found = reports.report()
    sure = found.comparison.model_copy(update={"speedup_interval": (0.97, 2.4)})
    assert trade.change(found, "latency_median_ms").tone == "better"
    unsure = trade.change(found.model_copy(update={"comparison": sure}), "latency_median_ms")
    assert unsure == Change(f"−52.4{words.SPACE}%, the same as far as can be told", "same")


@pytest.mark.parametrize(("since", "before", "points"), [(None, 0.9188, 4), (0, 0.8996, 3), (2, None, 0)])
def test_quality_is_counted_from_where_outputs_mean_the_same(
    since: int | None, before: float | None, points: int
) -> None:
    found = reports.report()
    comparison = Comparison.model_validate({**found.comparison.model_dump(), "quality_since": since})
    found = found.model_copy(update={"comparison": comparison})
    assert trade.before(found, "accuracy") == before
    drawn = trade.against_size(found)
    assert (0 if drawn is None else drawn.count("<circle")) == points


@pytest.mark.parametrize(
    ("value", "met", "said"),
    [(0.02, False, "missed by 0.0100"), (0.01, True, "exactly met"), (0.002, True, "0.0080 to spare")],
)
def test_a_margin_in_words(value: float, met: bool, said: str) -> None:
    each = ConstraintResult(name="max_metric_drop", limit=0.01, value=value, met=met, margin=0.01 - value, binds=True)
    assert words.margin(each) == said and words.binding(each).endswith(f"{said}.")


@pytest.mark.parametrize(
    ("constraints", "said"),
    [
        ("", "No constraints were given"),
        ("+", "The constraint is met"),
        ("-", "The constraint is not met"),
        ("++", "Both constraints are met"),
        ("+++", "All 3 constraints are met"),
        ("+-", "1 of 2 constraints is not met"),
        ("--", "2 of 2 constraints are not met"),
    ],
)
def test_a_verdict_in_words(constraints: str, said: str) -> None:
    one = ConstraintResult(name="min_speedup", limit=1, value=1, met=True, margin=0)
    given = tuple(one.model_copy(update={"met": each == "+"}) for each in constraints)
    assert words.verdict(reports.report(constraints=given)) == said
