"""Weights and the module they are for: what is forgiven and said, and what is refused in full detail."""

import pytest
import torch
from torch import Tensor, nn

from engine.architectures import build
from engine.weights import fit
from engine.weights.suggest import suggest
from pith.errors import PithError


def _lenet(classes: int = 10, seed: int = 1) -> nn.Module:
    return build("pith/lenet_300_100", {"num_classes": classes}, seed).module


def _state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("prefix", ["", "module.", "module._orig_mod.", "model.", "backbone."])
def test_a_prefix_of_every_name_is_taken_off_and_said(prefix: str) -> None:
    target, given = _lenet(seed=2), _state(_lenet())
    notes = fit(target, {prefix + name: tensor for name, tensor in given.items()}, "x")
    assert all(torch.equal(target.state_dict()[name], tensor) for name, tensor in given.items())
    assert (f"The prefix {prefix} was taken off every name." in notes) == bool(prefix)


def test_a_prefix_that_belongs_to_the_module_stays() -> None:
    target = nn.Module()
    target.add_module("model", nn.Linear(2, 3))
    assert fit(target, {"model.weight": torch.ones(3, 2), "model.bias": torch.ones(3)}, "x") == ()
    assert float(target.state_dict()["model.weight"].sum()) == 6


def test_a_prefix_of_some_names_is_no_prefix() -> None:
    given = _state(_lenet())
    given["module.fc1.weight"] = given.pop("fc1.weight")
    with pytest.raises(PithError, match="1 missing, 1 unexpected"):
        fit(_lenet(), given, "pith/lenet_300_100")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32_and_it_is_said(dtype: torch.dtype) -> None:
    target = _lenet()
    notes = fit(target, {name: tensor.to(dtype) for name, tensor in _state(_lenet(seed=3)).items()}, "x")
    assert {one.dtype for one in target.parameters()} == {torch.float32}
    assert any(str(dtype).removeprefix("torch.") in note for note in notes)


def test_counters_of_batch_norm_may_be_missing_or_too_many() -> None:
    with_counters, without = nn.BatchNorm1d(3), nn.BatchNorm1d(3, track_running_stats=False)
    state = _state(nn.BatchNorm1d(3))
    fit(with_counters, {name: one for name, one in state.items() if "tracked" not in name}, "x")
    fit(without, {"weight": torch.ones(3), "bias": torch.ones(3), "num_batches_tracked": torch.tensor(3)}, "x")


def test_tied_weights_need_to_be_there_once() -> None:
    module = nn.Module()
    module.add_module("a", nn.Linear(2, 2, bias=False))
    module.add_module("b", nn.Linear(2, 2, bias=False))
    module.b.weight = module.a.weight
    fit(module, {"b.weight": torch.full((2, 2), 7.0)}, "x")
    assert float(module.state_dict()["a.weight"].sum()) == 28
    assert module.a.weight is module.b.weight


def test_every_difference_is_named() -> None:
    given = _state(_lenet(classes=7))
    given["extra/name~"] = given.pop("fc1.bias")
    target = _lenet()
    before = _state(target)
    with pytest.raises(PithError) as caught:
        fit(target, given, "pith/lenet_300_100")
    problem = caught.value.problem
    assert problem.code == "weights_mismatch"
    assert "1 missing, 1 unexpected, 2 of another shape" in problem.detail
    found = {(error.code, error.pointer): error.detail for error in problem.errors}
    assert found[("missing", "/fc1.bias")] == "fc1.bias is missing"
    assert ("unexpected", "/extra~1name~0") in found
    assert found[("wrong_shape", "/fc3.weight")] == "fc3.weight has the shape [7, 100] and should have [10, 100]"
    assert all(torch.equal(target.state_dict()[name], one) for name, one in before.items()), "nothing was loaded"


def test_the_list_of_differences_is_bounded() -> None:
    with pytest.raises(PithError) as caught:
        fit(_lenet(), {f"layer{index}": torch.zeros(1) for index in range(500)}, "x")
    assert len(caught.value.problem.errors) == 26
    assert "500 unexpected" in str(caught.value)


def test_the_architecture_that_fits_is_suggested() -> None:
    given = {f"module.{name}": one for name, one in _state(build("pith/resnet32", {"num_classes": 100}).module).items()}
    found = suggest(given)
    assert found is not None and (found.name, found.arguments, found.share) == (
        "pith/resnet32",
        {"num_classes": 100},
        1,
    )
    with pytest.raises(PithError, match="pith/resnet32 with num_classes=100 fits exactly"):
        fit(build("pith/resnet20").module, given, "pith/resnet20")


def test_the_arguments_that_the_named_architecture_needs_are_said() -> None:
    given = _state(build("pith/resnet20").module)
    with pytest.raises(PithError, match=r"see errors\); pith/resnet20 with num_classes=10 fits exactly\."):
        fit(build("pith/resnet20", {"num_classes": 100}).module, given, "pith/resnet20")
    hidden = {"in_channels": 1, "num_classes": 10}
    with pytest.raises(PithError, match=r"; pith/resnet20 with in_channels=3 fits exactly\."):
        fit(build("pith/resnet20", hidden).module, given, "pith/resnet20")


@pytest.mark.parametrize("library", ["timm", "torchvision"])
def test_the_named_architecture_comes_before_its_twin_in_another_library(library: str) -> None:
    name = f"{library}/resnet18"
    given = _state(build(name, {"num_classes": 4}, blank=True).module)
    with pytest.raises(PithError, match=f"; {name} with num_classes=4 fits exactly"):
        fit(build(name, blank=True).module, given, name)


def test_arguments_that_are_too_many_are_said() -> None:
    given = _state(build("pith/ds_cnn").module)
    with pytest.raises(PithError, match=r"; pith/ds_cnn without arguments fits exactly\."):
        fit(build("pith/ds_cnn", {"blocks": 2}).module, given, "pith/ds_cnn")


def test_classes_and_channels_are_read_off() -> None:
    found = suggest(_state(build("pith/vgg11", {"num_classes": 4, "in_channels": 1}).module))
    assert found is not None and found.arguments == {"num_classes": 4, "in_channels": 1} and found.share == 1


@pytest.mark.parametrize("name", ["timm/resnet18", "torchvision/mobilenet_v3_small"])
def test_architectures_of_the_libraries_are_suggested(name: str) -> None:
    found = suggest(_state(build(name, {"num_classes": 3}).module), seconds=60)
    assert found is not None and found.share == 1 and found.arguments == {"num_classes": 3}
    rebuilt = build(found.name, found.arguments).module
    assert fit(rebuilt, _state(build(name, {"num_classes": 3}).module), found.name) == ()


def test_nothing_is_suggested_for_weights_of_nothing_known() -> None:
    assert suggest({"a": torch.zeros(2), "b": torch.zeros(3)}) is None
