"""Adapters learn, nothing else does, and what is handed out is the plain model with the product in its weights."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import engine.reload
from engine.finetune.lora import Adapted, Beside, apply
from engine.model import Model
from engine.run import run
from pith.errors import PithError
from pith.techniques.finetune.lora import FinetuneLora
from tests.engine.conformance import check_same, cut_and_resumed, opened
from tests.engine.finetune.test_partial import changed
from tests.engine.tiny import Cnn, Mlp, Transformer, arrays, built, job_folder, lifted


def tuned(root: Path, net: type[nn.Module] = Mlp, sparse: str = "", **options: Any) -> tuple[Model, Model]:
    ctx = opened(job_folder(root, [{"kind": "finetune.lora", **options}], net=net))
    if sparse:
        weight = ctx.baseline.graph.get_submodule(sparse).get_parameter("weight").data
        weight.masked_fill_(weight.abs() < weight.abs().median(), 0)
    try:
        return ctx.baseline, apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


# The transformer's positions are no layer of weights; without them it cannot tell all classes apart.
@pytest.mark.parametrize(("net", "least"), [(Mlp, 0.9), (Transformer, 0.4)])
def test_it_learns_by_changes_of_low_rank_alone(net: type[nn.Module], least: float, tmp_path: Path) -> None:
    before, after = tuned(tmp_path, net, rank=4, epochs=20, learning_rate=0.01, batch_size=32, dropout=0.1)
    data = arrays(net)
    (scores,) = after.run((torch.from_numpy(data["x_test"]),))
    assert float((scores.argmax(1).numpy() == data["y_test"]).mean()) > least
    moved = changed(before, after)
    assert moved == {f"{name}.weight" for name, layer in before.layers() if isinstance(layer, nn.Linear)}
    old, new = before.graph.state_dict(), after.graph.state_dict()
    for name in moved:
        strengths = torch.linalg.svdvals(new[name] - old[name])
        assert strengths[3] > 1e-4 and (strengths[4:] < 1e-5 * strengths[0]).all(), "of rank four"


def adapter(layer: nn.Linear | nn.Conv2d, **options: Any) -> Adapted:
    made = Adapted(layer, FinetuneLora(**options), torch.Generator().manual_seed(0))
    with torch.no_grad():
        made.up.normal_(generator=torch.Generator().manual_seed(1))
    return made


def test_a_linear_adapter_is_the_paper_s_equation() -> None:
    layer, x = nn.Linear(6, 5), torch.randn(3, 6)
    made = adapter(layer, rank=2, alpha=8)
    a, b = made.down.detach(), made.up.detach()
    by_hand = x @ layer.weight.T + layer.bias + (8 / 2) * (x @ a.T @ b.T)
    assert torch.allclose(made(x), by_hand, atol=1e-5)
    fresh = Adapted(layer, FinetuneLora(), torch.Generator())
    assert torch.equal(fresh(x), layer(x)), "nothing changes before the first step"


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("layer", "shape"), [(nn.Linear(6, 5), (3, 6)), (nn.Conv2d(3, 5, 3, stride=2, padding=1, dilation=2), (2, 3, 9, 9))]
)
def test_merged_is_the_same_function(layer: nn.Linear | nn.Conv2d, shape: tuple[int, ...], sparse: bool) -> None:
    layer = copy.deepcopy(layer)
    with torch.no_grad():
        layer.weight.masked_fill_(layer.weight.abs() < (layer.weight.abs().median() if sparse else 0), 0)
    zeros, x = layer.weight == 0, torch.randn(shape)
    made = adapter(layer, rank=2)
    beside = made(x)
    with torch.no_grad():
        made.merge()
    assert torch.allclose(layer(x), beside, atol=1e-4)
    assert bool(zeros.any()) == sparse and not layer.weight[zeros].any() and layer.weight[~zeros].all()


def test_zeros_of_a_sparse_layer_stay_zero(tmp_path: Path) -> None:
    before, after = tuned(tmp_path, sparse="layers.1", epochs=2)
    old, new = (each.graph.state_dict()["layers.1.weight"] for each in (before, after))
    assert not new[old == 0].any() and not torch.equal(old, new)


def test_convolutions_where_they_are_named_grouped_ones_left_alone(tmp_path: Path) -> None:
    before, after = tuned(tmp_path, Cnn, targets=["block.*", "stem.0"], epochs=1)
    assert changed(before, after) == {"block.3.weight", "stem.0.weight"}


def test_the_graph_with_adapters_shares_the_model_s_other_layers() -> None:
    model = lifted(Cnn)
    layer = model.graph.get_submodule("hidden")
    assert isinstance(layer, nn.Linear)
    beside = Beside(model, {"hidden": adapter(layer)})
    x = torch.randn(2, 1, 8, 8)
    assert not torch.equal(beside(x), model.graph(x)) and model.graph.get_submodule("hidden") is layer
    parameters = {id(each) for each in model.graph.parameters()}
    assert beside.graph is not None
    assert beside.graph.get_submodule("stem.0").weight is model.graph.get_submodule("stem.0").weight
    assert len([each for each in beside.graph.parameters() if id(each) not in parameters]) == 2


class _Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.conv(x)).mean((2, 3))


@pytest.mark.parametrize(
    ("net", "options", "said"),
    [
        (_Convolved, {}, "no linear layers for LoRA"),
        (Mlp, {"targets": ["absent"]}, "matches no layer"),
        (Cnn, {"targets": ["block.0"]}, "grouped"),
    ],
)
def test_a_model_without_a_place_for_adapters_is_refused(
    net: type[nn.Module], options: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(PithError, match=said):
        tuned(tmp_path, net, **options)


def test_the_outputs_are_those_of_a_plain_model(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "finetune.lora"}], net=Mlp)
    report = run(folder.root, engine.reload.main)
    assert report.result.get("parameters") == report.baseline.get("parameters")
    assert report.result.get("parameters") == sum(each.numel() for each in built(Mlp).parameters())


def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"epochs": 3, "batch_size": 64, "dropout": 0.2, "targets": ["*"]}
    _, whole = tuned(tmp_path / "whole", Cnn, **options)
    resumed, cuts = cut_and_resumed("finetune.lora", tmp_path / "cut", Cnn, monkeypatch, **options)
    check_same(whole, resumed)
    assert cuts == 2
