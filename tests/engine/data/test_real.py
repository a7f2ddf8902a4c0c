"""Real data as people would send it: every n-th sample of five datasets. Skipped where ``../shared`` is not there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench import real_data
from tests.engine.data.uploads import canonical, check

pytestmark = pytest.mark.skipif(not real_data.SHARED.is_dir(), reason="../shared, with the real data, is not there")

CASES: list[tuple[Callable[[Path, int], Path], int, dict[str, Any], str, int]] = [
    (real_data.trec, 20, {}, "text-classification", 6),
    (real_data.sst2, 20, {}, "text-classification", 2),
    (real_data.adult, 40, {"label": "income"}, "tabular-classification", 2),
    (real_data.fsdd, 10, {}, "audio-classification", 10),
    (real_data.cifar, 500, {}, "image-classification", 10),
]


@pytest.mark.parametrize(("make", "every", "schema", "task", "classes"), CASES)
def test_it_is_understood_as_it_is(
    make: Callable[[Path, int], Path], every: int, schema: dict[str, Any], task: str, classes: int, tmp_path: Path
) -> None:
    data = make(tmp_path / "upload", every).read_bytes()
    learnt = check(tmp_path / "check", data, schema)
    facts = learnt.facts
    assert facts.task == task and len(facts.classes) == classes and facts.input_shape is not None
    assert {split.name for split in facts.splits} >= {"train", "test"} and not any(split.made for split in facts.splits)
    assert all(sum(split.classes.values()) == split.samples > 0 for split in facts.splits)
    assert sum(len(batch) for batch in canonical(tmp_path / "check").batches("test")) == facts.splits[-1].samples
    assert learnt.preview.samples and len(learnt.model_dump_json()) < 200_000


def test_the_census_table_has_the_types_that_it_looks_like(tmp_path: Path) -> None:
    data = real_data.adult(tmp_path / "upload", 40).read_bytes()
    facts = check(tmp_path / "check", data, {"label": "income"}).facts
    kinds = {column.name: column.type for column in facts.columns if column.role == "input"}
    numbers = {"age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"}
    assert {name for name, kind in kinds.items() if kind == "numeric"} == numbers and len(kinds) == 14
    assert facts.classes == ("<=50K", ">50K")
