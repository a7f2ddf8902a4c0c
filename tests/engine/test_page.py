"""The page: whole by itself, in order, readable without eyes, and nobody's markup but its own."""

import random
import re
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.page import render
from pith.faces import words
from pith.faces.markdown import markdown
from pith.findings.lost import Flipped
from pith.findings.shown import ShownImage
from pith.report import Report
from tests import reports

BEFORE = Path(__file__).parents[1] / "pith/faces/before.json"
TEMPLATES = Path(__file__).parents[2] / "engine/templates"
VOID = {"meta", "path", "rect", "circle", "image", "br"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "body", "a", "header", "main", "section", "nav", "div", "span", "p"),
    *("h1", "h2", "h3", "ul", "ol", "li", "dl", "dt", "dd", "small", "strong", "pre", "code", "samp", "blockquote"),
    *("table", "caption", "thead", "tbody", "tr", "th", "td", "figure", "figcaption", "details", "summary"),
    *("svg", "desc", "text", "rect", "path", "circle", "image"),
}
ATTRIBUTES = {"href": r"#[a-z]+", "image href": r"data:image/png;base64,[A-Za-z0-9+/=]+"}
HOSTILE = (
    "<script>alert(1)</script>",
    "'\"><img src=https://evil.example/x onerror=alert(1)>",
    "</style></title></svg></desc><iframe src=//evil.example>",
    "&lt;b&gt; {{ 7 * 7 }} {% raw %} javascript:alert(1)",
    "\x00\x0b\x1f\ud800\ufffe\u202e ok",
)


