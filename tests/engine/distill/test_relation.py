"""Relations among samples come closer to the teacher's, whatever the lengths of both features."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.distill.losses import angles, distances
from engine.distill.relation import apply
from engine.distill.summit import length, summit, vector
from engine.model import Model
from engine.taps import tapped
from tests.engine.conformance import opened
from tests.engine.tiny import TEACHER_ID, Cnn, Mlp, Transformer, inputs_of, job_folder, lifted

ONLY = {"logits_weight": 0, "hard_label_weight": 0, "batch_size": 32, "learning_rate": 0.01, "epochs": 8}


class Convolved(nn.Module):
    """The last layer is a convolution, the scores are its means."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU())
        self.head = nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x)).mean((2, 3))
        return out


def summits(model: Model) -> Tensor:
    with torch.no_grad():
        found = tapped(model, summit(model))(*inputs_of(Cnn))
    return vector(found[1:], found[0])


@pytest.mark.parametrize(("only", "loss"), [("distance_weight", distances), ("angle_weight", angles)])
def test_relations_come_closer_by_either_part(only: str, loss: Any, tmp_path: Path) -> None:
    weights = {"distance_weight": 0, "angle_weight": 0, only: 25}
    step = {"kind": "distill.relation", "teacher": TEACHER_ID, **ONLY, **weights}
    ctx = opened(job_folder(tmp_path, [step], net=Mlp, teacher=Transformer))
    after = apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    wanted = summits(lifted(Transformer, 5))
    before, now = (float(loss(summits(model), wanted)) for model in (ctx.baseline, after))
    assert now < 0.5 * before


def test_the_features_are_one_vector_a_sample() -> None:
    for net, numbers in ((Cnn, 32), (Transformer, 32), (Convolved, 6)):
        model = lifted(net)
        assert length(model, summit(model)) == numbers and summits(model).shape == (64, numbers)
