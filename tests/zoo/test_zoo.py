"""A few models of the zoo, and what the page about all of them claims."""

import re
from pathlib import Path

import pytest

from tests.zoo import stages
from tests.zoo.collection import everything
from tests.zoo.entry import Entry
from tests.zoo.result import STAGES, Result
from tests.zoo.table import PAGE, page

QUICK = [entry for entry in everything() if entry.quick]


@pytest.mark.parametrize("entry", QUICK, ids=lambda entry: entry.name)
@pytest.mark.filterwarnings("ignore")
def test_the_road(entry: Entry, tmp_path: Path) -> None:
    result = stages.walk(entry, tmp_path)
    assert result.passed, result.stages
    assert result.prunable >= 1 or result.layers == 1, "a model of one layer has only its head"


def test_a_stage_that_does_not_hold_is_told_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(walked: stages.Walk) -> None:
        raise stages.Failed("it leans to the left")

    monkeypatch.setattr(stages, "_head", wrong)
    (entry,) = [entry for entry in QUICK if entry.name == "other/two-outputs"]
    result = stages.walk(entry, tmp_path)
    assert result.stages["head"] == "it leans to the left" and not result.passed
    assert "**other/two-outputs**, new head: it leans to the left" in page([result])
    assert "0 of 1 models (0.0%)" in page([result])


def test_the_page_has_every_model_and_at_least_95_percent_pass() -> None:
    text = PAGE.read_text()
    names = [entry.name for entry in everything()]
    assert [name for name in names if f"| {name} |" not in text] == []
    passed, total = map(int, re.findall(r"\*\*(\d+) of (\d+) models", text)[0])
    rows = [line for line in text.splitlines() if re.match(r"\| \w+/", line)]
    assert len(rows) == total == len(names)
    assert passed == sum(line.count(" yes ") == len(STAGES) for line in rows)
    assert passed / total >= 0.95
    assert "unnamed" not in text, "no failure without a named reason"


def test_the_zoo_is_large_enough() -> None:
    families = [entry.family for entry in everything()]
    assert len(families) >= 60 and families.count("timm") >= 45
    assert len({entry.name for entry in everything()}) == len(families)


def test_a_result_that_lacks_a_stage_has_not_passed() -> None:
    assert not Result("a", "b", {"read": "ok"}).passed
    assert Result("a", "b", dict.fromkeys(STAGES, "ok")).passed
