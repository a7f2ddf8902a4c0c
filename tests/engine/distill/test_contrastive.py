"""Contrast: who counts as another sample, what is remembered, and that samples are told apart."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import engine.distill.contrastive
from engine.distill.contrastive import Contrast, apply
from pith.techniques.distill.contrastive import DistillContrastive
from tests.engine.conformance import opened
from tests.engine.tiny import TEACHER_ID, Mlp, Transformer, arrays, job_folder

ONLY = {"logits_weight": 0, "hard_label_weight": 0, "batch_size": 32, "learning_rate": 0.01, "dimension": 16}


def batches(root: Path, monkeypatch: pytest.MonkeyPatch, data: Any = "default", **options: Any) -> list[dict[str, Any]]:
    """What was given in every batch, and the loss."""
    found: list[dict[str, Any]] = []
    forward = Contrast.forward

    def listening(
        self: Contrast, student: Tensor, teacher: Tensor, rows: Tensor, drawn: Tensor, counts: Tensor
    ) -> Tensor:
        loss = forward(self, student, teacher, rows, drawn, counts)
        found.append({"rows": rows, "drawn": drawn, "counts": counts, "loss": float(loss), "room": self})
        return loss

    monkeypatch.setattr(engine.distill.contrastive.Contrast, "forward", listening)
    step = {"kind": "distill.contrastive", "teacher": TEACHER_ID, **ONLY, **options}
    ctx = opened(job_folder(root, [step], net=Mlp, teacher=Transformer, data=data))
    apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    return found


def test_samples_of_the_same_class_are_no_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    labels = torch.from_numpy(arrays()["y_train"])
    for each in batches(tmp_path, monkeypatch, others=50):
        assert each["drawn"].shape == (50,)
        assert torch.equal(each["counts"], labels[each["rows"]][:, None] != labels[each["drawn"]])


def test_without_labels_a_sample_is_its_own_class(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = batches(tmp_path, monkeypatch, {"x_train": arrays()["x_train"]}, others=5000)
    for each in found:
        assert len(each["drawn"]) == 192, "no more than there are"
        assert torch.equal(each["counts"], each["rows"][:, None] != each["drawn"])
    assert len({tuple(each["drawn"].tolist()) for each in found}) == len(found), "every batch draws its own"


def test_samples_are_told_apart_better_and_better(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = [each["loss"] for each in batches(tmp_path, monkeypatch, epochs=12)]
    assert sum(losses[-6:]) < 0.6 * sum(losses[6:12])


def test_what_is_remembered_is_a_moving_average_of_length_one_of_the_batch_alone() -> None:
    torch.manual_seed(0)
    room = Contrast(5, 7, 10, DistillContrastive(dimension=4, momentum=0.3))
    student, teacher, rows = torch.randn(3, 5), torch.randn(3, 7), torch.tensor([1, 4, 8])
    mine, theirs = room.mine.clone(), room.theirs.clone()
    drawn = torch.arange(10)
    first = float(room(student, teacher, rows, drawn, rows[:, None] != drawn).detach())
    assert first > 0 and room.levels.isfinite().all()
    for old, new, layer, features in (
        (mine, room.mine, room.from_student, student),
        (theirs, room.theirs, room.from_teacher, teacher),
    ):
        made = functional.normalize(layer(features), dim=1)
        wanted = functional.normalize(0.3 * old[rows] + 0.7 * made, dim=1)
        assert torch.allclose(new[rows], wanted, atol=1e-6)
        others = torch.tensor([row for row in range(10) if row not in rows.tolist()])
        assert torch.equal(new[others], old[others])
    levels = room.levels.clone()
    room(student + 1, teacher, rows, drawn, rows[:, None] != drawn)
    assert torch.equal(room.levels, levels), "Z is that of the first batch"
