"""Figures that hold results against each other: what is on the front, what is drawn, and that text stays text."""

from itertools import combinations, pairwise, product
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pith.figures.axes import around, spanning
from pith.figures.labels import Area, Name, named
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
        assert 46 <= float(circle.get("cx", "")) <= 388 and 26 <= float(circle.get("cy", "")) <= 256


def test_a_point_says_what_it_is() -> None:
    drawn = tree(pareto([Point(EVIL, 1, 0.5), Point("other", 2, 0.4)], X, Y, EVIL))
    titles = [each.text or "" for each in drawn.iter(f"{SVG}title")]
    assert f"{EVIL}: size 1 MB, accuracy 0.5; nothing here beats it on both" in titles
    assert "other: size 2 MB, accuracy 0.4" in titles
    assert drawn.get("aria-label") == EVIL and not list(drawn.iter(f"{SVG}script"))


def boxes(drawn: ElementTree.Element) -> list[Area]:
    """Of the texts of points, and of their marks."""
    found = []
    for group in drawn.iter(f"{SVG}g"):
        words = group.find(f"{SVG}text")
        assert words is not None
        x, y = float(words.get("x", "")), float(words.get("y", ""))
        found.append(Name(words.text or "", x, y, words.get("text-anchor", "start")).area)
    for circle in drawn.iter(f"{SVG}circle"):
        x, y, r = (float(circle.get(name, "")) for name in ("cx", "cy", "r"))
        found.append(Area(x - r, y - r, x + r, y + r))
    return found


def apart(found: list[Area]) -> bool:
    return not any(one.meets(other) for one, other in combinations(found, 2))


def test_names_lie_on_no_other_name_and_on_no_point() -> None:
    few = tree(pareto(POINTS, X, Y, "t"))
    assert [each.text for each in few.iter(f"{SVG}text")][-4:] == ["small", "good", "neither", "middle"]
    assert apart(boxes(few))


@pytest.mark.parametrize("spread", [0.0, 0.001, 0.1])
def test_where_names_have_no_room_numbers_stand_for_them(spread: float) -> None:
    near = [
        Point(f"{i} · quantize.weight_only with a long name {EVIL}", 1 + i * spread, 0.5 + i * spread / 10, f"{i}")
        for i in range(10)
    ]
    drawn = tree(pareto(near, Axis("size", "lower", "MB", least=1), Y, "t"))
    groups = [each.find(f"{SVG}text") for each in drawn.iter(f"{SVG}g")]
    assert [each.text for each in groups if each is not None] == [str(i) for i in range(10)]
    assert apart(boxes(drawn)[:10]), "no number lies on another"
    legend = [each.text or "" for each in drawn.findall(f"{SVG}text")][-10:]
    assert legend[3].startswith("3 · quantize") and EVIL in legend[3]
    bottom = float(drawn.get("viewBox", "").split()[3])
    assert all(float(each.get("y", "")) < bottom for each in drawn.findall(f"{SVG}text"))


@given(st.lists(st.tuples(st.floats(0, 400), st.floats(0, 200)), max_size=12), st.integers(1, 30))
def test_names_that_are_placed_have_room(places: list[tuple[float, float]], length: int) -> None:
    frame = Area(0, 0, 400, 200)
    names, legend = named(places, ["n" * length] * len(places), [str(i) for i in range(len(places))], frame)
    assert len(names) == len(places) and len(legend) in (0, len(places))
    if not legend:
        assert apart([name.area for name in names]) and all(frame.holds(name.area) for name in names)
        points = [Area(x - 6, y - 6, x + 6, y + 6) for x, y in places]
        assert not any(name.area.meets(point) for name in names for point in points)


def test_axes_end_where_numbers_end_and_span_what_can_be_told() -> None:
    axis, marks = around([0.9999, 1.0], 0, 100, least=0.02, within=(0, 1))
    assert axis.high == 1.0 and 0.0 <= axis.low <= 0.981 and marks[-1] == 1.0
    assert axis.place(1.0) - axis.place(0.9999) < 1, "nearly equal, nearly the same place"
    assert around([0.0], 0, 100, within=(0, 1))[0].low == 0.0
    assert spanning([5.0, 5.1], least=1.0) == pytest.approx((4.55, 5.55))
    assert spanning([0.02, 0.01], least=1.0, within=(0, 1)) == (0, 1) and spanning([1, 9], least=1.0) == (1, 9)
    shown = pareto(
        [Point("a", 1, 0.995), Point("b", 2, 0.9955)], X, Axis("accuracy", "higher", least=0.02, within=(0, 1)), "t"
    )
    ticks = [each.text for each in tree(shown).iter(f"{SVG}text") if each.get("class") == "tick"]
    assert all(float(each or 0) <= 1 for each in ticks[5:])
    heights = [float(each.get("cy", "")) for each in tree(shown).iter(f"{SVG}circle")]
    assert 0 < abs(heights[0] - heights[1]) < 12


def test_the_worst_worlds_are_drawn_too() -> None:
    assert "Nothing to plot" in pareto([], X, Y, "t")
    for values in product((0.0, 5.0), repeat=2):
        tree(pareto([Point("alone", *values)], X, Y, "t"))


def upright(name: str, better: Better, *values: float | None, least: float = 0.0) -> Upright:
    return Upright(name, better, values, "{:g}".format, least)


def test_better_is_to_the_right_on_every_axis() -> None:
    axes = [upright("size", "lower", 1, 2), upright("accuracy", "higher", 0.9, 0.8)]
    lines = list(tree(parallel(["a", EVIL], axes, "t")).iter(f"{SVG}g"))
    places = [[float(dot.get("cx", "")) for dot in line.iter(f"{SVG}circle")] for line in lines]
    assert places[0][0] == places[0][1] > places[1][0] == places[1][1]
    assert [line.get("tabindex") for line in lines] == ["0", "0"]
    assert lines[1].get("aria-label") == f"{EVIL}: size 2; accuracy 0.8"


def test_what_is_nearly_equal_is_not_drawn_from_end_to_end() -> None:
    axes = [upright("latency", "lower", 1.0, 1.01, least=0.1), upright("size", "lower", 1, 2)]
    drawn = tree(parallel(["a", "b"], axes, "t"))
    places = [[float(dot.get("cx", "")) for dot in line.iter(f"{SVG}circle")] for line in drawn.iter(f"{SVG}g")]
    assert 0 < places[0][0] - places[1][0] < 50 and places[0][1] - places[1][1] > 300
    ends = [each.text for each in drawn.iter(f"{SVG}text") if each.get("class") == "tick"]
    assert ends[:2] == ["1.055", "0.955"], "what is told at an end is what stands there"


def test_titles_of_many_axes_have_a_row_each_and_numbers_of_results_do_not_meet() -> None:
    axes = [upright(f"Agreement with the baseline {i}", "higher", *[0.9] * 10) for i in range(12)]
    drawn = tree(parallel([str(i) for i in range(10)], axes, "t"))
    titles = [float(each.get("y", "")) for each in drawn.iter(f"{SVG}text") if each.get("class") == "name"]
    assert all(later - earlier > 30 for earlier, later in pairwise(titles))
    numbers = [float(each.get("x", "")) for line in drawn.iter(f"{SVG}g") for each in line.iter(f"{SVG}text")]
    assert all(b - a >= 17 for a, b in pairwise(sorted(numbers))) and max(numbers) <= 386 and min(numbers) >= 14


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
