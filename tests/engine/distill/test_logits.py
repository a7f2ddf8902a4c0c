"""The distillation loss, by the paper's equation."""

from pathlib import Path

import pytest
import torch

from engine.distill.logits import apply, softened
from pith.errors import PithError
from tests.engine.conformance import opened
from tests.engine.tiny import TEACHER_ID, Mlp, job_folder


def test_equal_outputs_cost_nothing_at_any_temperature() -> None:
    logits = torch.randn(5, 7)
    for temperature in (0.5, 1.0, 20.0):
        assert softened(logits, logits, temperature).abs() < 1e-4


def test_it_is_the_divergence_of_the_softened_outputs_times_the_square_of_the_temperature() -> None:
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    p, q = (teacher / 2).softmax(1), (student / 2).softmax(1)
    by_hand = 4 * (p * (p.log() - q.log())).sum(1).mean()
    assert torch.allclose(softened(student, teacher, 2.0), by_hand, atol=1e-6)


class _Other(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)


def test_a_teacher_with_other_classes_is_refused(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "distill.logits", "teacher": TEACHER_ID}], net=Mlp, teacher=_Other)
    ctx = opened(folder)
    with pytest.raises(PithError, match="teacher_mismatch") as caught:
        apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    assert "(None, 64)" in caught.value.problem.detail and "(None, 4)" in caught.value.problem.detail
