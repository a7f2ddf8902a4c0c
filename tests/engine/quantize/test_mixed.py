"""Bits for each layer: the choice is the best within the budget, and what is measured decides it."""

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from engine.quantize.lowbit.layer import PackedLayer
from engine.quantize.mixed import allocate
from pith.techniques.quantize.mixed import QuantizeMixed
from tests.engine.conformance import applied, check_same, cut_and_resumed
from tests.engine.tiny import Cnn, Mlp

NEAREST = {"rounding": "nearest", "iterations": QuantizeMixed.model_fields["iterations"].default}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("average", [2, 3.1, 4, 7.9, 8])
def test_no_other_choice_is_better(seed: int, average: float) -> None:
    random = np.random.default_rng(seed)
    sizes, choices = [int(size) for size in random.integers(10, 2000, 5)], (8, 4, 3, 2)
    errors = np.sort(random.random((5, 4)) ** 3, axis=1)
    budget = int(average * sum(sizes))
    picked = allocate(errors, sizes, choices, budget)

    def cost(bits: tuple[int, ...]) -> int:
        return sum(one * size for one, size in zip(bits, sizes, strict=True))

    def error(bits: tuple[int, ...]) -> float:
        return float(sum(errors[row, choices.index(one)] for row, one in enumerate(bits)))

    best = min(error(bits) for bits in product(choices, repeat=5) if cost(bits) <= budget)
    assert cost(picked) <= budget and error(picked) == pytest.approx(best, rel=1e-3)


def test_the_budget_holds_and_the_report_names_every_layer(tmp_path: Path) -> None:
    _, after = applied("quantize.mixed", tmp_path, Cnn, average_bits=3.5, **NEAREST)
    layers = {name: each for name, each in after.graph.named_modules() if isinstance(each, PackedLayer)}
    sizes = {name: np.prod(each.shape) for name, each in layers.items()}
    assert len({each.bits for each in layers.values()}) > 1
    assert sum(each.bits * sizes[name] for name, each in layers.items()) <= 3.5 * sum(sizes.values())
    events = [json.loads(line) for line in (tmp_path / "out/events.jsonl").read_text().splitlines()]
    (said,) = (event["message"] for event in events if "bits a weight on average" in event["message"])
    assert all(f"{name} {each.bits}" in said for name, each in layers.items())


def test_one_choice_is_that_for_every_layer(tmp_path: Path) -> None:
    _, mixed = applied("quantize.mixed", tmp_path / "mixed", Mlp, bits=[4], **NEAREST)
    _, plain = applied("quantize.weight_only", tmp_path / "plain", Mlp, bits=4)
    check_same(mixed, plain)


def test_a_run_that_is_cut_off_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = applied("quantize.mixed", tmp_path / "whole", Cnn, iterations=20)
    resumed, cuts = cut_and_resumed("quantize.mixed", tmp_path / "cut", Cnn, monkeypatch, iterations=20)
    assert cuts == 2
    check_same(whole, resumed)


def test_a_budget_below_the_fewest_bits_is_refused() -> None:
    with pytest.raises(ValidationError, match="average_bits is 3, and the fewest of bits are 4"):
        QuantizeMixed(bits=(8, 4), average_bits=3)
