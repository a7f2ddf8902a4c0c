"""Averages of outputs, and models that cannot stand side by side."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from pith.errors import PithError
from pith.techniques.merge.weighted import MergeWeighted
from tests.engine.merge.jobs import PEERS, applied, check_files, context, said
from tests.engine.tiny import Cnn, Mlp, Regression, Tokens, Transformer, lifted


def test_softmax_of_the_result_is_the_average_of_the_probabilities(tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", "merge.weighted", Cnn, (Transformer, 1), (Mlp, 2), weights=[1, 2, 5])
    whole = applied(ctx)
    alone = [said(lifted(net, seed), Cnn).softmax(1) for seed, net in enumerate((Cnn, Transformer, Mlp))]
    assert torch.allclose(said(whole, Cnn).softmax(1), alone[0] / 8 + alone[1] / 4 + alone[2] * 5 / 8, atol=1e-6)
    check_files(whole, Cnn, tmp_path / "files")


def test_logits_are_averaged_as_they_are(tmp_path: Path) -> None:
    whole = applied(context(tmp_path, "merge.weighted", Mlp, (Mlp, 1), average="logits", weights=[3, 1]))
    wanted = 0.75 * said(lifted(Mlp), Mlp) + 0.25 * said(lifted(Mlp, 1), Mlp)
    assert torch.allclose(said(whole, Mlp), wanted, atol=1e-6)


def test_a_model_of_no_weight_is_left_out(tmp_path: Path) -> None:
    whole = applied(context(tmp_path, "merge.weighted", Mlp, (Mlp, 1), (Mlp, 2), weights=[1, 0, 1]))
    assert {name.partition(".")[0] for name, _ in whole.layers()} == {"member0", "member1"}
    wanted = (said(lifted(Mlp), Mlp).softmax(1) + said(lifted(Mlp, 2), Mlp).softmax(1)) / 2
    assert torch.allclose(said(whole, Mlp).softmax(1), wanted, atol=1e-6)


def test_outputs_that_are_no_classes_are_averaged(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.weighted", Regression, (Regression, 1), schema={"task": "tabular-regression"})
    wanted = (said(lifted(Regression), Regression) + said(lifted(Regression, 1), Regression)) / 2
    assert torch.allclose(said(applied(ctx), Regression), wanted, atol=1e-6)


class _Five(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x.flatten(1))
        return out


@pytest.mark.parametrize("kind", ["merge.weighted", "merge.vote", "merge.gated"])
def test_other_classes_are_refused_with_both_counts(kind: str, tmp_path: Path) -> None:
    with pytest.raises(PithError, match="merge_mismatch") as caught:
        applied(context(tmp_path, kind, Mlp, (_Five, 1)))
    detail = caught.value.problem.detail
    assert PEERS[0] in detail and "float32 (5)" in detail and "float32 (4)" in detail


def test_other_inputs_are_refused_with_both_shapes(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="merge_mismatch") as caught:
        applied(context(tmp_path, "merge.weighted", Mlp, (Tokens, 1)))
    detail = caught.value.problem.detail
    assert "int64 (any) and int64 (any)" in detail and "float32 (1, 8, 8)" in detail


def test_weights_are_one_a_model_and_not_all_zero() -> None:
    with pytest.raises(ValidationError, match="2 weights for 3 models"):
        MergeWeighted(peers=PEERS[:2], weights=(1, 2))
    with pytest.raises(ValidationError, match="zero alone"):
        MergeWeighted(peers=PEERS[:1], weights=(0, 0))
    with pytest.raises(ValidationError, match="twice"):
        MergeWeighted(peers=(PEERS[0], PEERS[0]))
