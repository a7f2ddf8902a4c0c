"""The two parts of the teacher's scores: their weights, their warm-up, and whose class is the true one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import engine.distill.decoupled
from engine.distill.decoupled import apply
from engine.distill.losses import decoupled
from engine.model import Model
from tests.engine.conformance import check_same, opened
from tests.engine.tiny import TEACHER_ID, Mlp, Transformer, arrays, job_folder


def distilled(root: Path, data: Any = "default", **options: Any) -> Model:
    step = {"kind": "distill.decoupled", "teacher": TEACHER_ID, "batch_size": 64, "learning_rate": 0.01, **options}
    ctx = opened(job_folder(root, [step], net=Mlp, teacher=Transformer, data=data))
    after = apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    return after


def seen(root: Path, monkeypatch: pytest.MonkeyPatch, data: Any = "default", **options: Any) -> list[dict[str, Any]]:
    """The arguments of the loss in every batch."""
    found: list[dict[str, Any]] = []

    def listening(
        student: Tensor, teacher: Tensor, target: Tensor, temperature: float, alpha: float, beta: float
    ) -> Tensor:
        found.append({"teacher": teacher, "target": target, "alpha": alpha, "beta": beta})
        return decoupled(student, teacher, target, temperature, alpha, beta)

    monkeypatch.setattr(engine.distill.decoupled, "decoupled", listening)
    distilled(root, data, **options)
    return found


def test_both_weights_grow_in_the_first_epochs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = seen(tmp_path, monkeypatch, epochs=4, warmup_epochs=2, alpha=2, beta=6)
    assert [(each["alpha"], each["beta"]) for each in found[::3]] == [(1, 3), (2, 6), (2, 6), (2, 6)]


def test_labels_are_the_true_classes_and_the_teacher_where_there_are_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    labelled = seen(tmp_path / "labelled", monkeypatch, epochs=1)
    told = torch.cat([each["target"] for each in labelled]).bincount(minlength=4)
    bare = seen(tmp_path / "bare", monkeypatch, {"x_train": arrays()["x_train"]}, epochs=1)
    assert told.tolist() == torch.from_numpy(arrays()["y_train"]).bincount(minlength=4).tolist()
    assert all(torch.equal(each["target"], each["teacher"].argmax(1)) for each in bare)


def test_without_weights_the_teacher_is_not_heard(tmp_path: Path) -> None:
    deaf = {"alpha": 0, "beta": 0}
    check_same(distilled(tmp_path / "one", **deaf), distilled(tmp_path / "other", **deaf, temperature=50))
    heard = distilled(tmp_path / "heard").graph.state_dict()
    mute = distilled(tmp_path / "mute", **deaf).graph.state_dict()
    assert not all(torch.allclose(heard[name], mute[name]) for name in heard)
