"""N:M sparsity: which weights of a group stay, along which dimension, and which layers it is not for."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from engine.intake.facts import Origin, describe
from engine.lift import lift
from engine.model import Model
from engine.prune import nm
from pith.errors import PithError
from pith.outlook import Given
from pith.techniques.prune.nm import PruneNm
from tests.engine.conformance import opened
from tests.engine.resuming import check_resumes
from tests.engine.tiny import CLASSES, Cnn, Mlp, Transformer, exported, job_folder, lifted


def pruned(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> tuple[Model, Model, list[str]]:
    ctx = opened(job_folder(root, [{"kind": "prune.nm", **options}], net=net))
    try:
        after = nm.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
        return ctx.baseline, after, ctx.notes
    finally:
        ctx.events.close()


def along_input(layer: nn.Module) -> Tensor:
    weight: Tensor = layer.weight  # type: ignore[assignment]
    return weight.movedim(0 if "Transpose" in type(layer).__name__ else 1, -1)


@pytest.mark.parametrize(("n", "m"), [(2, 4), (1, 4), (4, 8), (1, 2), (3, 16)])
def test_of_every_group_along_the_input_the_largest_stay(n: int, m: int, tmp_path: Path) -> None:
    before, after, _ = pruned(tmp_path, Transformer, n=n, m=m)
    touched = 0
    for name, layer in after.layers():
        if layer.weight.shape[1] % m:
            continue
        old = before.graph.get_submodule(name).weight.reshape(-1, m)
        for group, was in zip(layer.weight.reshape(-1, m), old, strict=True):
            kept = was.abs().topk(n).indices
            assert set(group.nonzero().flatten().tolist()) == set(kept.tolist())
            assert torch.equal(group[kept], was[kept])
        touched += 1
    assert touched >= 6


def test_convolutions_are_grouped_over_input_channels_at_each_place_of_the_kernel(tmp_path: Path) -> None:
    weight = torch.randn(5, 8, 3, 3)
    was = weight.clone()
    nm.zero_in_groups(weight, 1, 2, 4)
    for place in ((0, 0), (2, 1)):
        column, old = weight[3, :, place[0], place[1]], was[3, :, place[0], place[1]]
        for start in (0, 4):
            two = old[start : start + 4].abs().topk(2).indices + start
            assert set(column[start : start + 4].nonzero().flatten().tolist()) == {int(i) - start for i in two}
    assert int((weight == 0).sum()) == weight.numel() // 2


class _Turned(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 8, 3, padding=1)
        self.second = nn.ConvTranspose2d(8, 6, 3, padding=1)
        self.last = nn.Linear(6, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.second(torch.relu(self.first(x))).mean((2, 3)))
        return out


def test_a_transposed_convolution_has_its_inputs_first(tmp_path: Path) -> None:
    _, after, notes = pruned(tmp_path, _Turned)
    groups = along_input(after.graph.get_submodule("second")).reshape(-1, 4)
    assert (groups.count_nonzero(1) == 2).all()
    assert after.graph.get_submodule("first").weight.all() and after.graph.get_submodule("last").weight.all()
    assert "first was left alone: its 1 inputs are no multiple of 4." in notes


def test_the_pattern_outlives_recovery_and_parts(tmp_path: Path) -> None:
    before, after, _ = pruned(tmp_path, Mlp, n=1, m=4, iterations=3, recovery={"epochs": 1})
    for name, layer in after.layers():
        assert (layer.weight.reshape(-1, 4).count_nonzero(1) == 1).all()
        was = before.graph.get_submodule(name).weight
        assert (layer.weight[layer.weight != 0] != was[layer.weight != 0]).any()


def test_it_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"kind": "prune.nm", "iterations": 2, "recovery": {"epochs": 2, "batch_size": 32}}
    check_resumes(tmp_path, step, monkeypatch, stops=(3, 8))


def test_no_layer_that_fits_is_refused_before_and_in_the_run(tmp_path: Path) -> None:
    with pytest.raises(PithError) as refused:
        pruned(tmp_path, Cnn, n=2, m=48, ignore=["hidden"])
    facts = describe(lifted(Cnn), Origin("pt2"))
    outlook = PruneNm(n=2, m=48, ignore=("hidden",)).outlook(Given(model=facts, baseline=facts))
    assert [refusal.reason for refusal in outlook.refusals] == ["no layer has a multiple of 48 inputs"]
    assert outlook.refusals[0].reason in str(refused.value.problem.detail)


def test_the_outlook_names_what_is_touched_and_what_is_not() -> None:
    facts = describe(Model(*_lift(_Turned)), Origin("pt2"))
    outlook = PruneNm(ignore=("last",)).outlook(Given(model=facts, baseline=facts))
    assert outlook.touched == ("second",) and not outlook.refusals
    assert outlook.left_alone == {"first": "its 1 inputs are no multiple of 4", "last": "matches last"}
    assert "of every 4 weights, 216 of 432, in 1 of 3 layers" in outlook.does


def _lift(net: type[nn.Module]) -> Any:
    return lift(exported(net().eval()))


def test_a_pattern_that_prunes_nothing_is_refused() -> None:
    with pytest.raises(ValidationError, match="so nothing would be pruned; set n to less than m"):
        PruneNm(n=4, m=4)