class Page(HTMLParser):
    """Elements with the path to each, ids, headings and texts."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.paths: list[tuple[str, ...]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert not self.open, "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.paths.append((*self.open, tag))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        self.paths.append((*self.open, tag))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID or (self.open and self.open[-1] == tag):
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def tags(self, *names: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.elements if tag in names]


ALL = {
    **{name: (lambda name=name: reports.report(name)) for name in reports.MODALITIES},
    "short": lambda: reports.short(verdict="unconstrained", constraints=()),
    "replayed": reports.replayed,
    "deep": reports.deep,
    **{name: (lambda name=name: reports.odd()[name]) for name in ("bare", "single", "crowded", "worse")},
}
_PAGES: dict[str, str] = {}


def page_of(name: str) -> str:
    if name not in _PAGES:
        _PAGES[name] = render(ALL[name]())
    return _PAGES[name]


@pytest.fixture(params=list(ALL))
def page(request: pytest.FixtureRequest) -> Page:
    return Page(page_of(request.param))


def test_nothing_comes_from_outside_and_nothing_runs(page: Page) -> None:
    check_harmless(page)
    styles = "".join(text for text in page.text if "{" in text and "margin" in text)
    assert styles and "url(" not in styles and "@import" not in styles and "&#" not in styles


def check_harmless(page: Page) -> None:
    assert {tag for tag, _ in page.elements} <= ALLOWED
    for tag, attributes in page.elements:
        assert not [
            name for name in attributes if name.startswith("on") or name in ("src", "style", "srcset", "action")
        ]
        if "href" in attributes:
            assert re.fullmatch(ATTRIBUTES.get(f"{tag} href", ATTRIBUTES["href"]), attributes["href"])
    assert not [meta for meta in page.tags("meta") if "http-equiv" in meta]


def test_headings_and_landmarks_are_in_order(page: Page) -> None:
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert len(page.tags("main")) == len(page.tags("header")) == len(page.tags("nav")) == 1
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in page.tags("a")} <= set(ids)
    named = {each["aria-labelledby"] for each in page.tags("section")}
    assert named <= set(ids) and len(named) == len(page.tags("section")) == 9


def test_sections_stand_in_the_order_of_their_questions(page: Page) -> None:
    order = [each["id"] for each in page.tags("section")]
    assert order == ["verdict", "trade", "lost", "layers", "trust", "looks", "training", "usage", "made"]


def test_every_drawing_says_what_it_is_and_every_figure_has_its_numbers(page: Page) -> None:
    for place, (tag, attributes) in enumerate(page.elements):
        if tag == "svg":
            assert attributes["role"] == "img"
            assert [each for each, _ in page.elements[place + 1 : place + 3]] == ["title", "desc"]
    figures = [path for path in page.paths if path[-1] == "figure"]
    tables = [path for path in page.paths if path[-1] == "table" and "figure" in path and "details" in path]
    assert len(figures) == len(tables) == len([path for path in page.paths if path[-1] == "figcaption"])


def test_tables_have_captions_and_scopes_and_scroll_by_themselves(page: Page) -> None:
    tables = [path for path in page.paths if path[-1] == "table"]
    assert len(tables) == len(page.tags("caption")) and all(path[-2] == "div" for path in tables)
    assert all(each.get("scope") in ("col", "row") for each in page.tags("th"))
    for each in page.tags("div"):
        if each.get("class") == "wide":
            assert each["tabindex"] == "0" and each["aria-label"]


def test_a_model_with_200_layers_has_a_page_under_2_mb() -> None:
    page = page_of("deep")
    assert page.count("backbone.stage") >= 200 and page.count("data:image/png") == 28
    assert len(page.encode()) < 2_000_000


def test_what_is_not_there_says_why() -> None:
    text = " ".join(Page(page_of("short")).text)
    assert text.count("Left out: the job had no dataset.") == 3 and "Left out: no step trains." in text
    partly = render(reports.report(left_out={"trust": "words cannot be disturbed"}))
    assert "Of this, a part was left out: words cannot be disturbed." in partly


@pytest.mark.parametrize("name", reports.MODALITIES)
def test_numbers_of_the_report_are_on_the_page(name: str) -> None:
    report, text = reports.report(name), " ".join(Page(page_of(name)).text)
    for sentence in (*report.headline, *(note for step in report.steps for note in step.notes), words.verdict(report)):
        assert sentence in text
    for each in report.constraints:
        assert words.margin(each) in text and (not each.binds or words.binding(each) in text)
    assert report.layers is not None and all(row.name in text for row in report.layers.rows)
    assert all(each.code in text and each.printed in text for each in report.usage)
    assert f"pith jobs replay {report.job}" in text and report.model_digest in text


@pytest.mark.parametrize("name", [*reports.MODALITIES, "replayed"])
@pytest.mark.parametrize("text", HOSTILE)
def test_words_from_elsewhere_stay_words(name: str, text: str) -> None:
    page = Page(render(reports.poisoned(ALL[name](), text)))
    check_harmless(page)
    assert text in "".join(page.text)


@settings(max_examples=15, deadline=None)
@given(st.text(max_size=60), st.sampled_from(["text", "tabular"]))
def test_any_words_stay_words(text: str, name: str) -> None:
    found = reports.poisoned(reports.report(name), text)
    page = Page(render(found))
    check_harmless(page)
    assert len(page.tags("section")) == 9


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x.png",
        "data:image/svg+xml;base64,AAAA",
        'data:image/png;base64,AA" onload="x',
        "javascript:1",
    ],
)
def test_a_picture_is_itself_or_is_not_shown(address: str) -> None:
    shown = ShownImage(address=address, width=2, height=2)
    found = reports.report()
    assert found.lost is not None
    flipped = Flipped(
        sample=1, truth="a", before="a", after="b", confidence_before=None, confidence_after=None, shown=shown
    )
    page = render(found.model_copy(update={"lost": found.lost.model_copy(update={"flipped": (flipped,)})}))
    check_harmless(Page(page))
    assert "evil" not in page and "no picture" in page


def ragged(report: Report) -> Report:
    """Lists of lengths that do not go together, and nothing where something may be missing."""
    assert report.lost is not None and report.looks is not None and report.lost.confusion is not None
    confusion = report.lost.confusion.model_copy(update={"before": ((1,),), "after": ()})
    look = report.looks.looks[0].model_copy(update={"before": (0.0,), "after": (), "names": (), "shown": None})
    lost: Any = {"confusion": confusion, "classes": report.lost.classes[:1], "flipped": ()}
    return report.model_copy(
        update={
            "lost": report.lost.model_copy(update=lost),
            "looks": report.looks.model_copy(update={"looks": (look,), "similarity": None}),
            "steps": report.steps[:1],
            "curves": (report.curves[0].model_copy(update={"step": 9, "points": ()}),),
            "layers": reports.layers(1, random.Random(1)).model_copy(update={"samples": 0}),
        }
    )


def test_a_report_that_fits_badly_together_is_shown_all_the_same() -> None:
    check_harmless(Page(render(ragged(reports.report()))))


def test_templates_leave_nothing_unescaped() -> None:
    for file in TEMPLATES.glob("*.j2"):
        assert "safe" not in re.findall(r"\|\s*(\w+)", file.read_text()) and "autoescape" not in file.read_text()


ONE = re.compile(r"(?<![\d.,])1 (layers|samples|epochs|threads|times|predictions|classes|strengths)\b")


@pytest.mark.parametrize("name", [name for name in ALL if name != "deep"])
def test_sentences_count_as_people_do(name: str) -> None:
    text = " ".join(Page(page_of(name)).text).replace(words.SPACE, " ") + markdown(ALL[name]())
    assert not ONE.search(text), ONE.search(text)
    for each in ALL[name]().usage:
        text = text.replace(each.code, "")
    assert not re.search(r"\b(None|nan|inf)\b|sqnr_db|sqnr db", text)


def test_a_report_of_a_version_before_opens_in_every_face() -> None:
    before = Report.model_validate_json(BEFORE.read_text())
    page, short = Page(render(before)), markdown(before)
    check_harmless(page)
    assert "no_noise" not in BEFORE.read_text() and "uploaded_bytes" not in BEFORE.read_text()
    assert before.headline[0] in " ".join(page.text) and before.headline[0] in short
    assert before.layers is not None and before.trust is not None and before.trust.disturbances
    assert all(row.name in " ".join(page.text) for row in before.layers.rows)
    again = Report.model_validate_json(before.model_dump_json())
    assert again == before


def test_what_is_new_stands_in_every_face() -> None:
    found = reports.report()
    text = " ".join(Page(render(found)).text).replace(words.SPACE, " ")
    short = markdown(found).replace(words.SPACE, " ")
    for said in (
        "12.30 MB",
        "16×16×3×3 → 6×16×3×3" if "16×16×3×3 → 6×16×3×3" in text else "→",
        "reshaped",
        "merged",
    ):
        assert said in text and said in short
    for said in ("Each step against the model before it", "Accuracy under noise", "training 2", "resumed"):
        assert said in text
    assert "It was cut off and went on once." in text and "Reshaped (" in short and "255 samples" in short
