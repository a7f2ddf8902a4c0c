"""A job spec from words."""

import json
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pith.cli.steps import with_words

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,8}", fullmatch=True)

STEPS: dict[str, dict[str, Any]] = {
    "quantize.dynamic": {"kind": "quantize.dynamic"},
    " prune.channel , pruning_ratio = 0.5 ,round_to=4": {"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4},
    'a.b,recovery={"epochs": 2, "x": [1, 2]},recovery.optimizer=sgd': {
        "kind": "a.b",
        "recovery": {"epochs": 2, "x": [1, 2], "optimizer": "sgd"},
    },
    "a.b,teacher=baseline,ignore=[],x=12abc": {"kind": "a.b", "teacher": "baseline", "ignore": [], "x": "12abc"},
    "a.b,recovery=1,recovery.epochs=2,": {"kind": "a.b", "recovery": {"epochs": 2}},
}


@pytest.mark.parametrize(("text", "step"), STEPS.items())
def test_a_step_is_a_kind_and_its_options(text: str, step: dict[str, Any]) -> None:
    assert with_words({}, (text,), ()) == {"recipe": [step]}


@given(st.dictionaries(names, values, max_size=4))
def test_any_options_can_be_said(options: dict[str, Any]) -> None:
    text = ",".join(["a.b", *(f"{key}={json.dumps(value)}" for key, value in options.items())])
    assert with_words({}, (text,), ()) == {"recipe": [{"kind": "a.b", **options}]}


@given(st.text(max_size=30), st.text(max_size=30))
def test_any_words_are_understood_or_refused(step: str, setting: str) -> None:
    try:
        assert with_words({}, (step,), (setting,)).keys() >= {"recipe"}
    except click.UsageError as error:
        assert "KEY=VALUE" in error.message


def test_fields_are_put_into_the_spec_that_is_there() -> None:
    given = {"seed": 3, "constraints": {"min_speedup": 2}}
    words = ("constraints.max_metric_drop=0.1", "seed=4", 'outputs=["onnx"]', "model=mdl_x")
    found = with_words(given, (), words)
    assert found == {
        "seed": 4,
        "constraints": {"min_speedup": 2, "max_metric_drop": 0.1},
        "outputs": ["onnx"],
        "model": "mdl_x",
    }
    assert given == {"seed": 3, "constraints": {"min_speedup": 2}}
