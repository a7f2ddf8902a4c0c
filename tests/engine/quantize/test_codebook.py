"""Weight sharing: k-means against a search that cannot miss, shared gradients, and what is left in a model."""

from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from torch import Tensor, nn

from engine.intake.facts import Origin, describe
from engine.model import Model
from engine.quantize import codebook
from engine.quantize.clusters import Clusters, in_float16, nearest
from engine.quantize.codebook import Codebook
from pith.errors import PithError
from pith.outlook import Given
from pith.techniques.quantize.codebook import QuantizeCodebook
from tests.engine.conformance import opened
from tests.engine.resuming import check_resumes
from tests.engine.tiny import Cnn, Mlp, job_folder, lifted

RECOVERY = {"epochs": 3, "batch_size": 32, "learning_rate": 0.01}
Start = Literal["linear", "density", "random"]


def shared(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> Model:
    ctx = opened(job_folder(root, [{"kind": "quantize.codebook", **options}], net=net))
    try:
        return codebook.apply(_sparse(ctx.baseline.copy()), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


@torch.no_grad()
def _sparse(model: Model) -> Model:
    """Half of the weights of each layer are zero."""
    for _, layer in model.layers():
        layer.weight[layer.weight.abs() < layer.weight.abs().median()] = 0
    return model


def clusters(count: int, start: Start = "linear", rate_weight: float = 0.0) -> Clusters:
    return Clusters(count, start, rate_weight, torch.Generator().manual_seed(1))


def squared_error(numbers: Tensor, values: Tensor, chosen: Tensor) -> float:
    return float((numbers - values[chosen]).square().sum())


def best_error(numbers: Tensor, count: int) -> float:
    """Of all ways to cut the sorted numbers into that many runs."""
    ordered = numbers.sort().values
    return min(
        sum(
            float((ordered[a:b] - ordered[a:b].mean()).square().sum())
            for a, b in zip((0, *cuts), (*cuts, len(ordered)), strict=True)
        )
        for cuts in combinations(range(1, len(ordered)), count - 1)
    )


@pytest.mark.parametrize("start", ["linear", "density", "random"])
@pytest.mark.parametrize("seed", range(3))
def test_no_number_and_no_centroid_can_move_to_make_the_error_less(start: Start, seed: int) -> None:
    numbers = torch.randn(500, generator=torch.Generator().manual_seed(seed))
    values, _, chosen = clusters(8, start).of(numbers)
    assert torch.equal(chosen, (numbers[:, None] - values).abs().argmin(1))
    for index in chosen.unique():
        assert float(values[index]) == pytest.approx(float(numbers[chosen == index].mean()), abs=1e-6)


def test_groups_that_are_apart_are_found() -> None:
    noise = torch.Generator().manual_seed(0)
    numbers = torch.cat([torch.randn(4, generator=noise) * 0.01 + centre for centre in (-1.0, 0.2, 2.0)])
    values, _, chosen = clusters(3).of(numbers)
    assert squared_error(numbers, values, chosen) == pytest.approx(best_error(numbers, 3), rel=1e-4)


def test_starts_are_those_of_the_paper() -> None:
    points = torch.cat([torch.zeros(90), torch.linspace(1, 10, 10)]).double()
    assert clusters(4, "linear")._start(points).tolist() == pytest.approx([0, 10 / 3, 20 / 3, 10])
    assert clusters(20, "density")._start(points).tolist() == [*[0.0] * 18, *points[[92, 97]].tolist()]
    assert set(clusters(4, "random")._start(points).tolist()) <= set(points.tolist())


def test_a_price_on_rare_values_buys_entropy() -> None:
    numbers = torch.randn(4000, generator=torch.Generator().manual_seed(0))

    def entropy(rate_weight: float) -> tuple[float, float]:
        values, _, chosen = clusters(16, "linear", rate_weight).of(numbers)
        parts = chosen.bincount().float() / len(chosen)
        parts = parts[parts > 0]
        return float(-(parts * parts.log2()).sum()), squared_error(numbers, values, chosen)

    (free, exact), (cheap, coarse) = entropy(0), entropy(0.05)
    assert cheap < free - 0.5 and coarse > exact


def test_float16_keeps_what_it_cannot_hold() -> None:
    values = torch.tensor([0.1, 1e6, 1e-12, -2.0])
    found = in_float16(values)
    assert found[0] == values[0].half().float() != values[0] and torch.equal(found[1:], values[1:])


def test_a_value_is_trained_by_the_sum_of_its_gradients() -> None:
    weight = nn.Parameter(torch.tensor([0.0, 1.0, -1.0, 1.1, 0.0, -0.9]))
    book = Codebook([weight], 1, reassigned=False)
    book.find(clusters(2))
    assert weight.tolist() == pytest.approx([0, 1.05, -0.95, 1.05, 0, -0.95])
    (weight * torch.tensor([5.0, 1, 2, 4, 7, 8])).sum().backward()
    book.gather()
    assert book.values.grad is not None and book.values.grad.tolist() == [10, 5] and weight.grad is None


def test_a_weight_changes_to_the_value_that_its_copy_is_nearest_to() -> None:
    weight = nn.Parameter(torch.tensor([0.0, 1.0, -1.0, 1.2]))
    book = Codebook([weight], 1, reassigned=True)
    book.find(clusters(2))
    (weight * torch.tensor([5.0, 1, 2, 4])).sum().backward()
    book.gather()
    assert book.copies is not None and book.copies.grad is not None and book.copies.grad.tolist() == [0, 1, 2, 4]
    with torch.no_grad():
        book.copies.copy_(torch.tensor([0.7, -0.1, -1.0, 1.2]))
    book.reassign()
    book.write()
    assert weight.tolist() == pytest.approx([0, -1, -1, 1.1]), "zeros stay, whatever their copies are"


@pytest.mark.parametrize("price", [0.0, 0.3])
def test_the_nearest_value_counts_what_it_costs(price: float) -> None:
    numbers, values = torch.linspace(-2, 2, 401), torch.tensor([1.0, -1.0, 0.1])
    costs = price * torch.tensor([1.0, 2.0, 0.0])
    every = (numbers[:, None] - values).square() + costs
    best = every.gather(1, nearest(numbers, values, costs)[:, None])[:, 0]
    torch.testing.assert_close(best, every.min(1).values)


def values_of(model: Model) -> dict[str, int]:
    return {name: len(layer.weight.unique()) for name, layer in model.layers()}


@pytest.mark.parametrize("recovery", [None, RECOVERY])
def test_layers_have_so_many_values_and_their_zeros(recovery: dict[str, Any] | None, tmp_path: Path) -> None:
    before = _sparse(lifted(Cnn))
    after = shared(tmp_path, bits=3, recovery=recovery)
    assert all(count <= 9 for count in values_of(after).values()) and max(values_of(after).values()) == 9
    for name, layer in after.layers():
        assert torch.equal(layer.weight == 0, before.graph.get_submodule(name).weight == 0)
        assert torch.equal(layer.weight, layer.weight.half().float())


def test_fine_tuning_moves_the_values_and_learns(tmp_path: Path) -> None:
    raw = shared(tmp_path / "raw", bits=2)
    tuned = shared(tmp_path / "tuned", bits=2, reassign=False, recovery=RECOVERY)
    ctx = opened(job_folder(tmp_path / "job", [{"kind": "quantize.codebook"}]))
    assert ctx.judge(tuned) > ctx.judge(raw) + 0.2
    ctx.events.close()
    one, other = (model.graph.get_submodule("hidden").weight for model in (raw, tuned))
    assert not torch.equal(one, other)
    for value in one.unique():
        assert len(other[one == value].unique()) == 1, "weights that shared a value share it still"


def test_weights_that_may_change_their_value_learn_more(tmp_path: Path) -> None:
    kept, free = (
        shared(tmp_path / str(reassign), bits=1, reassign=reassign, recovery=RECOVERY) for reassign in (False, True)
    )
    raw = shared(tmp_path / "raw", bits=1)
    one, other = (model.graph.get_submodule("hidden").weight for model in (raw, free))
    assert any(len(other[one == value].unique()) > 1 for value in one.unique())
    assert values_of(free) == values_of(kept)
    ctx = opened(job_folder(tmp_path / "job", [{"kind": "quantize.codebook"}]))
    assert ctx.judge(free) > ctx.judge(kept)
    ctx.events.close()


def test_one_codebook_for_all_layers(tmp_path: Path) -> None:
    after = shared(tmp_path, bits=3, granularity="model", recovery=RECOVERY)
    assert len(torch.cat([layer.weight.flatten() for _, layer in after.layers()]).unique()) == 9


def test_biases_share_values_where_it_is_asked_for(tmp_path: Path) -> None:
    def biases(model: Model) -> Tensor:
        return torch.cat([layer.bias.detach() for _, layer in model.layers() if layer.bias is not None])

    assert len(biases(shared(tmp_path / "kept")).unique()) > 40
    assert len(biases(shared(tmp_path / "shared", bias_bits=3, recovery=RECOVERY)).unique()) <= 9


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_it_resumes_to_the_same_bits(optimizer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step = {"kind": "quantize.codebook", "bits": 2, "bias_bits": 4, "recovery": {**RECOVERY, "optimizer": optimizer}}
    check_resumes(tmp_path, step, monkeypatch, stops=(1, 7))


def test_named_layers_stay_and_bad_choices_are_refused(tmp_path: Path) -> None:
    after = shared(tmp_path / "some", net=Mlp, bits=2, ignore=["layers.3"])
    assert values_of(after)["layers.1"] == 5 and values_of(after)["layers.3"] > 20
    facts = describe(lifted(Mlp), Origin("pt2"))
    for ignore in (["*"], ["laiers.3"]):
        config = QuantizeCodebook.model_validate({"ignore": ignore})
        (*_, refusal) = config.outlook(Given(model=facts, baseline=facts)).refusals
        with pytest.raises(PithError) as refused:
            shared(tmp_path / ignore[0].strip("*"), net=Mlp, ignore=ignore)
        assert refusal.reason in str(refused.value.problem.detail)
