"""Soups of weights, their batch norms, and what cannot be put together."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from engine.merge.average import greedy
from engine.merge.norms import estimate_norms
from engine.merge.weights import check_alike, combined, weighted_mean
from engine.model import Model
from pith.errors import PithError
from tests.engine.merge.jobs import PEERS, applied, applied_to, check_files, context, put, said, taught
from tests.engine.tiny import Cnn, Mlp, TwoHeads, inputs_of, lifted


def state(model: Model) -> dict[str, Tensor]:
    return dict(model.graph.state_dict())


def test_a_soup_of_one_model_three_times_is_that_model_to_the_bit() -> None:
    model = lifted(Cnn)
    mixed = combined([model, model.copy(), model.copy()], weighted_mean([1, 1, 1]), [1, 1, 1])
    assert all(torch.equal(tensor, state(model)[name]) for name, tensor in state(mixed).items())


def test_every_weight_is_the_mean_by_the_given_shares() -> None:
    models = [lifted(Mlp, seed) for seed in range(3)]
    mixed = combined(models, weighted_mean([1, 2, 5]), [1, 2, 5])
    for name, tensor in state(mixed).items():
        one, two, three = (state(model)[name] for model in models)
        assert torch.allclose(tensor, one / 8 + two / 4 + three * 5 / 8, atol=1e-6)


def test_a_job_averages_and_the_result_is_a_model_as_before(tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", "merge.average", Mlp, (Mlp, 1), method="weighted", weights=[1, 3])
    mixed = applied(ctx)
    wanted = combined([lifted(Mlp), lifted(Mlp, 1)], weighted_mean([0.25, 0.75]), [1, 3])
    assert torch.allclose(said(mixed, Mlp), said(wanted, Mlp), atol=1e-6)
    check_files(mixed, Mlp, tmp_path / "files")


def test_statistics_of_batch_norms_are_those_of_the_training_inputs(tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", "merge.average", Cnn, (Cnn, 1))
    mixed = applied(ctx)
    assert ctx.dataset is not None and ctx.dataset.train is not None
    x = torch.from_numpy(ctx.dataset.train.x[0][:])
    first = mixed.graph.get_submodule("stem.0")(x)  # fewer samples than one batch: the statistics are exact
    norm = mixed.graph.get_submodule("stem.1")
    assert torch.allclose(norm.running_mean, first.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, first.var((0, 2, 3)), atol=1e-5)
    assert norm.momentum == lifted(Cnn).graph.get_submodule("stem.1").momentum


def test_without_data_statistics_are_averaged_and_a_note_says_so(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.average", Cnn, (Cnn, 1), data=None)
    mixed = applied(ctx)
    one, other = (state(lifted(Cnn, seed))["stem.1.running_var"] for seed in (0, 1))
    assert torch.allclose(state(mixed)["stem.1.running_var"], (one + other) / 2)
    assert ["averages" in note for note in ctx.notes] == [True]


def test_estimating_forgets_what_was_leaves_dropout_alone_and_puts_norms_to_rest() -> None:
    (x,), used, fresh = inputs_of(Cnn), lifted(Cnn), lifted(Cnn)
    for model, batches in ((used, [x + 2]), (used, [x, x]), (fresh, [x])):
        norms = [module for module in model.graph.modules() if isinstance(module, _BatchNorm)]
        estimate_norms(model, norms, ((batch,) for batch in batches), 9)
        assert not any(module.training for module in model.graph.modules())
    for name in ("stem.1.running_mean", "block.1.running_var"):
        assert torch.allclose(state(used)[name], state(fresh)[name], atol=1e-6)


def _scored(values: dict[frozenset[int], float], models: list[Model]):  # type: ignore[no-untyped-def]
    def average(some: list[Model]) -> tuple[float, Model]:
        places = frozenset(models.index(model) for model in some)
        return values[places], some[-1]

    return average


def test_the_greedy_soup_takes_the_best_first_and_leaves_out_what_makes_it_worse() -> None:
    models = [lifted(Mlp, seed) for seed in range(4)]
    scores = [0.5, 0.9, 0.7, 0.8]
    tried = {frozenset({1, 3}): 0.85, frozenset({1, 2}): 0.9, frozenset({1, 2, 0}): 0.91}
    chosen, _ = greedy(models, scores, _scored(tried, models))
    assert chosen == [1, 2, 0]


def test_a_greedy_soup_leaves_out_what_has_learnt_something_else(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.average", Mlp, (Mlp, 1), method="greedy")
    knows = taught(ctx)
    put(ctx, PEERS[0], taught(ctx, shift=1, steps=60))
    mixed = applied_to(ctx, knows.copy())
    assert torch.equal(said(mixed, Mlp), said(knows, Mlp))
    assert "In the soup are 1 of 2" in ctx.notes[-1]


@pytest.mark.parametrize("other", [Cnn, TwoHeads])
def test_other_shapes_are_refused_by_the_first_tensor_that_differs(other: type[nn.Module]) -> None:
    with pytest.raises(PithError, match="merge_mismatch") as caught:
        check_alike(lifted(Mlp), {"mdl_x": lifted(other)})
    assert "mdl_x" in caught.value.problem.detail and "layers.1.weight is missing" in caught.value.problem.detail


def test_another_width_is_refused_with_both_shapes() -> None:
    class Wide(Cnn):
        def __init__(self) -> None:
            super().__init__(width=24)

    with pytest.raises(PithError, match="merge_mismatch") as caught:
        check_alike(lifted(Cnn), {"mdl_x": lifted(Wide)})
    detail = caught.value.problem.detail
    assert "stem.0.weight" in detail and "(24, 1, 3, 3)" in detail and "(16, 1, 3, 3)" in detail
