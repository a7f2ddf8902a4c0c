"""What a job has gained, in the few words of a list."""

from typing import Any

import pytest

from app.pages.gains import doubt, gains, reached
from pith.outcome import Outcome, Reached


def said(**fields: Any) -> list[tuple[str, str]]:
    outcome = Outcome.model_validate({"compression_ratio": 1.0, "speedup": 1.0, **fields})
    return [(each.alone, each.tone) for each in gains(outcome)]


@pytest.mark.parametrize(
    ("fields", "size", "speed"),
    [
        ({"compression_ratio": 4.0, "speedup": 2.0}, ("4.00× smaller", "better"), ("2.00× faster", "better")),
        ({"compression_ratio": 0.5, "speedup": 0.25}, ("2.00× larger", "worse"), ("4.00× slower", "worse")),
        ({"compression_ratio": 1.001, "speedup": 1.01}, ("as large", "same"), ("as fast", "same")),
        ({"speedup": 1.3, "speedup_interval": (0.9, 1.6)}, ("as large", "same"), ("as fast", "same")),
        ({"compression_ratio": 250.0, "speedup": 0.0}, ("250× smaller", "better"), ("–", "same")),
    ],
)
def test_size_and_speed(fields: dict[str, Any], size: tuple[str, str], speed: tuple[str, str]) -> None:
    assert said(**fields) == [size, speed], "and nothing of a quality that was not measured"


@pytest.mark.parametrize(
    ("name", "drop", "words"),
    [
        ("accuracy", 0.012, ("accuracy −1.20 points", "worse")),
        ("accuracy", -0.005, ("accuracy +0.50 points", "better")),
        ("accuracy", 0.0, ("accuracy unchanged", "same")),
        ("rmse", 0.25, ("rmse +0.2500", "worse")),
        ("loss", -0.1, ("loss −0.1000", "better")),
        ("r2", 0.1, ("R² −0.1000", "worse")),
    ],
)
def test_quality(name: str, drop: float, words: tuple[str, str]) -> None:
    assert said(quality=name, quality_drop=drop)[2] == words


@pytest.mark.parametrize(
    ("between", "tone"), [((-0.01, 0.014), "same"), ((0.001, 0.003), "worse"), ((-0.003, -0.001), "better")]
)
def test_a_loss_that_may_be_none_is_not_called_worse(between: tuple[float, float], tone: str) -> None:
    drop = sum(between) / 2
    assert said(quality="accuracy", quality_drop=drop, quality_drop_interval=between)[2][1] == tone


@pytest.mark.parametrize(("upper", "met", "unsure"), [(0.03, True, True), (0.01, True, False), (0.03, False, False)])
def test_a_limit_that_may_be_missed_all_the_same(upper: float, met: bool, unsure: bool) -> None:
    limit = {"name": "max_metric_drop", "limit": 0.02, "value": 0.005, "met": met}
    told = {"compression_ratio": 2, "speedup": 2, "quality_drop_interval": (-0.01, upper), "constraints": [limit]}
    assert bool(doubt(Outcome.model_validate(told))) is unsure


def test_what_was_reached_of_a_constraint() -> None:
    drop = Reached(name="max_metric_drop", limit=0.01, value=-0.002, met=True)
    assert reached(drop) == "Quality lost, at most 0.0100: it is −0.0020"
    assert (
        reached(Reached(name="min_speedup", limit=2, value=1.5, met=False)) == "Times faster, at least 2.00: it is 1.50"
    )
