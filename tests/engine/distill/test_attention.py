"""Attention: of features and of attention layers, chosen by what both models have."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from engine.distill.attention import apply
from engine.distill.losses import attended, attending
from engine.model import Model
from engine.taps import Tap, attentions, places, tapped
from pith.errors import PithError
from tests.engine.conformance import opened
from tests.engine.test_plan import planned
from tests.engine.tiny import TEACHER_ID, Cnn, Mlp, Transformer, inputs_of, job_folder, lifted

ONLY = {"logits_weight": 0, "hard_label_weight": 0, "batch_size": 32, "learning_rate": 0.01, "epochs": 8}


class Wide(Transformer):
    """Other widths, other heads."""

    def __init__(self) -> None:
        super().__init__(48, 6)


class Long(nn.Module):
    """Attention over other tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 16)
        self.head = nn.Linear(16, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.embed(x.reshape(x.shape[0], 1, 16, 4))
        mixed = nn.functional.scaled_dot_product_attention(tokens, tokens, tokens)
        out: torch.Tensor = self.head(mixed.mean((1, 2)))
        return out


def distilled(root: Path, net: type[nn.Module], teacher: type[nn.Module], **options: Any) -> tuple[Model, Model]:
    step = {"kind": "distill.attention", "teacher": TEACHER_ID, **ONLY, **options}
    ctx = opened(job_folder(root, [step], net=net, teacher=teacher))
    try:
        return ctx.baseline, apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def features(model: Model, taps: list[Tap]) -> list[torch.Tensor]:
    with torch.no_grad():
        return list(tapped(model, taps)(*inputs_of(Cnn))[1:])


@pytest.mark.parametrize("maps", ["auto", "probabilities"])
def test_tokens_attend_as_those_of_a_teacher_with_other_heads(maps: str, tmp_path: Path) -> None:
    before, after = distilled(tmp_path, Transformer, Wide, maps=maps)
    teacher = lifted(Wide, 5)
    wanted = features(teacher, list(attentions(teacher)))
    apart = [
        sum(float(attending(m, t)) for m, t in zip(features(model, list(attentions(model))), wanted, strict=True))
        for model in (before, after)
    ]
    assert wanted[0].shape[1] == 6 and apart[1] < 0.2 * apart[0]


def test_pictures_are_looked_at_where_the_teacher_looks(tmp_path: Path) -> None:
    before, after = distilled(tmp_path, Cnn, Cnn, hints=[{"student": "stem", "teacher": "stem"}])
    (wanted,) = features(lifted(Cnn, 5), [places(lifted(Cnn, 5))["stem"]])
    apart = [float(attended(features(model, [places(model)["stem"]])[0], wanted)) for model in (before, after)]
    assert apart[1] < 0.3 * apart[0]


def test_transformers_have_maps_of_features_too(tmp_path: Path) -> None:
    named = {"maps": "features", "hints": [{"student": "mlp.1", "teacher": "mlp.1"}]}
    before, after = distilled(tmp_path, Transformer, Wide, **named)
    (wanted,) = (each.movedim(2, 1) for each in features(lifted(Wide, 5), [places(lifted(Wide, 5))["mlp.1"]]))
    apart = [
        float(attended(features(model, [places(model)["mlp.1"]])[0].movedim(2, 1), wanted)) for model in (before, after)
    ]
    assert apart[1] < 0.5 * apart[0]


REFUSED: dict[str, tuple[type[nn.Module], type[nn.Module], dict[str, Any], str]] = {
    "vectors": (Mlp, Mlp, {}, "are vectors, without places"),
    "no attention in the teacher": (Transformer, Cnn, {"maps": "probabilities"}, "the teacher has no attention layer"),
    "no attention in the student": (Cnn, Transformer, {"maps": "probabilities"}, "the student has no attention layer"),
    "pictures and tokens": (
        Cnn,
        Transformer,
        {"hints": [{"student": "block", "teacher": "mlp.1"}]},
        "are not those of",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_compared_is_refused_by_the_plan_and_by_the_engine(name: str, tmp_path: Path) -> None:
    net, teacher, options, words = REFUSED[name]
    step = {"kind": "distill.attention", "teacher": TEACHER_ID, **options}
    assert [p.detail for p in planned(net, [step], teacher=teacher).problems if words in p.detail]
    with pytest.raises(PithError) as refused:
        distilled(tmp_path, net, teacher, **options)
    assert words in refused.value.problem.detail


def test_attention_over_other_tokens_is_refused_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(PithError) as refused:
        distilled(tmp_path, Transformer, Long)
    assert "over 8 tokens, the teacher's over 16" in refused.value.problem.detail
