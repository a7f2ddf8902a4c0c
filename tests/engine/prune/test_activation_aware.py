"""Wanda: the paper's score, computed here without its trick, on every kind of layer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.intake.facts import Origin, describe
from engine.model import Model
from engine.prune import activation_aware
from engine.prune.activation_aware import input_norms, prune
from engine.prune.rows import from_rows, to_rows
from pith.errors import PithError
from pith.outlook import Given
from pith.techniques.prune.activation_aware import PruneActivationAware
from tests.engine.conformance import opened
from tests.engine.tiny import Cnn, Mlp, Transformer, arrays, job_folder, lifted


def pruned(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> tuple[Model, Model]:
    ctx = opened(job_folder(root, [{"kind": "prune.activation_aware", **options}], net=net))
    try:
        return ctx.baseline, activation_aware.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def wanda(weight: Tensor, x: Tensor, sparsity: float) -> Tensor:
    """Algorithm 1 of the paper, for a linear layer: ``metric = W.abs() * X.norm(p=2, dim=0)``, sorted in each row."""
    metric = weight.abs() * x.norm(p=2, dim=0)
    _, order = torch.sort(metric, dim=1, stable=True)
    done = weight.clone()
    done.scatter_(1, order[:, : round(weight.shape[1] * sparsity)], 0.0)
    return done


@pytest.mark.parametrize("sparsity", [0.1, 0.5, 0.9])
def test_a_linear_layer_is_pruned_as_in_the_paper(sparsity: float) -> None:
    layer, x = nn.Linear(24, 10), torch.randn(7, 5, 24) * torch.rand(24) * 3
    wanted = wanda(layer.weight.detach(), x.flatten(0, 1), sparsity)
    prune(layer, x, sparsity)
    assert torch.equal(layer.weight, wanted)


@pytest.mark.parametrize("groups", [1, 2])
def test_a_convolution_is_pruned_as_the_linear_layer_of_its_patches(groups: int) -> None:
    layer, x = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=groups), torch.randn(5, 4, 8, 8)
    for group in range(groups):
        channels = slice(group * 4 // groups, (group + 1) * 4 // groups)
        patches = functional.unfold(x[:, channels], 3, stride=2, padding=1).transpose(1, 2).flatten(0, 1)
        outputs = slice(group * 6 // groups, (group + 1) * 6 // groups)
        found = input_norms(layer, x)[outputs].flatten(1)
        assert torch.allclose(found, patches.norm(dim=0).expand_as(found), rtol=1e-4)


def test_the_norms_of_a_transposed_convolution_are_those_of_what_each_weight_meets() -> None:
    layer, x = nn.ConvTranspose2d(4, 6, 3, groups=2), torch.randn(5, 4, 8, 8)
    found = input_norms(layer, x)
    wanted = x.square().sum((0, 2, 3)).sqrt()
    assert torch.allclose(found, wanted.view(4, 1, 1, 1).expand_as(found), rtol=1e-4)


@pytest.mark.parametrize("groups", [1, 2])
def test_rows_of_a_transposed_convolution_are_what_makes_one_output(groups: int) -> None:
    layer = nn.ConvTranspose1d(4, 6, 3, groups=groups)
    rows = to_rows(layer, layer.weight)
    assert rows.shape == (6, 3 * 4 // groups) and torch.equal(from_rows(layer, rows), layer.weight)
    for output in range(6):
        x = torch.randn(1, 4, 5)
        (gradient,) = torch.autograd.grad(layer(x)[0, output].sum(), layer.weight)
        assert int((to_rows(layer, gradient).abs().sum(1) > 0).sum()) == 1
        assert to_rows(layer, gradient)[output].abs().sum() > 0


@pytest.mark.parametrize("net", [Cnn, Transformer])
def test_each_output_loses_the_same_part(net: type[nn.Module], tmp_path: Path) -> None:
    _, after = pruned(tmp_path, net, sparsity=0.5)
    for name, layer in after.layers():
        zeros = (to_rows(layer, layer.weight) == 0).sum(1)
        wanted = round(0.5 * to_rows(layer, layer.weight).shape[1])
        assert (zeros == wanted).all(), name


def test_later_layers_are_scored_on_what_the_pruned_ones_give(tmp_path: Path) -> None:
    before, after = pruned(tmp_path, Mlp, sparsity=0.75, calibration_samples=192)
    x = torch.from_numpy(arrays()["x_train"])
    hidden = torch.relu(after.graph.get_submodule("layers.1")(x.flatten(1)))
    head = before.graph.get_submodule("layers.3").weight.detach()
    found = after.graph.get_submodule("layers.3").weight
    assert torch.equal(found != 0, wanda(head, hidden, 0.75) != 0)
    dense = torch.relu(before.graph.get_submodule("layers.1")(x.flatten(1)))
    assert not torch.equal(found != 0, wanda(head, dense, 0.75) != 0), "the test could not tell"


def test_nothing_stays_hooked_to_the_model_and_named_layers_stay(tmp_path: Path) -> None:
    before, after = pruned(tmp_path, ignore=["stem.*", "head"])
    assert all(not module._forward_pre_hooks for module in after.graph.modules())
    same = {name for name, layer in after.layers() if layer.weight.equal(before.graph.get_submodule(name).weight)}
    assert same == {"stem.0", "head"}


def test_what_cannot_work_is_said(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="matches no layer"):
        pruned(tmp_path, ignore=["stm"])
    facts = describe(lifted(Mlp), Origin("pt2"))
    given = Given(model=facts, baseline=facts)
    assert PruneActivationAware(ignore=("*",)).outlook(given).refusals
    assert PruneActivationAware().outlook(given).touched == ("layers.1", "layers.3")
