"""Several graphs in one: names, shared work, writing in place, and what later steps do with the whole."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.hints import hints
from engine.lift import lift
from engine.merge.compose import Composition
from engine.merge.ensemble import Mixture, side_by_side
from engine.model import Model
from engine.prune.map import prunable
from pith.job import JobSpec
from tests.engine.merge.jobs import check_files, said
from tests.engine.tiny import Cnn, Mlp, Tokens, Transformer, TwoHeads, exported, inputs_of, lifted


def mean_of(*models: Model) -> Model:
    return side_by_side(models, Mixture([1.0] * len(models), probabilities=False))


def test_different_architectures_become_one_model_under_names_of_their_own(tmp_path: Path) -> None:
    one, other = lifted(Cnn), lifted(Transformer)
    both = mean_of(one, other)
    names = {name for name, _ in one.layers()}, {name for name, _ in other.layers()}
    wanted = {f"member0.{name}" for name in names[0]} | {f"member1.{name}" for name in names[1]}
    assert {name for name, _ in both.layers()} == wanted
    assert torch.allclose(said(both, Cnn), (said(one, Cnn) + said(other, Cnn)) / 2, atol=1e-6)
    check_files(both, Cnn, tmp_path / "files")


def test_hints_keep_the_stack_of_modules_also_when_loaded_back() -> None:
    one = lifted(Cnn)
    both = mean_of(one, lifted(Cnn, seed=1))
    wanted = {f"{member}.{hint.name}" for hint in hints(one) for member in ("member0", "member1")}
    assert wanted <= {hint.name for hint in hints(both)}
    assert wanted <= {hint.name for hint in hints(Model(*lift(both.program())))}


def test_a_trunk_that_two_members_share_is_kept_and_run_once() -> None:
    one, other = lifted(Cnn), lifted(Cnn)
    with torch.no_grad():
        other.graph.get_submodule("head").weight.add_(1.0)
    both = mean_of(one, other)
    assert [name for name, _ in both.layers() if name.startswith("member1.")] == ["member1.head"]
    assert torch.allclose(said(both, Cnn), (said(one, Cnn) + said(other, Cnn)) / 2, atol=1e-6)


def test_a_weight_that_differs_in_one_bit_is_not_shared() -> None:
    one, other = lifted(Mlp), lifted(Mlp)
    with torch.no_grad():
        other.graph.get_submodule("layers.1").weight[0, 0] += 1e-6
    assert len(list(mean_of(one, other).layers())) == 4


class _InPlace(nn.Module):
    """Writes over its own input, and over a value that is read again."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        x.mul_(2.0)
        y = self.layer(x)
        return y.relu_() + x.sum(1, keepdim=True)


def test_a_member_that_writes_in_place_does_so_for_itself_alone() -> None:
    writes, reads = Model(*lift(exported(_InPlace().eval()))), lifted(Mlp)
    alone = [said(_copied_inputs(model), Mlp) for model in (writes, reads)]
    for order in ((writes, reads), (reads, writes)):
        assert torch.allclose(said(mean_of(*order), Mlp), sum(alone) / 2, atol=1e-5)


def _copied_inputs(model: Model) -> Model:
    return mean_of(model)


class _Rectified(nn.Module):
    """A residual block as they are mostly written: batch norm, sum and ReLU in place."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.conv = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.head = nn.BatchNorm2d(4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu_()
        y = self.norm(self.conv(x))
        y += x
        return self.head(y.relu_().mean((2, 3)))


def test_what_is_written_in_place_unseen_keeps_no_trunk_from_being_shared() -> None:
    torch.manual_seed(0)
    one = Model(*lift(exported(_Rectified().eval())))
    other = one.copy()
    with torch.no_grad():
        other.graph.get_submodule("head").bias.add_(1.0)
    both = mean_of(one, other)
    assert [name for name, _ in both.layers() if name.startswith("member1.")] == ["member1.head"]
    assert torch.allclose(said(both, Cnn), said(one, Cnn) + 0.5, atol=1e-5)


@pytest.mark.parametrize("net", [Tokens, TwoHeads])
def test_several_inputs_and_several_outputs(net: type[nn.Module], tmp_path: Path) -> None:
    one, other = lifted(net), lifted(net, seed=1)
    both, x = mean_of(one, other), inputs_of(net)
    assert both.signature == one.signature
    with torch.no_grad():
        for mine, first, second in zip(both.run(x), one.run(x), other.run(x), strict=True):
            assert torch.allclose(mine, (first + second) / 2, atol=1e-5)
    check_files(both, net, tmp_path / "files")


def test_it_trains_and_the_members_modes_follow() -> None:
    both = mean_of(lifted(Cnn), lifted(Transformer))
    both.graph.train()
    assert both.graph.get_submodule("member0.dropout").training
    before = both.graph.get_submodule("member0.stem.1").running_mean.clone()
    both.run(inputs_of(Cnn))[0].square().mean().backward()
    assert not torch.equal(both.graph.get_submodule("member0.stem.1").running_mean, before)
    missing = [name for name, parameter in both.graph.named_parameters() if parameter.grad is None]
    assert missing == []


def test_channels_of_members_may_go_and_only_their_outputs_stay() -> None:
    one = lifted(Cnn)
    alone = {layer.name: layer.left_alone is None for layer in prunable(one)}
    both = {layer.name: layer.left_alone is None for layer in prunable(mean_of(one, lifted(Transformer)))}
    assert {name: both[f"member0.{name}"] for name in alone} == alone
    assert not both["member1.head"]


def test_one_ensemble_may_be_a_member_of_another() -> None:
    pair = mean_of(lifted(Mlp), lifted(Mlp, seed=1))
    whole = mean_of(pair, lifted(Mlp, seed=2))
    single = [said(lifted(Mlp, seed=seed), Mlp) for seed in range(3)]
    assert torch.allclose(said(whole, Mlp), (single[0] + single[1]) / 4 + single[2] / 2, atol=1e-6)
    assert "member0.member1.layers.1" in dict(whole.layers())


def test_a_composition_may_use_one_model_twice_in_a_row() -> None:
    torch.manual_seed(0)
    layer = Model(
        *lift(torch.export.export(nn.Linear(4, 4), (torch.randn(2, 4),), dynamic_shapes=({0: torch.export.Dim.AUTO},)))
    )
    whole = Composition(layer.signature.inputs)
    once = whole.add("a", layer, whole.inputs)
    twice = whole.finish(whole.add("b", layer, once), layer.signature.outputs)
    x = torch.randn(3, 4)
    assert torch.allclose(twice.run((x,))[0], layer.run(layer.run((x,)))[0], atol=1e-6)


def test_a_spec_knows_the_models_it_names() -> None:
    id = "mdl_" + "3" * 26
    spec = JobSpec.model_validate(
        {"model": "mdl_" + "0" * 26, "recipe": [{"kind": "merge.vote", "peers": ["baseline", id]}]}
    )
    assert spec.models() == {id: "/recipe/0/peers/1"}
