"""Frozen layers stay to the bit, blocks thaw from the output backwards, and each learns at its own rate."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.finetune.partial import apply, rates
from engine.freezing import blocks
from engine.model import Model
from pith.errors import PithError
from pith.freezing import block_of
from pith.techniques.finetune.partial import FinetunePartial
from tests.engine.conformance import check_same, cut_and_resumed, opened
from tests.engine.tiny import Cnn, Mlp, Transformer, job_folder, lifted


def tuned(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> tuple[Model, Model]:
    ctx = opened(job_folder(root, [{"kind": "finetune.partial", **options}], net=net))
    try:
        return ctx.baseline, apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def changed(before: Model, after: Model) -> set[str]:
    old, new = before.graph.state_dict(), after.graph.state_dict()
    return {name for name in old if not torch.equal(old[name], new[name])}


def test_frozen_layers_keep_weights_and_statistics_to_the_bit(tmp_path: Path) -> None:
    before, after = tuned(tmp_path, freeze=["stem.*", "block.0"], epochs=2)
    moved = changed(before, after)
    assert moved and not any(name.startswith(("stem.", "block.0.")) for name in moved)
    assert {"block.1.running_mean", "block.1.weight", "hidden.weight", "head.bias"} <= moved


def test_only_what_is_named_learns(tmp_path: Path) -> None:
    before, after = tuned(tmp_path, train=["h*"], freeze=["head"], epochs=1)
    assert changed(before, after) == {"hidden.weight", "hidden.bias"}


@pytest.mark.parametrize(
    ("layer", "block"),
    [
        ("layer1.0.conv1", "layer1.0"),
        ("bert.encoder.layer.11.output.dense", "bert.encoder.layer.11"),
        ("features.0.0", "features.0"),
        ("conv1", "conv1"),
        ("head.fc", "head.fc"),
        ("layers.3", "layers.3"),
    ],
)
def test_a_block_is_the_name_up_to_its_first_number(layer: str, block: str) -> None:
    assert block_of(layer) == block


class _Crossed(nn.Module):
    """Layers that are made in another order than they run in, with a norm behind the first, and a free tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.last, self.first, self.norm = nn.Linear(8, 4), nn.Linear(64, 8), nn.LayerNorm(8)
        self.shift = nn.Parameter(torch.zeros(8))
        self.last.scale = nn.Parameter(torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.norm(self.first(x.flatten(1)) + self.shift)) * self.last.scale
        return out


def test_blocks_stand_in_the_order_in_which_they_run() -> None:
    assert blocks(lifted(_Crossed)) == [["first", "shift", "norm"], ["last"]]
    assert [block[0] for block in blocks(lifted(Transformer))][-1] == "head"


def test_rates_fall_towards_the_input_and_begin_later() -> None:
    config = FinetunePartial(epochs=6, unfreeze_every=2, layer_decay=0.5)
    rate = rates([["a"], ["b", "norm"], ["c"]], config)
    table = {name: [rate(f"{name}.weight", epoch) for epoch in range(6)] for name in ("a", "b", "norm", "c", "frozen")}
    assert table["c"] == [1] * 6 and table["a"] == [0, 0, 0, 0, 0.25, 0.25] and table["frozen"] == [0] * 6
    assert table["b"] == table["norm"] == [0, 0, 0.5, 0.5, 0.5, 0.5]


def test_thawing_reaches_back_as_far_as_the_epochs_do(tmp_path: Path) -> None:
    before, after = tuned(tmp_path, Mlp, epochs=2, unfreeze_every=2)
    assert changed(before, after) == {"layers.3.weight", "layers.3.bias"}
    before, after = tuned(tmp_path / "longer", Mlp, epochs=3, unfreeze_every=2)
    assert {"layers.1.weight", "layers.3.weight"} <= changed(before, after)


def test_a_small_decay_moves_the_first_layers_less(tmp_path: Path) -> None:
    def moved(root: Path, **options: Any) -> float:
        before, after = (each.graph.state_dict()["stem.0.weight"] for each in tuned(root, **options))
        return float((after - before).norm())

    assert moved(tmp_path / "one", layer_decay=0.2) < 0.2 * moved(tmp_path / "other")


@pytest.mark.parametrize("options", [{"freeze": ["*"]}, {"train": ["absent"]}, {"freeze": ["absent"]}])
def test_a_choice_of_nothing_is_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(PithError, match="technique_inapplicable"):
        tuned(tmp_path, **options)


def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {
        "epochs": 4,
        "unfreeze_every": 1,
        "layer_decay": 0.5,
        "batch_size": 64,
        "freeze": ["block.1"],
    }
    _, whole = tuned(tmp_path / "whole", **options)
    resumed, cuts = cut_and_resumed("finetune.partial", tmp_path / "cut", Cnn, monkeypatch, **options)
    check_same(whole, resumed)
    assert cuts == 2
