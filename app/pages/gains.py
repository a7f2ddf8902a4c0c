"""What a job has gained and lost, as a list can say it: a few words each, with a tone."""

from collections.abc import Iterator
from typing import NamedTuple

from pith.faces import words
from pith.faces.words import Change, Tone
from pith.metrics import MetricName
from pith.outcome import Outcome, Reached

_LOWER = ("loss", "rmse", "mae")
_SHORT: dict[MetricName, str] = {"r2": "R²", "sqnr_db": "signal to noise"}


class Gain(NamedTuple):
    """``text`` is for below the name, ``alone`` for where there is no name."""

    name: str
    text: str
    alone: str
    tone: Tone


def gains(outcome: Outcome) -> Iterator[Gain]:
    """Size, speed and, where there were data, quality."""
    size, speed = _times(outcome.compression_ratio, "smaller", "larger"), _speed(outcome)
    yield Gain("Size", size.text, size.text, size.tone)
    yield Gain("Speed", speed.text, speed.text, speed.tone)
    if outcome.quality is not None and outcome.quality_drop is not None:
        called = _SHORT.get(outcome.quality, outcome.quality.replace("_", " "))
        moved = _quality(outcome.quality, outcome.quality_drop, outcome.quality_drop_interval)
        yield Gain(called[0].upper() + called[1:], moved.text, f"{called} {moved.text}", moved.tone)


def reached(each: Reached) -> str:
    """``Times smaller, at least 4.00: it is 3.10``."""
    limit, value = (
        f"{one:.4f}" if each.name == "max_metric_drop" else f"{one:.2f}" for one in (each.limit, each.value)
    )
    return f"{words.CONSTRAINTS[each.name]} {limit}: it is {words.minus(value)}"


def doubt(outcome: Outcome) -> str:
    """What samples that are too few leave open of a limit that was kept; nothing, mostly."""
    between = outcome.quality_drop_interval
    limits = [each.limit for each in outcome.constraints if each.name == "max_metric_drop" and each.met]
    if between is None or not limits or between[1] <= limits[0]:
        return ""
    return f"The samples are too few to be sure: it may be {between[1]:.4f} (95 % interval)."


def _times(ratio: float, more: str, less: str) -> Change:
    if ratio <= 0:
        return Change("–", "same")
    if abs(ratio - 1) < 0.005:
        return Change("as large", "same")
    text = words.factor(max(ratio, 1 / ratio))
    return Change(f"{text}× {more}", "better") if ratio > 1 else Change(f"{text}× {less}", "worse")


def _speed(outcome: Outcome) -> Change:
    """An interval that holds 1 is no speedup, as in the report."""
    between = outcome.speedup_interval
    if abs(outcome.speedup - 1) < words.NOISE or (between is not None and between[0] <= 1 <= between[1]):
        return Change("as fast", "same")
    return _times(outcome.speedup, "faster", "slower")


def _quality(name: MetricName, drop: float, between: tuple[float, float] | None) -> Change:
    """An interval that holds 0 is neither a loss nor a gain."""
    moved = drop if name in _LOWER else -drop
    text = f"{words.signed(100 * moved, '.2f')} points" if name in ("accuracy", "agreement") else ""
    text = text or words.signed(moved)
    if not any(digit in text for digit in "123456789"):
        return Change("unchanged", "same")
    if between is not None and between[0] <= 0 <= between[1]:
        return Change(text, "same")
    return Change(text, "worse" if drop > 0 else "better")
