"""A confusion matrix: what samples are, and what they are taken for."""

from collections.abc import Sequence

from pith.figures.svg import SIZE, WIDTH, Drawn, at, box, drawing, filled, fitting, said, text

_LEFT, _TOP, _RIGHT = 92.0, 74.0, 44.0
_NUMBERED = 12


def confusion(title: str, description: str, classes: Sequence[str], counts: Sequence[Sequence[int]]) -> Drawn:
    """Each cell is as dark as its share of the row; what is right has another colour than what is not."""
    size = (WIDTH - _LEFT - _RIGHT) / max(1, len(classes))
    parts = [text(0, 12, "is ↓  taken for →", tone="soft", room=_LEFT * 2)]
    for number, (name, row) in enumerate(zip(classes, counts, strict=False)):
        middle = (number + 0.5) * size
        parts.append(text(_LEFT - 6, _TOP + middle + 4, name, anchor="end", room=_LEFT - 10))
        parts.append(_slanted(_LEFT + middle + 4, _TOP - 6, name))
        parts += _row(classes, row, number, size)
    return drawing(_TOP + size * len(classes) + 2, title, description, parts)


def _slanted(x: float, y: float, name: str) -> str:
    turn = f'transform="rotate(-50 {at(x)} {at(y)})"'
    return f'<text x="{at(x)}" y="{at(y)}" {turn}{filled("ink")}>{said(fitting(name, 78))}</text>'


def _row(classes: Sequence[str], counts: Sequence[int], row: int, size: float) -> list[str]:
    whole, y = sum(counts) or 1, _TOP + row * size
    parts = []
    for column, (name, count) in enumerate(zip(classes, counts, strict=False)):
        share, x = count / whole, _LEFT + column * size
        note = f"{classes[row]} taken for {name}: {count}"
        parts.append(box(x + 0.5, y + 0.5, size - 1, size - 1, "line", opacity=0.3, note=note))
        if count:
            tone = "after" if row == column else "bad"
            parts.append(box(x + 0.5, y + 0.5, size - 1, size - 1, tone, opacity=0.15 + 0.85 * share, note=note))
        if count and len(classes) <= _NUMBERED and size > SIZE * len(str(count)) * 0.6 + 3:
            ink = "paper" if share > 0.5 else "ink"
            parts.append(text(x + size / 2, y + size / 2 + 4, str(count), anchor="middle", tone=ink))
    return parts
