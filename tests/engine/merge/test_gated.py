"""A gate that learns whom to trust with what."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.merge.ensemble import side_by_side
from engine.merge.gated import Eye, Gate, summary
from engine.model import Model
from tests.engine.merge.jobs import PEERS, applied, applied_to, check_files, context, put, said, taught
from tests.engine.tiny import Cnn, Mlp, Regression, Tokens, arrays, inputs_of, lifted

LONG = {"epochs": 60, "batch_size": 32, "learning_rate": 0.01}


def right(model: Model) -> float:
    labels = torch.from_numpy(arrays(Mlp)["y_test"])
    return float((said(model, Mlp).argmax(1) == labels).float().mean())


def gate_of(model: Model) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.graph.state_dict().items() if name.startswith("combine.")}


class Left(nn.Module):
    """Knows classes 0 and 2, whose quarter lies on the left, and is sure of the wrong one elsewhere."""

    side = 0

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(1.0))

    def forward(self, x: Tensor) -> Tensor:
        quarters = nn.functional.avg_pool2d(x, 4).flatten(1) * 10 * self.scale
        known = torch.tensor([1.0, -1.0, 1.0, -1.0]) * (1 - 2 * self.side)
        return quarters * known


class Right(Left):
    """Knows classes 1 and 3."""

    side = 1


@pytest.mark.parametrize("sees", ["inputs", "both"])
def test_each_expert_is_trusted_where_it_knows(sees: str, tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", "merge.gated", Left, (Right, 1), sees=sees, **LONG)
    whole = applied(ctx)
    alone = [right(lifted(net)) for net in (Left, Right)]
    assert max(alone) < 0.75 and right(whole) > 0.95
    check_files(whole, Mlp, tmp_path / "files")


def test_the_better_of_two_is_preferred(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.gated", Mlp, (Mlp, 1), sees="outputs", **LONG)
    knows, misled = taught(ctx, steps=60), taught(ctx, shift=1, steps=60)
    put(ctx, PEERS[0], misled)
    whole = applied_to(ctx, knows.copy())
    assert right(knows) > 0.95 and right(misled) < 0.05
    assert right(whole) >= right(knows)


def test_equal_experts_stay_what_they_are(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.gated", Mlp, (Mlp, 0), epochs=3, learning_rate=0.1)
    whole = applied(ctx)
    assert torch.allclose(said(whole, Mlp).softmax(1), said(lifted(Mlp), Mlp).softmax(1), atol=1e-6)
    assert [name for name, _ in whole.layers() if name.startswith("member1.")] == []


def test_an_untrained_gate_averages() -> None:
    found = [lifted(Mlp, seed) for seed in range(3)]
    x = inputs_of(Mlp)
    samples = (*x, torch.stack([said(model, Mlp) for model in found]))
    gate = Gate(Eye(found[0].signature, {}, "inputs", True), 8, samples, 3)
    with torch.no_grad():
        given = side_by_side(found, gate, sees_inputs=True).run(x)[0].softmax(1)
    assert torch.allclose(given, samples[-1].softmax(2).mean(0), atol=1e-6)


def test_the_members_are_not_trained_along(tmp_path: Path) -> None:
    whole = applied(context(tmp_path, "merge.gated", Cnn, (Cnn, 1), epochs=2))
    members = {name: tensor for name, tensor in whole.graph.state_dict().items() if name.startswith("member0.")}
    before = lifted(Cnn).graph.state_dict()
    assert members and all(
        torch.equal(tensor, before[name.removeprefix("member0.")]) for name, tensor in members.items()
    )
    assert bool((gate_of(whole)["combine.rule.shares.weight"] != 0).any())
    assert all(parameter.requires_grad for parameter in whole.graph.parameters())


def test_texts_are_seen_by_their_tokens(tmp_path: Path) -> None:
    whole = applied(context(tmp_path / "job", "merge.gated", Tokens, (Tokens, 1)))
    assert gate_of(whole)["combine.rule.eye.tables.0.weight"].shape == (20, 16)
    assert "combine.rule.mean" not in gate_of(whole)
    check_files(whole, Tokens, tmp_path / "files")


def test_numbers_are_mixed_as_they_are(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.gated", Regression, (Regression, 1), schema={"task": "tabular-regression"})
    given = said(applied(ctx), Regression)
    ends = torch.stack([said(lifted(Regression, seed), Regression) for seed in (0, 1)])
    assert ((given >= ends.amin(0) - 1e-5) & (given <= ends.amax(0) + 1e-5)).all()


def test_what_the_gate_sees_is_small() -> None:
    assert summary(torch.randn(2, 3, 50, 70), (None, 3, 50, 70)).shape == (2, 3 * 7 * 7)
    assert summary(torch.randn(2, 3, 50, 70), (None, 3, None, 70)).shape == (2, 3 * 70)
    assert summary(torch.randn(2, 16000), (None, 16000)).shape == (2, 1000)
    assert summary(torch.randn(2), (None,)).shape == (2, 1)
