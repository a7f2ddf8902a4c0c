"""The Markdown of a report: small, and words that come from elsewhere stay words."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pith.faces.markdown import markdown, plain
from pith.report import Report
from tests import reports

ROWS = re.compile(r"(?<!\\)\|")


@pytest.mark.parametrize("modality", reports.MODALITIES)
def test_it_begins_with_the_verdict_and_fits_a_pull_request(modality: str) -> None:
    found = reports.report(modality)
    said = markdown(found)
    heads = {"text": "### ✗ 1 of 3 constraints is not met\n\n- The result is 1.21 times slower than its baseline.\n"}
    assert said.startswith(heads.get(modality, "### ✓ Both constraints are met\n\n- 4.05 times smaller"))
    assert "| Size | 11.18 MB | 2.76 MB | −75.3 %, 4.05 times smaller |" in said
    assert said.index("**What was lost**") < said.index("<details>") < said.index("| backbone.stage4.block5.conv11 |")
    assert said.endswith("</details>\n") and f"`pith jobs replay {found.job}`" in said
    assert len(said.encode()) < 10_000


def test_many_layers_and_long_words_stay_small() -> None:
    assert len(markdown(reports.deep()).encode()) < 10_000
    assert "The 20 layers of 200 whose size changed most." in markdown(reports.deep())
    assert len(markdown(reports.poisoned(reports.report(), "very long words " * 500)).encode()) < 40_000


def test_what_was_left_out_is_said() -> None:
    assert "- How far it can be trusted: left out, the job had no dataset" in markdown(reports.short())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<script>", r"\<script>"),
        ("a|b", r"a\|b"),
        ("](https://x.example)", r"\](https\://x.example)"),
        ("see www.x.example", r"see www\.x.example"),
        ("ask @someone", "ask @\u2060someone"),
        ("*a* _b_ `c` $d$ ~e~ #1 &amp; \\", r"\*a\* \_b\_ \`c\` \$d\$ \~e\~ \#1 \&amp; \\"),
        ("one\n\n# two\t\u2028three", r"one \# two three"),
        ("a\x00\u202eb", "ab"),
        ("x" * 600, "x" * 499 + "…"),
    ],
)
def test_words_make_no_markup(text: str, said: str) -> None:
    assert plain(text) == said


@settings(max_examples=30, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>|`*_[]()#@&\\$~!:/.- \n\tab\u2028\x00"), max_size=40))
def test_any_words_leave_tables_and_lines_as_they_are(text: str) -> None:
    clean, found = _shape(reports.report("text")), _shape(reports.poisoned(reports.report("text"), text))
    assert clean == found
    assert not re.search(r"(?<!\\)(?:\\\\)*[<`]", plain(text))


def _shape(report: Report) -> list[tuple[str, int]]:
    """Each line's beginning, and how many cells it has."""
    lines = markdown(report).splitlines()
    found = [
        (line[:2] if line[:2] in ("- ", "| ", "|-", "##") else "", len(ROWS.findall(_outside(line)))) for line in lines
    ]
    return [each for each in found if each[0] != "- "]


def _outside(line: str) -> str:
    """Without what a backslash protects, a backslash itself among it."""
    return re.sub(r"\\.", "", line)
