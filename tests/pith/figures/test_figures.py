"""Figures are well-formed by themselves, whatever the numbers are, and can be read without colours and styles."""

import math
from collections.abc import Callable
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pith.figures.axes import around
from pith.figures.bars import Bar, Length, bars
from pith.figures.confusion import confusion
from pith.figures.heat import picture
from pith.figures.lines import Mark, Series, lines
from pith.figures.profile import profile
from pith.figures.reliability import Bin, reliability
from pith.figures.scatter import Point, scatter
from pith.figures.style import CSS, DARK, TONES
from pith.figures.svg import Drawn
from pith.figures.table import figure, table
from pith.figures.waveform import waveform
from tests.reports import png

NAME = "a <b> & \"c\" 'd' \x00 ]]>"
NUMBERS = st.floats(-1e12, 1e12)
MANY = st.lists(NUMBERS, max_size=12)


def drawn(values: list[float], name: str = NAME) -> dict[str, Drawn]:
    """Each figure of these values."""
    shares = [abs(value) / 2e12 for value in values]
    count = [int(1000 * share) for share in shares]
    return {
        "bars": bars(
            name, name, [Bar(name, name, (Length(abs(value), interval=(0.0, abs(value))),)) for value in values]
        ),
        "lines": lines(name, name, [Series(name, tuple(enumerate(values)))], name, marks=[Mark(0.5, name)]),
        "profile": profile(name, name, [*values, None], [None, *values], unit=name),
        "reliability": reliability(name, name, [Bin(each / 2, each, 3, each, each) for each in shares]),
        "confusion": confusion(name, name, [name] * len(count), [count] * len(count)),
        "picture": picture(name, name, png(4, 4, 1), (4, 4), values, (3, 4)),
        "waveform": waveform(name, name, values, values, 1.0, values),
        "scatter": scatter(
            name, name, [Point(name, value, value) for value in values], name, name, way=range(len(values))
        ),
    }


@pytest.mark.parametrize(
    "values", [[], [0.0], [1.0, 1.0], [5e-324, 1e-300], [1e12, -1e12], [0.1 * n for n in range(12)]]
)
def test_every_figure_is_well_formed(values: list[float]) -> None:
    for each in drawn(values).values():
        check(each)


@settings(max_examples=40, deadline=None)
@given(MANY, st.text(max_size=80))
def test_any_numbers_and_any_words_are_drawn(values: list[float], name: str) -> None:
    for each in drawn(values, name).values():
        check(each)


def check(found: Drawn) -> None:
    """XML that says what it is; every place a number within reach of the picture; every colour plain or by class."""
    root = ElementTree.fromstring(found)
    assert (root.tag, root.get("role"), [child.tag for child in root][:2]) == ("svg", "img", ["title", "desc"])
    assert "nan" not in found.lower().replace("nan", "", 0) or "nan" in NAME
    for element in root.iter():
        assert element.get("style") is None
        for name in ("x", "y", "width", "height", "cx", "cy"):
            if (value := element.get(name)) is not None:
                assert math.isfinite(float(value)) and abs(float(value)) < 2000
        if element.get("class", "pf") != "pf":
            assert element.get("fill") in (*TONES.values(), "none")


def test_styles_know_every_colour_in_both_schemes() -> None:
    assert TONES.keys() == DARK.keys()
    for name in TONES:
        assert f".pf-{name}{{" in CSS and f".pf-s-{name}{{" in CSS and CSS.count(f"--pf-{name}:") == 3


@pytest.mark.parametrize(
    ("name", "luminance"), [("ink", 7.0), ("soft", 4.5), ("after", 3.0), ("bad", 3.0), ("before", 2.4)]
)
@pytest.mark.parametrize("scheme", [TONES, DARK])
def test_colours_can_be_told_from_the_paper(name: str, luminance: float, scheme: dict[str, str]) -> None:
    """The contrast of WCAG 2."""
    lighter, darker = sorted((_luminance(scheme[name]), _luminance(scheme["paper"])), reverse=True)
    assert (lighter + 0.05) / (darker + 0.05) >= luminance


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@given(st.lists(NUMBERS, min_size=1, max_size=5), st.booleans())
def test_an_axis_holds_every_value_between_round_numbers(values: list[float], zero: bool) -> None:
    axis, marks = around(values, 0, 100, zero=zero)
    slack = 1e-6 * (marks[-1] - marks[0])
    assert marks[0] - slack <= min(values) and max(values) <= marks[-1] + slack and 2 <= len(marks) <= 8
    assert all(-1e-3 <= axis.place(value) <= 100.001 for value in values) and (not zero or marks[0] <= 0)


def test_an_interval_is_drawn_and_a_long_name_is_cut_and_told() -> None:
    long = "n" * 200
    found = bars("t", "d", [Bar(long, "5", (Length(5.0, interval=(4.0, 6.0)),))])
    assert long in found and f">{long}<" in found and "…" in found and found.count("<path") == 3


@pytest.mark.parametrize("part", [table, lambda caption, head, rows: figure([], caption, table(caption, head, rows))])
def test_tables_escape_what_they_hold(part: Callable[..., Drawn]) -> None:
    found = part(NAME, (NAME, "b"), [(NAME, "<i>"), ("x", Drawn("<small>1</small>"))])
    assert "<b>" not in found and "<i>" not in found and "<small>1</small>" in found
    assert found.__html__() == found
