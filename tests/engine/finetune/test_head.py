"""A new head is made for the dataset's labels, learns, and what is not to learn stays to the bit."""

from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from engine.finetune.head import apply
from engine.model import Model
from pith.errors import PithError
from tests.engine.conformance import check_same, cut_and_resumed, opened
from tests.engine.tiny import Cnn, Mlp, Regression, Transformer, arrays, job_folder


def pairs() -> dict[str, Any]:
    """Pictures with two bright quarters, of which there are six pairs."""
    found: dict[str, Any] = {}
    every = list(combinations(range(4), 2))
    for split, samples in (("train", 192), ("test", 64)):
        random = np.random.default_rng(samples)
        y = random.integers(0, len(every), samples)
        x = random.normal(0, 0.3, (samples, 1, 8, 8)).astype(np.float32)
        for picture, label in zip(x, y, strict=True):
            for top, left in (divmod(quarter, 2) for quarter in every[label]):
                picture[0, top * 4 : top * 4 + 4, left * 4 : left * 4 + 4] += 0.7
        found |= {f"x_{split}": x, f"y_{split}": y}
    return found


def headed(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> tuple[Model, Model]:
    data = options.pop("data", pairs())
    ctx = opened(job_folder(root, [{"kind": "finetune.head", **options}], net=net, data=data))
    try:
        return ctx.baseline, apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


@pytest.mark.parametrize("net", [Cnn, Transformer])
def test_the_head_has_the_classes_of_the_dataset_and_learns_them(net: type[nn.Module], tmp_path: Path) -> None:
    _, after = headed(tmp_path, net, epochs=30, learning_rate=0.01, head_epochs=3, batch_size=32)
    data = pairs()
    assert after.signature.outputs[0].shape == (None, 6)
    (scores,) = after.run((torch.from_numpy(data["x_test"]),))
    assert float((scores.argmax(1).numpy() == data["y_test"]).mean()) > 0.7


def test_with_the_head_alone_all_else_stays_to_the_bit_statistics_of_norms_too(tmp_path: Path) -> None:
    before, after = headed(tmp_path, train="head", epochs=2)
    old, new = before.graph.state_dict(), after.graph.state_dict()
    assert {name for name in old if not torch.equal(old[name], new[name])} == {"head.weight", "head.bias"}


def test_layers_that_are_named_learn_beside_the_head(tmp_path: Path) -> None:
    before, after = headed(tmp_path, train=["hidden"], epochs=2)
    old, new = before.graph.state_dict(), after.graph.state_dict()
    moved = {name.rpartition(".")[0] for name in old if not torch.equal(old[name], new[name])}
    assert moved == {"head", "hidden"}


def test_in_the_first_epochs_the_head_learns_alone(tmp_path: Path) -> None:
    _, alone = headed(tmp_path / "alone", train="head", epochs=1, schedule="constant")
    _, first = headed(tmp_path / "first", epochs=2, head_epochs=1, schedule="constant")
    _, never = headed(tmp_path / "never", epochs=2, schedule="constant")
    body, other, started = (model.graph.state_dict()["hidden.weight"] for model in (first, never, alone))
    assert not torch.equal(body, started), "the rest learns in the second epoch"
    assert (body - started).norm().item() < (other - started).norm().item()


def test_targets_give_the_head_as_many_numbers(tmp_path: Path) -> None:
    data = arrays(Regression)
    _, after = headed(tmp_path, Mlp, data=data, epochs=20, learning_rate=0.01, batch_size=32)
    (given,) = after.run((torch.from_numpy(data["x_test"]),))
    assert given.shape == (64, 1)
    assert float(((given.detach().numpy() - data["y_test"]) ** 2).mean()) < 0.2 * data["y_test"].var()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"classes": 3}, "the dataset has 6"),
        ({"train": ["absent*"]}, "matches no layer"),
        ({"epochs": 2, "head_epochs": 2}, "nothing but the head would learn"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(PithError, match=said):
        headed(tmp_path, **options)


def test_more_outputs_than_classes_are_allowed(tmp_path: Path) -> None:
    _, after = headed(tmp_path, classes=9)
    assert after.signature.outputs[0].shape == (None, 9)


def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"epochs": 4, "head_epochs": 2, "batch_size": 64}
    ctx = opened(job_folder(tmp_path / "whole", [{"kind": "finetune.head", **options}]))
    whole = apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    resumed, cuts = cut_and_resumed("finetune.head", tmp_path / "cut", Cnn, monkeypatch, **options)
    check_same(whole, resumed)
    assert cuts == 2
