"""Unstructured pruning: exactly so many and the lowest, by every criterion, in every scope, and on a schedule."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from torch import nn
from torch.nn import functional

from engine.intake.facts import Origin, describe
from engine.model import Model
from engine.prune import magnitude
from engine.prune.lowest import lamp, lowest, zero_lowest
from engine.prune.magnitude import cubic, progress
from engine.prune.saliency import Gradients
from pith.errors import PithError
from pith.outlook import Given
from pith.techniques.prune.magnitude import Gradual, PruneMagnitude
from tests.engine.conformance import opened
from tests.engine.resuming import check_resumes
from tests.engine.tiny import Cnn, Mlp, job_folder, lifted


def pruned(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> tuple[Model, Model]:
    ctx = opened(job_folder(root, [{"kind": "prune.magnitude", **options}], net=net))
    try:
        return ctx.baseline, magnitude.apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def zeros(model: Model) -> dict[str, int]:
    return {name: int((layer.weight == 0).sum()) for name, layer in model.layers()}


def sizes(model: Model) -> dict[str, int]:
    return {name: layer.weight.numel() for name, layer in model.layers()}


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.floats(0.01, 0.99), st.integers(0, 99))
def test_exactly_the_smallest_of_all_together(counts: list[int], sparsity: float, seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    weights = [torch.randn(count, generator=noise) for count in counts]
    before = torch.cat(weights).abs()
    zero_lowest(weights, [weight.abs() for weight in weights], sparsity)
    after = torch.cat(weights)
    gone = after == 0
    assert int(gone.sum()) == round(sparsity * len(before))
    if gone.any() and not gone.all():
        assert before[gone].max() <= before[~gone].min()
    assert torch.equal(after[~gone].abs(), before[~gone])


def test_ties_are_broken_and_not_all_taken() -> None:
    assert lowest(torch.tensor([2.0, 1.0, 1.0, 1.0, 3.0]), 2).tolist() == [False, True, True, False, False]
    assert lowest(torch.ones(2, 3), 1).tolist() == [[True, False, False]] * 2
    assert not lowest(torch.ones(3), 0).any()


def test_lamp_is_the_papers_equation() -> None:
    weight = torch.randn(5, 7)
    found = lamp(weight)
    for row in range(5):
        for column in range(7):
            at_least = weight[weight.abs() >= weight[row, column].abs()].double()
            wanted = weight[row, column].double() ** 2 / (at_least**2).sum()
            assert found[row, column] == pytest.approx(float(wanted))


@pytest.mark.parametrize("criterion", ["l1", "l2", "lamp", "taylor", "random"])
def test_each_layer_loses_the_same_part(criterion: str, tmp_path: Path) -> None:
    before, after = pruned(tmp_path, sparsity=0.6, criterion=criterion)
    assert zeros(after) == {name: round(0.6 * size) for name, size in sizes(before).items()}


@pytest.mark.parametrize("scope", ["global", "normalized"])
@pytest.mark.parametrize("criterion", ["l1", "lamp", "taylor", "random"])
def test_all_layers_together_lose_it(criterion: str, scope: str, tmp_path: Path) -> None:
    before, after = pruned(tmp_path, sparsity=0.6, criterion=criterion, scope=scope)
    assert sum(zeros(after).values()) == round(0.6 * sum(sizes(before).values()))
    assert zeros(after) != {name: round(0.6 * size) for name, size in sizes(before).items()}


def test_a_normalized_scope_does_not_see_how_a_layer_is_scaled(tmp_path: Path) -> None:
    for criterion in ("l1", "l2"):
        config = PruneMagnitude(criterion=criterion, scope="normalized")
        weights = [torch.randn(4, 5), torch.randn(6, 3)]
        chance = torch.Generator()
        found = magnitude.scores(weights, None, config, chance)
        scaled = magnitude.scores([weights[0] * 64, weights[1]], None, config, chance)
        assert all(torch.allclose(one, other) for one, other in zip(found, scaled, strict=True))
        power = 1 if criterion == "l1" else 2
        assert torch.allclose(found[0], weights[0].abs() ** power / (weights[0].abs() ** power).mean())


def test_taylor_is_the_square_of_the_change_that_the_gradient_foretells(tmp_path: Path) -> None:
    ctx = opened(job_folder(tmp_path, [{"kind": "prune.magnitude", "criterion": "taylor"}], net=Mlp))
    model = ctx.baseline.copy()
    layer = model.graph.get_submodule("layers.1")
    gradients = Gradients([layer.weight])
    gradients.measure(model, 10_000, ctx)
    ctx.events.close()
    split = ctx.training_data(labels=True)
    order = torch.randperm(192, generator=magnitude.generator(ctx.spec.seed, 0, 0))
    wanted = torch.zeros_like(layer.weight)
    for rows in (order[:128], order[128:]):
        x, y = torch.from_numpy(split.x[0][rows.numpy()]).float(), torch.from_numpy(split.y[rows.numpy()])
        (gradient,) = torch.autograd.grad(functional.cross_entropy(model.graph(x), y), layer.weight)
        wanted += gradient.square() / 2
    assert torch.allclose(gradients.squares()[0], wanted, rtol=1e-4)
    assert layer.weight.grad is None


def test_cubic_is_the_papers_equation_and_ends_where_it_should() -> None:
    gradual = Gradual(begin=0.1, end=0.9, every=10)
    steps = {step: at for step in range(1, 1001) if (at := progress(step, 1000, gradual)) is not None}
    assert list(steps)[:3] == [110, 120, 130] and list(steps)[-1] == 900 and len(steps) == 80
    for step, at in steps.items():
        assert cubic(0.2, 0.95, at) == pytest.approx(0.95 + (0.2 - 0.95) * (1 - (step - 100) / (80 * 10)) ** 3)
    assert cubic(0.2, 0.95, 1.0) == 0.95


@pytest.mark.parametrize("steps", [1, 2, 7, 51])
def test_a_short_training_still_reaches_the_end(steps: int) -> None:
    reached = [progress(step, steps, Gradual()) for step in range(1, steps + 1)]
    assert 1.0 in reached


@pytest.mark.parametrize("criterion", ["l1", "taylor"])
def test_gradual_pruning_ends_at_the_sparsity_and_trains(criterion: str, tmp_path: Path) -> None:
    options = {"criterion": criterion, "scope": "global", "sparsity": 0.8, "gradual": {"every": 2}}
    before, after = pruned(tmp_path, recovery={"epochs": 3, "batch_size": 32}, **options)
    assert sum(zeros(after).values()) == round(0.8 * sum(sizes(before).values()))
    kept = [(layer.weight, before.graph.get_submodule(name).weight) for name, layer in after.layers()]
    assert any((one[one != 0] != other[one != 0]).any() for one, other in kept)


def test_gradual_pruning_gives_the_undisturbed_bits_when_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = {
        "kind": "prune.magnitude",
        "criterion": "taylor",
        "scope": "global",
        "sparsity": 0.8,
        "gradual": {"every": 3, "end": 0.9},
        "recovery": {"epochs": 4, "batch_size": 32},
    }
    check_resumes(tmp_path, step, monkeypatch, stops=(2, 7, 12))


def test_parts_by_chance_grow_and_do_not_start_anew(tmp_path: Path) -> None:
    options = {"criterion": "random", "sparsity": 0.6, "scope": "global"}
    once = pruned(tmp_path / "once", **options)[1]
    thrice = pruned(tmp_path / "thrice", iterations=3, **options)[1]
    assert sum(zeros(once).values()) == sum(zeros(thrice).values())


def test_named_layers_stay(tmp_path: Path) -> None:
    after = pruned(tmp_path, ignore=["block.*", "head"], scope="global")[1]
    assert {name for name, count in zeros(after).items() if count} == {"stem.0", "hidden"}


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "a pattern without a layer": ({"ignore": ["blok.*"]}, "ignore has 'blok.*', which matches no layer"),
    "all layers ignored": ({"ignore": ["*"]}, "no convolution and no linear layer to work on"),
    "nothing left of a layer": ({"sparsity": 0.9999, "scope": "layer"}, "nothing is left of layer"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_work_is_said(name: str, tmp_path: Path) -> None:
    options, words = BAD[name]
    with pytest.raises(PithError, match="technique_inapplicable") as refused:
        pruned(tmp_path, net=Mlp, **options)
    assert words in str(refused.value.problem.detail)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gradual": {}}, "add recovery"),
        ({"gradual": {}, "recovery": {}, "iterations": 2}, "not both"),
        (
            {"gradual": {"begin": 0.6, "end": 0.5}, "recovery": {}},
            "begin is 0.6 and end is 0.5; set begin to less than end",
        ),
    ],
)
def test_schedules_that_make_no_sense_are_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        PruneMagnitude.model_validate(options)


def test_the_outlook_refuses_what_the_engine_refuses() -> None:
    facts = describe(lifted(Mlp), Origin("pt2"))
    given = Given(model=facts, baseline=facts)
    assert not PruneMagnitude().outlook(given).refusals
    assert PruneMagnitude(ignore=("layers.1",)).outlook(given).touched == ("layers.3",)
    for options in ({"ignore": ["blok.*"]}, {"ignore": ["*"]}):
        assert PruneMagnitude.model_validate(options).outlook(given).refusals


def test_taylor_asks_for_labels_and_counts_the_samples_it_looks_at() -> None:
    assert "labels" in PruneMagnitude(criterion="taylor").required()
    assert "labels" not in PruneMagnitude().required()


def test_squares_of_gradients_are_remembered_for_some_thousand_batches() -> None:
    weight = nn.Parameter(torch.zeros(1))
    gradients = Gradients([weight])
    for value, batches in ((1.0, 3000), (0.0, 100)):
        weight.grad = torch.full((1,), value)
        for _ in range(batches):
            gradients.gather()
    (square,) = gradients.squares()
    assert 0.8 < float(square) < 0.9
