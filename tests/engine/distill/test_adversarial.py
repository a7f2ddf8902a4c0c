"""The discriminator learns to tell outputs apart, and the student learns against it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import engine.distill.adversarial
from engine.distill.adversarial import apply, discriminator, reversed_gradient
from engine.model import Model
from tests.engine.conformance import opened
from tests.engine.tiny import TEACHER_ID, Mlp, Regression, Transformer, arrays, inputs_of, job_folder, lifted

ONLY = {"logits_weight": 0, "hard_label_weight": 0, "batch_size": 32, "learning_rate": 0.003, "weight": 1}


def distilled(root: Path, net: type[nn.Module] = Mlp, **given: Any) -> tuple[Model, Model]:
    data, teacher = given.pop("data", "default"), Regression if net is Regression else Transformer
    step = {"kind": "distill.adversarial", "teacher": TEACHER_ID, **ONLY, **given}
    ctx = opened(job_folder(root, [step], net=net, teacher=teacher, data=data))
    after = apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    return ctx.baseline, after


def test_the_gradient_is_reversed_and_the_values_are_not() -> None:
    values = torch.randn(3, requires_grad=True)
    given = reversed_gradient(values)
    (given * torch.tensor([1.0, 2.0, 3.0])).sum().backward()  # type: ignore[no-untyped-call]
    assert torch.equal(given, values) and values.grad is not None
    assert values.grad.tolist() == [-1.0, -2.0, -3.0]


def widths(root: Path, monkeypatch: pytest.MonkeyPatch, **given: Any) -> list[int]:
    found: list[int] = []

    def listening(width: int, hidden: int) -> nn.Sequential:
        found.append(width)
        return discriminator(width, hidden)

    monkeypatch.setattr(engine.distill.adversarial, "discriminator", listening)
    distilled(root, **given)
    return found


def test_the_discriminator_sees_the_label_where_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert widths(tmp_path / "labelled", monkeypatch) == [4 + 4]
    assert widths(tmp_path / "bare", monkeypatch, data={"x_train": arrays()["x_train"]}) == [4]
    assert widths(tmp_path / "numbers", monkeypatch, net=Regression) == [1]


def test_outputs_come_to_be_distributed_as_the_teachers(tmp_path: Path) -> None:
    """Without a word of which output belongs to which sample, means come closer."""
    before, after = distilled(tmp_path, epochs=30, temperature=0.25)
    x = inputs_of(Mlp)
    with torch.no_grad():
        wanted, old, new = (
            (model.run(x)[0] / 0.25).softmax(1).mean(0) for model in (lifted(Transformer, 5), before, after)
        )
    assert (new - wanted).abs().mean() < 0.5 * (old - wanted).abs().mean()
