"""A sound as its highest and lowest values, and which spans of it count."""

from collections.abc import Sequence

from pith.figures.svg import WIDTH, Drawn, at, box, drawing, filled, line, text

_HEIGHT = 80.0


def waveform(
    title: str,
    description: str,
    low: Sequence[float],
    high: Sequence[float],
    seconds: float | None = None,
    shades: Sequence[float] = (),
) -> Drawn:
    """``shades`` are spans of equal length: the more one counts, the warmer it is."""
    middle, most = _HEIGHT / 2, max((abs(each) for each in (*low, *high)), default=0.0) or 1.0
    scale = (middle - 2) / most
    wide = WIDTH / max(1, len(high) - 1)
    upper = [f"{at(number * wide)} {at(middle - value * scale)}" for number, value in enumerate(high)]
    lower = [f"{at(number * wide)} {at(middle - value * scale)}" for number, value in enumerate(low)]
    parts = [*_spans(shades), line(0, middle, WIDTH, middle)]
    if upper and lower:
        parts.append(f'<path d="M{"L".join([*upper, *reversed(lower)])}z"{filled("after")}/>')
    end = "end" if seconds is None else f"{seconds:.3g} s"
    parts += [text(0, _HEIGHT + 14, "0", tone="soft"), text(WIDTH, _HEIGHT + 14, end, anchor="end", tone="soft")]
    return drawing(_HEIGHT + 18, title, description, parts)


def _spans(shades: Sequence[float]) -> list[str]:
    most = max((abs(value) for value in shades), default=0.0) or 1.0
    wide = WIDTH / max(1, len(shades))
    return [
        box(number * wide, 0, wide, _HEIGHT, "warm" if value > 0 else "cold", opacity=0.6 * abs(value) / most)
        for number, value in enumerate(shades)
        if abs(value) / most >= 0.02
    ]
