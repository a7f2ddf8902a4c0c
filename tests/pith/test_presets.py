"""Presets: sound specs, that plan without a problem on a small convolutional model."""

import json
from pathlib import Path

import pytest

from pith.plan import plan
from pith.presets import PRESETS, Preset
from pith.recipe import takes
from tests.pith.test_plan import DATASET_ID, MODEL_ID, dataset, model

each = pytest.mark.parametrize("preset", PRESETS, ids=[preset.name for preset in PRESETS])


@each
def test_a_preset_can_run(preset: Preset) -> None:
    spec = preset.of(MODEL_ID, DATASET_ID if preset.needs_data else None)
    found = plan(spec, model(), dataset() if preset.needs_data else None, {})
    assert found.possible, [problem.detail for problem in found.problems]
    assert not found.notes


@each
def test_it_says_whether_it_needs_data(preset: Preset) -> None:
    problems = [problem.code for _, problem in preset.of(MODEL_ID).problems()]
    assert ("dataset_required" in problems) == preset.needs_data
    assert preset.needs_data == ("with a dataset" in preset.aim)


def test_a_finished_graph_takes_what_neither_trains_nor_reshapes() -> None:
    finished = model().facts.model_copy(update={"trainable": False})  # type: ignore[union-attr]
    assert [preset.name for preset in PRESETS if preset.suits(finished)] == ["smaller"]
    assert takes(finished) >= {"quantize.static", "encode.entropy"} and "quantize.qat" not in takes(finished)
    assert all(preset.suits(model().facts) and preset.suits(None) for preset in PRESETS)
    assert takes(finished.model_copy(update={"finished_layers": 1})) == frozenset()


@each
def test_it_is_short_and_plain_json(preset: Preset) -> None:
    assert json.loads(json.dumps(preset.part)) == preset.part
    assert len(preset.says) < 260


def test_the_guide_names_them_all() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide.md").read_text()
    assert [preset.name for preset in PRESETS if f"| `{preset.name}` |" not in guide] == []
