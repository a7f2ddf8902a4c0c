"""The pieces that figures are made of. Every text is escaped, and every colour is a class (``pith.figures.style``) with
a plain attribute beside it, for where styles are taken away."""

import re
from collections.abc import Iterable
from html import escape

from pith.figures.style import TONES

WIDTH = 400.0
"""Of a figure: its texts can be read on a phone, and are not too large on a desk."""
SIZE = 12
LETTER = 6.4
"""About the width of one."""
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


class Drawn(str):
    """Markup that is finished: what fills in templates leaves it as it is."""

    def __html__(self) -> str:
        return str(self)


def said(text: object) -> str:
    """Text that is markup nowhere, in an attribute neither."""
    return escape(_UNFIT.sub("\ufffd", str(text)), quote=True)


def drawing(height: float, title: str, description: str, parts: Iterable[str], width: float = WIDTH) -> Drawn:
    """The whole figure, with what a screen reader says of it."""
    head = f'<svg class="pf" viewBox="0 0 {at(width)} {at(height)}" role="img" font-size="{SIZE}">'
    return Drawn(f"{head}<title>{said(title)}</title><desc>{said(description)}</desc>{''.join(parts)}</svg>")


def text(
    x: float, y: float, words: str, *, anchor: str = "start", tone: str = "ink", room: float = WIDTH, over: bool = False
) -> str:
    """One line, cut where there is no more ``room``; then the whole is told to who points at it. ``over`` keeps what is
    behind it away from its letters."""
    cut = fitting(words, room)
    whole = "" if cut == words else f"<title>{said(words)}</title>"
    side = "" if anchor == "start" else f' text-anchor="{anchor}"'
    halo = ' stroke="#ffffff" stroke-width="3" paint-order="stroke"' if over else ""
    names = f' class="pf-{tone}{" pf-s-paper" if over else ""}" fill="{TONES[tone]}"'
    return f'<text x="{at(x)}" y="{at(y)}"{side}{names}{halo}>{whole}{said(cut)}</text>'


def fitting(words: str, room: float) -> str:
    most = max(1, int(room / LETTER))
    return words if len(words) <= most else f"{words[: most - 1]}…"


def box(x: float, y: float, width: float, height: float, tone: str, *, opacity: float = 1.0, note: str = "") -> str:
    """A rectangle; ``note`` is told to who points at it."""
    shade = "" if opacity >= 1 else f' fill-opacity="{opacity:.2f}"'
    place = f'x="{at(x)}" y="{at(y)}" width="{at(max(0.0, width))}" height="{at(max(0.0, height))}"'
    if not note:
        return f"<rect {place}{filled(tone)}{shade}/>"
    return f"<rect {place}{filled(tone)}{shade}><title>{said(note)}</title></rect>"


def line(x1: float, y1: float, x2: float, y2: float, tone: str = "line", *, width: float = 1, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path d="M{at(x1)} {at(y1)}L{at(x2)} {at(y2)}"{stroked(tone, width)}{dashes}/>'


def path(points: Iterable[tuple[float, float]], tone: str, *, width: float = 2, dash: str = "") -> str:
    """A line through all points."""
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    way = "L".join(f"{at(x)} {at(y)}" for x, y in points)
    return f'<path d="M{way}"{stroked(tone, width)} stroke-linejoin="round"{dashes}/>' if way else ""


def dot(x: float, y: float, tone: str, *, radius: float = 4, note: str = "") -> str:
    told = f"<title>{said(note)}</title>" if note else ""
    return f'<circle cx="{at(x)}" cy="{at(y)}" r="{at(radius)}"{filled(tone)}>{told}</circle>'


def filled(tone: str) -> str:
    return f' class="pf-{tone}" fill="{TONES[tone]}"'


def stroked(tone: str, width: float) -> str:
    return f' class="pf-s-{tone}" fill="none" stroke="{TONES[tone]}" stroke-width="{at(width)}"'


def at(value: float) -> str:
    """A place in the figure, with no more digits than can be seen."""
    short = f"{value:.1f}".removesuffix(".0")
    return "0" if short == "-0" else short
