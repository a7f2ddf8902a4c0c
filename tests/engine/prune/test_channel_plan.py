"""What a plan says of ``prune.channel`` with a target, held against what the engine does."""

from pathlib import Path
from typing import Any

import pytest
from torch import nn

from engine.measure import macs_of
from engine.model import Model
from pith.errors import PithError
from tests.engine.conformance import applied
from tests.engine.test_plan import planned
from tests.engine.tiny import Cnn, Mlp, Transformer


def parameters_of(model: Model) -> int:
    return sum(each.numel() for each in model.graph.parameters())


@pytest.mark.parametrize("net", [Cnn, Mlp, Transformer])
@pytest.mark.parametrize("target", ["macs", "parameters"])
@pytest.mark.parametrize("round_to", [2, 4])
def test_a_target_is_foreseen_where_it_lands(net: type[nn.Module], target: str, round_to: int, tmp_path: Path) -> None:
    options = {"target": target, "pruning_ratio": 0.3, "round_to": round_to, "iterations": 1, "recovery": None}
    (step,) = planned(net, [{"kind": "prune.channel", **options}]).steps
    _, after = applied("prune.channel", tmp_path, net, **options)
    assert "by trial" in step.notes[0]
    assert (step.parameters.after, step.macs.after) == pytest.approx((parameters_of(after), macs_of(after)), rel=0.02)
    foreseen = step.macs if target == "macs" else step.parameters
    assert foreseen.before is not None and foreseen.after is not None and foreseen.after <= 0.7 * foreseen.before


@pytest.mark.parametrize(
    ("options", "way_out"),
    [
        ({"round_to": 64}, "lower round_to"),
        ({"round_to": 8, "pruning_ratio": 0.1}, "raise pruning_ratio or lower round_to"),
        ({"round_to": 1, "pruning_ratio": 0.001}, "raise pruning_ratio"),
    ],
)
def test_a_way_out_of_narrow_layers_is_one(options: dict[str, Any], way_out: str, tmp_path: Path) -> None:
    (refused,) = planned(Cnn, [{"kind": "prune.channel", **options}]).problems
    assert refused.detail.endswith(f"stay a multiple of {options['round_to']}; {way_out}.")
    with pytest.raises(PithError) as caught:
        applied("prune.channel", tmp_path, Cnn, **{"iterations": 1, "recovery": None, **options})
    assert caught.value.problem.detail == refused.detail


def test_layers_that_the_target_leaves_are_no_narrow_ones() -> None:
    options = {"target": "macs", "pruning_ratio": 0.02, "round_to": 4}
    (step,) = planned(Transformer, [{"kind": "prune.channel", **options}]).steps
    spared = "enough goes without it, as far as can be foreseen"
    assert step.touched and spared in step.left_alone.values()
