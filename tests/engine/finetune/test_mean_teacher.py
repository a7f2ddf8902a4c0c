"""The teacher is the average of the student, its difference is the paper's, and unlabelled samples help."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.finetune.full import apply as plain
from engine.finetune.mean_teacher import apply, average, difference, ramped, view
from engine.finetune.second import Inputs
from engine.model import Model
from pith.errors import PithError
from pith.techniques.finetune.mean_teacher import FinetuneMeanTeacher
from tests.engine.conformance import check_same, cut_and_resumed, opened
from tests.engine.tiny import DATASET_ID, Cnn, Mlp, Regression, arrays, job_folder, lifted, other_dataset, pictures

OTHER = "dts_" + "1" * 26


def tuned(root: Path, net: type[nn.Module] = Mlp, other: dict[str, Any] | None = None, **options: Any) -> Model:
    given = {name: options.pop(name) for name in ("data", "augmentation") if name in options}
    named = {} if other is None else {"unlabelled": OTHER}
    folder = job_folder(root, [{"kind": "finetune.mean_teacher", **named, **options}], net=net, **given)
    if other is not None:
        other_dataset(folder, OTHER, other)
    ctx = opened(folder)
    try:
        return apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def test_the_average_is_a_mean_at_first_and_exponential_then() -> None:
    teacher, student = lifted(Mlp), lifted(Mlp, seed=3)
    name, seen = "layers.1.weight", []
    wanted = teacher.graph.state_dict()[name].clone()
    for step in range(1, 6):
        with torch.no_grad():
            student.graph.get_submodule("layers.1").get_parameter("weight").add_(step)
        seen.append(student.graph.state_dict()[name].clone())
        share = min(1 - 1 / (step + 1), 0.75)
        wanted = share * wanted + (1 - share) * seen[-1]
        average(teacher, student, 0.75, step)
    assert torch.allclose(teacher.graph.state_dict()[name], wanted, atol=1e-5)
    (plain,), first = seen[:1], lifted(Mlp)
    average(first, lifted(Mlp, seed=3), 0.99, 1)
    old, other = (lifted(Mlp, seed=seed).graph.state_dict()[name] for seed in (0, 3))
    assert torch.allclose(first.graph.state_dict()[name], (old + other) / 2, atol=1e-6) and plain is not None


def test_the_difference_is_of_probabilities_for_classes_alone() -> None:
    one, other = torch.randn(5, 3), torch.randn(5, 3)
    p, q = (each.exp() / each.exp().sum(1, keepdim=True) for each in (one, other))
    assert torch.allclose(difference(one, other, True), ((p - q) ** 2).mean(), atol=1e-6)
    assert torch.allclose(difference(one, other, False), ((one - other) ** 2).mean())


def test_the_weight_is_ramped_up() -> None:
    config = FinetuneMeanTeacher(consistency_weight=8, ramp_up=0.4)
    assert [ramped(config, at) for at in (0, 0.2, 0.4, 0.9)] == pytest.approx(
        [8 * math.exp(-5), 8 * math.exp(-1.25), 8, 8]
    )
    assert ramped(FinetuneMeanTeacher(consistency_weight=8, ramp_up=0), 0) == 8


def test_without_decay_the_teacher_is_the_last_student(tmp_path: Path) -> None:
    """ema_decay 0 and no consistency: plain training but for what the norms saw, and the Mlp has none."""
    after = tuned(tmp_path / "one", ema_decay=0, consistency_weight=0, epochs=2)
    ctx = opened(job_folder(tmp_path / "two", [{"kind": "finetune.full", "epochs": 2}], net=Mlp))
    other = plain(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    check_same(after, other)


def test_the_unlabelled_samples_are_trained_on_and_their_labels_are_not(tmp_path: Path) -> None:
    """That they also make a model more accurate depends on the data, and is not claimed here."""
    x, y = pictures(400, 11)

    def weights(name: str, weight: float, other: dict[str, Any]) -> Tensor:
        model = tuned(tmp_path / name, other=other, consistency_weight=weight, ramp_up=0, epochs=2)
        found: Tensor = model.graph.state_dict()["layers.1.weight"]
        return found

    plain = weights("plain", 10, {"x_train": x})
    both = {"x_train": x, "x_test": x[:8], "y_test": y[:8]}  # so that no test split is taken by the labels
    right, wrong = (weights(f"turned {turn}", 10, {**both, "y_train": y[::turn].copy()}) for turn in (1, -1))
    assert torch.equal(right, wrong)
    assert not torch.equal(plain, weights("others", 10, {"x_train": -x}))
    assert torch.equal(weights("none", 0, {"x_train": x}), weights("none of others", 0, {"x_train": -x}))


@pytest.mark.parametrize(("batch_size", "labelled"), [(10, 10), (1000, 40)])
def test_more_unlabelled_samples_than_labelled_ones_are_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch_size: int, labelled: int
) -> None:
    """As many times as asked, also where there are fewer labelled ones than would make a batch."""
    seen: list[int] = []

    def recorded(inputs: Inputs, *rest: Any) -> Inputs:
        seen.append(len(inputs[0]))
        return view(inputs, *rest)

    monkeypatch.setattr("engine.finetune.mean_teacher.view", recorded)
    data = {name: rows[:40] for name, rows in arrays().items()}
    tuned(tmp_path, data=data, other={"x_train": pictures(400, 11)[0]}, batch_size=batch_size, unlabelled_ratio=2)
    assert set(seen) == {2 * labelled}


def test_numbers_are_learnt_too(tmp_path: Path) -> None:
    data = arrays(Regression)
    after = tuned(tmp_path, Regression, epochs=30, learning_rate=0.01, batch_size=32, consistency_weight=0.5)
    (given,) = after.run((torch.from_numpy(data["x_test"]),))
    assert float(((given.detach().numpy() - data["y_test"]) ** 2).mean()) < 0.3 * data["y_test"].var()


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="mixup and cutmix"):
        tuned(tmp_path / "mixed", augmentation=[{"kind": "mixup"}])
    with pytest.raises(PithError, match="no training split"):
        tuned(tmp_path / "test", other={"x_test": arrays()["x_test"]})
    with pytest.raises(PithError, match="dataset_mismatch"):
        tuned(tmp_path / "small", other={"x_train": arrays()["x_train"][..., :4]})
    assert OTHER != DATASET_ID


def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"epochs": 3, "batch_size": 64}
    whole = tuned(tmp_path / "whole", Cnn, **options)
    resumed, cuts = cut_and_resumed("finetune.mean_teacher", tmp_path / "cut", Cnn, monkeypatch, **options)
    check_same(whole, resumed)
    assert cuts == 2
