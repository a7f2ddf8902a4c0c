"""Softened scores: what is refused, and what the student learns."""

from pathlib import Path

import pytest
import torch

from engine.distill.logits import apply
from pith.errors import PithError
from tests.engine.conformance import opened
from tests.engine.tiny import TEACHER_ID, Cnn, Mlp, Transformer, inputs_of, job_folder, lifted


class _Other(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def test_a_teacher_with_other_classes_is_refused(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "distill.logits", "teacher": TEACHER_ID}], net=Mlp, teacher=_Other)
    ctx = opened(folder)
    with pytest.raises(PithError, match="teacher_mismatch") as caught:
        apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    assert "(64)" in caught.value.problem.detail and "(4)" in caught.value.problem.detail


def test_a_student_comes_to_give_the_scores_of_a_teacher_of_another_kind(tmp_path: Path) -> None:
    step = {"kind": "distill.logits", "teacher": TEACHER_ID, "epochs": 30, "hard_label_weight": 0, "batch_size": 32}
    ctx = opened(job_folder(tmp_path, [{**step, "learning_rate": 0.01}], net=Mlp, teacher=Transformer))
    after = apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    teacher, x = lifted(Transformer, 5), inputs_of(Cnn)
    with torch.no_grad():
        wanted, before, given = (model.run(x)[0].softmax(1) for model in (teacher, ctx.baseline, after))
    assert (given - wanted).abs().mean() < 0.3 * (before - wanted).abs().mean()
