"""Figures that hold results against each other: what is on the front, what is drawn, and that text stays text."""

from itertools import pairwise, product
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pith.figures.parallel import Upright, parallel
from pith.figures.pareto import Axis, Better, Point, front, pareto

SVG = "{http://www.w3.org/2000/svg}"
EVIL = '<script>alert(1)</script>"&'
POINTS = [Point("small", 1, 0.8), Point("good", 3, 0.95), Point("neither", 3, 0.9), Point("middle", 2, 0.9)]
X, Y = Axis("size", "lower", "MB"), Axis("accuracy", "higher")
numbers = st.floats(-1e6, 1e6)
points = st.lists(st.builds(Point, label=st.just("p"), x=numbers, y=numbers), min_size=1, max_size=12)
sides = st.sampled_from(["higher", "lower"])


def tree(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def test_the_front_is_what_nothing_beats() -> None:
    assert front(POINTS, "lower", "higher") == (0, 3, 1)
    assert front(POINTS, "higher", "higher") == (1,)
    assert front([POINTS[0]] * 2, "lower", "higher") == (0, 1), "equal points do not beat each other"


@given(points, sides, sides)
def test_every_point_is_on_the_front_or_beaten_by_one_that_is(found: list[Point], x: Better, y: Better) -> None:
    on = front(found, x, y)
    assert on

    def beats(a: Point, b: Point) -> bool:
        ways = ((a.x, b.x, x), (a.y, b.y, y))
        no_worse = all(one >= other if better == "higher" else one <= other for one, other, better in ways)
        return no_worse and (a.x, a.y) != (b.x, b.y)

    for i, point in enumerate(found):
        assert (i in on) != any(beats(found[j], point) for j in on)


@given(points, sides, sides)
def test_every_point_is_within_the_paper(found: list[Point], x: Better, y: Better) -> None:
    drawn = tree(pareto(found, Axis("x", x), Axis("y", y), "t"))
    groups = [each for each in drawn.iter(f"{SVG}g") if "point" in each.get("class", "")]
    assert len(groups) == len(found)
    for circle in drawn.iter(f"{SVG}circle"):
        assert 72 <= float(circle.get("cx", "")) <= 616 and 24 <= float(circle.get("cy", "")) <= 344


def test_a_point_says_what_it_is() -> None:
    drawn = tree(pareto([Point(EVIL, 1, 0.5), Point("other", 2, 0.4)], X, Y, EVIL))
    titles = [each.text or "" for each in drawn.iter(f"{SVG}title")]
    assert f"{EVIL}: size 1 MB, accuracy 0.5; nothing here beats it on both" in titles
    assert "other: size 2 MB, accuracy 0.4" in titles
    assert drawn.get("aria-label") == EVIL and not list(drawn.iter(f"{SVG}script"))


def test_labels_do_not_lie_on_each_other() -> None:
    near = [Point(str(i), 1 + i / 1000, 0.5 + i / 10_000) for i in range(6)]
    texts = [each.find(f"{SVG}text") for each in tree(pareto([*near, Point("far", 9, 0.9)], X, Y, "t")).iter(f"{SVG}g")]
    heights = sorted(float(each.get("y", "")) for each in texts if each is not None)[-6:]
    assert all(later - earlier >= 14.9 for earlier, later in pairwise(heights))


def test_the_worst_worlds_are_drawn_too() -> None:
    assert "Nothing to plot" in pareto([], X, Y, "t")
    for values in product((0.0, 5.0), repeat=2):
        tree(pareto([Point("alone", *values)], X, Y, "t"))


def upright(name: str, better: Better, *values: float | None) -> Upright:
    return Upright(name, better, values, tuple("–" if each is None else f"{each:g}" for each in values))


def test_better_is_above_on_every_axis() -> None:
    axes = [upright("size", "lower", 1, 2), upright("accuracy", "higher", 0.9, 0.8)]
    lines = list(tree(parallel(["a", EVIL], axes, "t")).iter(f"{SVG}g"))
    heights = [[float(dot.get("cy", "")) for dot in line.iter(f"{SVG}circle")] for line in lines]
    assert heights[0][0] == heights[0][1] < heights[1][0] == heights[1][1]
    assert [line.get("tabindex") for line in lines] == ["0", "0"]
    assert lines[1].get("aria-label") == f"{EVIL}: size 2; accuracy 0.8"


def test_a_line_is_broken_where_a_number_is_missing() -> None:
    axes = [upright(name, "lower", 1, 2) for name in "ab"] + [
        upright("c", "lower", None, 3),
        upright("d", "lower", 1, 2),
    ]
    path = tree(parallel(["a", "b"], axes, "t")).find(f"{SVG}g/{SVG}path")
    assert path is not None and path.get("d", "").count("M") == 2


@pytest.mark.parametrize("axes", [[], [upright("size", "lower", 1, 2)]])
def test_one_axis_is_no_plot(axes: list[Upright]) -> None:
    assert "Nothing to plot" in parallel(["a", "b"], axes, "t")


def test_figures_bring_no_style_of_their_own() -> None:
    axes = [upright("size", "lower", 1, 2), upright("accuracy", "higher", 0.9, 0.8)]
    assert "style" not in pareto(POINTS, X, Y, "t") + parallel(["a", "b"], axes, "t")
