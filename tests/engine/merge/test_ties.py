"""The three stages of TIES-Merging, worked by hand, and a job."""

from pathlib import Path

import pytest
import torch

from engine.merge.ties import agreed, threshold, trimmed
from engine.model import Model
from pith.errors import PithError
from tests.engine.merge.jobs import PEERS, applied, check_files, context, said
from tests.engine.tiny import Cnn, Mlp, lifted

ONE = torch.tensor([5.0, -4.0, 0.1, 3.0, 0.2])
TWO = torch.tensor([-1.0, -2.0, 0.3, 6.0, -0.1])
THREE = torch.tensor([-2.5, 0.2, 4.0, -8.0, 0.1])


def test_trim_keeps_the_largest_part_of_each_vector() -> None:
    kept = [trimmed(vector, threshold(vector, 0.6)) for vector in (ONE, TWO, THREE)]
    assert [vector.tolist() for vector in kept] == [[5, -4, 0, 3, 0], [-1, -2, 0, 6, 0], [-2.5, 0, 4, -8, 0]]


def test_elect_and_merge_by_hand() -> None:
    """Sums 1.5, -6, 4, 1, 0: signs +, -, +, +, none. Means of those that agree: 5, -(4 + 2) / 2, 4, (3 + 6) / 2, 0."""
    kept = torch.stack([trimmed(vector, threshold(vector, 0.6)) for vector in (ONE, TWO, THREE)])
    assert agreed(kept).tolist() == [5.0, -3.0, 4.0, 4.5, 0.0]


def test_signs_that_balance_leave_the_start_alone() -> None:
    assert agreed(torch.tensor([[2.0, 1.0], [-2.0, 0.0]])).tolist() == [0.0, 1.0]


def test_everything_kept_and_one_task_is_that_task() -> None:
    assert torch.equal(agreed(trimmed(ONE, threshold(ONE, 1.0))[None]), ONE)


def by_hand(base: Model, tasks: list[Model], density: float, scale: float) -> torch.Tensor:
    """The authors' way: flat vectors, the k-th value of each row, the sign of the column sums, their means."""

    def flat(model: Model) -> torch.Tensor:
        return torch.nn.utils.parameters_to_vector(model.graph.parameters()).detach().double()

    vectors = torch.stack([flat(task) - flat(base) for task in tasks])
    count = vectors.shape[1]
    places = vectors.abs().argsort(1, descending=True)[:, : round(count * density)]
    kept = torch.zeros_like(vectors).scatter(1, places, vectors.gather(1, places))
    sign = torch.sign(kept.sum(0))
    chosen = torch.where(sign > 0, kept > 0, kept < 0)
    mean = (kept * chosen).sum(0) / torch.clamp((chosen & (kept != 0)).sum(0), min=1)
    return flat(base) + scale * torch.where(sign == 0, 0.0, mean)


def test_a_job_merges_two_tasks_into_their_base(tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", "merge.ties", Mlp, (Mlp, 1), (Mlp, 2), density=0.3, scale=0.7)
    merged = applied(ctx)
    wanted = by_hand(lifted(Mlp), [lifted(Mlp, 1), lifted(Mlp, 2)], 0.3, 0.7)
    found = torch.nn.utils.parameters_to_vector(merged.graph.parameters())
    assert torch.allclose(found.double(), wanted, atol=1e-6)
    check_files(merged, Mlp, tmp_path / "files")


def test_with_a_base_of_its_own_the_model_is_one_of_the_tasks(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.ties", Mlp, (Mlp, 1), (Mlp, 2), density=0.3, peers=[PEERS[0]], base=PEERS[1])
    wanted = by_hand(lifted(Mlp, 2), [lifted(Mlp), lifted(Mlp, 1)], 0.3, 1.0)
    found = torch.nn.utils.parameters_to_vector(applied(ctx).graph.parameters())
    assert torch.allclose(found.double(), wanted, atol=1e-6)


def test_a_base_of_another_shape_is_refused(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.ties", Mlp, (Mlp, 1), (Cnn, 2), peers=[PEERS[0]], base=PEERS[1])
    with pytest.raises(PithError, match="merge_mismatch") as caught:
        applied(ctx)
    assert PEERS[1] in caught.value.problem.detail
    assert said(ctx.baseline, Mlp).shape == (64, 4)
