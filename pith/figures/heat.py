"""A picture, and what a model looks at in it."""

import re
from collections.abc import Sequence

from pith.figures.svg import Drawn, box, drawing, text

_SIDE = 192.0
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/]+={0,2}")


def picture(
    title: str,
    description: str,
    address: str,
    size: tuple[int, int],
    values: Sequence[float] = (),
    parts: tuple[int, int] = (1, 1),
) -> Drawn:
    """``size`` is width and height, ``parts`` rows and columns of ``values``: the more one counts, the warmer it is;
    what speaks against the answer is cold. An address that is no picture by itself is not followed."""
    width, height = _SIDE, min(_SIDE * 3, _SIDE * size[1] / max(1, size[0]))
    drawn = [box(0, 0, width, height, "line")]
    if _PICTURE.fullmatch(address):
        drawn.append(f'<image href="{address}" width="{width:.0f}" height="{height:.0f}" preserveAspectRatio="none"/>')
    else:
        drawn.append(text(8, 20, "no picture", tone="soft"))
    drawn += _cells(values, parts, width, height)
    return drawing(height, title, description, drawn, width=width)


def _cells(values: Sequence[float], parts: tuple[int, int], width: float, height: float) -> list[str]:
    rows, columns = parts
    most = max((abs(value) for value in values), default=0.0) or 1.0
    wide, high = width / columns, height / rows
    drawn = []
    for number, value in enumerate(values[: rows * columns]):
        row, column = divmod(number, columns)
        share = abs(value) / most
        if share >= 0.02:
            tone = "warm" if value > 0 else "cold"
            drawn.append(box(column * wide, row * high, wide, high, tone, opacity=0.8 * share, note=f"{value:+.3g}"))
    return drawn
