"""Learned rounding: its moments, its optimum, what it leaves alone, and a run that is cut off."""

from itertools import product
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.measure import sqnr_db
from engine.model import Weighted
from engine.quantize.lowbit.grid import Grid, as_rows, channel_axis, search
from engine.quantize.lowbit.learned import learn
from engine.quantize.lowbit.patches import Moments, moments
from pith.errors import PithError
from tests.engine.conformance import applied, check_same, cut_and_resumed, opened
from tests.engine.test_onnx_jobs import onnx_job
from tests.engine.tiny import Cnn, Mlp, inputs_of


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, bias=False),
        nn.Conv1d(4, 6, 3, dilation=2, bias=False),
        nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, bias=False),
        nn.Linear(5, 6, bias=False),
    ],
)
@torch.no_grad()
def test_moments_give_the_squared_error_of_the_outputs(layer: Weighted) -> None:
    random = torch.Generator().manual_seed(0)
    weight = layer.weight.detach()
    shape = (3, 7, 5) if isinstance(layer, nn.Linear) else (3, 4, *[9] * (weight.ndim - 2))
    x, seen = torch.randn(shape, generator=random), torch.randn(shape, generator=random)
    rounded = weight + 0.1 * torch.randn(weight.shape, generator=random)
    found = moments(layer, x, seen)
    axis = channel_axis(layer)
    wanted = layer(x)
    layer.weight.data = rounded
    direct = (layer(seen) - wanted).square().mean() - wanted.square().mean()
    rows = as_rows(weight, axis), as_rows(rounded, axis)
    assert torch.allclose(found.error(*rows).mean(), direct, rtol=1e-4, atol=1e-5)


def _correlated(size: int) -> Moments:
    x = torch.randn(64, size, generator=torch.Generator().manual_seed(1)).cumsum(1)
    second = (x.T @ x / len(x)).unsqueeze(0)
    return Moments(second, second)


def _errors(weight: torch.Tensor, grid: Grid, levels: torch.Tensor, found: Moments) -> torch.Tensor:
    return found.error(weight, grid.real(levels)) - found.error(weight, weight)


@pytest.mark.parametrize("iterations", [0, 300])
def test_it_comes_close_to_the_best_of_all_roundings(iterations: int) -> None:
    weight = torch.randn(20, 8, generator=torch.Generator().manual_seed(2))
    grid, found = search(weight, 3), _correlated(8)
    lower = grid.position(weight).floor()
    tried = [(lower + torch.tensor(up)).clamp(0, grid.top) for up in product((0, 1), repeat=8)]
    best = float(torch.stack([_errors(weight, grid, each, found) for each in tried]).amin(0).sum())
    nearest = float(_errors(weight, grid, grid.nearest(weight), found).sum())
    learned = float(_errors(weight, grid, learn(weight, 0, grid, found, iterations, lambda _: None), found).sum())
    assert learned < 1.5 * best < 0.6 * nearest


def test_without_correlation_the_nearest_level_is_best() -> None:
    weight = torch.randn(4, 16, generator=torch.Generator().manual_seed(3))
    grid, unit = search(weight, 4), torch.eye(16).unsqueeze(0)
    assert torch.equal(learn(weight, 0, grid, Moments(unit, unit), 100, lambda _: None), grid.nearest(weight))


def test_pruned_weights_stay_zero() -> None:
    weight = torch.randn(4, 8, generator=torch.Generator().manual_seed(4))
    weight[:, ::2] = 0
    grid = search(weight, 3)
    real = grid.real(learn(weight, 0, grid, _correlated(8), 200, lambda _: None))
    assert bool((real[weight == 0] == 0).all()) and bool(real.any())


def test_outputs_are_nearer_than_those_of_rounding_to_nearest(tmp_path: Path) -> None:
    x = inputs_of(Cnn)
    kept = {}
    for kind in ("adaround", "weight_only"):
        before, after = applied(f"quantize.{kind}", tmp_path / kind, Cnn, bits=3)
        with torch.no_grad():
            kept[kind] = sqnr_db(before.run(x)[0].numpy(), after.run(x)[0].numpy())
    assert kept["adaround"] > kept["weight_only"] + 3


def test_a_run_that_is_cut_off_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, whole = applied("quantize.adaround", tmp_path / "whole", Cnn, iterations=20)
    resumed, cuts = cut_and_resumed("quantize.adaround", tmp_path / "cut", Cnn, monkeypatch, iterations=20)
    assert cuts == 2
    check_same(whole, resumed)


def test_a_finished_graph_is_refused(tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.adaround"}], Mlp)
    with pytest.raises(PithError, match="model_not_trainable"):
        opened(folder)
