"""How the pages write numbers, times and lists of names."""

from collections.abc import Sequence
from datetime import UTC, datetime

from markupsafe import Markup

from pith.faces.words import LABELS
from pith.metrics import MetricName

_BYTES = ("bytes", "kB", "MB", "GB", "TB", "PB")
_COUNTS = ("", "k", "M", "G", "T", "P")


def size(value: int | None) -> str:
    """``33.9 MB``; – for None."""
    return "–" if value is None else _scaled(value, _BYTES)


def count(value: float | None) -> str:
    """``27.9 M``; – for None."""
    return "–" if value is None else _scaled(value, _COUNTS).strip()


def whole(value: int | None) -> str:
    """``8,474,378``; – for None."""
    return "–" if value is None else f"{value:,}"


def shape(value: tuple[int | None, ...] | None) -> str:
    """``batch × 3 × 32 × 32``, where the sizes that are not fixed have names; – for None."""
    if value is None:
        return "–"
    names = ("batch", *("any" for _ in value))
    sizes = (name if size is None else f"{size}" for name, size in zip(names, value, strict=False))
    return " × ".join(sizes) or "one number"


def capitalised(text: str) -> str:
    """The first letter alone, unlike Jinja's ``capitalize``."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


def dotted(name: str) -> Markup:
    """A dotted name, which may be broken after its dots."""
    return Markup(".<wbr>").join(name.split("."))


def metric(name: MetricName) -> str:
    """``accuracy``, ``SQNR (dB)``: inside a sentence."""
    label = {"sqnr_db": "SQNR (dB)", "r2": "R²", "rmse": "RMSE", "mae": "MAE"}.get(name)
    return label or LABELS[name].lower()


def duration(seconds: float | None) -> str:
    """``1 h 5 min``, ``6.6 s``; – for None."""
    if seconds is None:
        return "–"
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def when(value: datetime | None) -> Markup:
    """To the minute, in UTC, as a ``time`` element that a script may write in the reader's own zone; – for None."""
    if value is None:
        return Markup("–")
    at = value.astimezone(UTC)
    told = Markup('<time datetime="{}">{}</time>')
    return told.format(at.isoformat(timespec="seconds"), at.strftime("%Y-%m-%d %H:%M UTC"))


def _scaled(value: float, units: tuple[str, ...]) -> str:
    place = 0
    while abs(value) >= 999.5 and place < len(units) - 1:
        value /= 1000
        place += 1
    return f"{value:.3g} {units[place]}"
