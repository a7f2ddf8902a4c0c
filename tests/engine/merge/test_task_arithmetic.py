"""Task vectors that are added and taken away."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from engine.merge.task_arithmetic import shares, shifted
from engine.model import Model
from pith.techniques.merge.task_arithmetic import MergeTaskArithmetic
from tests.engine.merge.jobs import PEERS, applied, check_files, context, said
from tests.engine.tiny import Cnn, Mlp, lifted


def weights(model: Model) -> Tensor:
    return torch.nn.utils.parameters_to_vector(model.graph.parameters()).detach()


def test_the_sum_of_scaled_differences() -> None:
    base, one, other = torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.0]), torch.tensor([1.0, 6.0])
    assert shifted(base, [one, other], [0.5, -0.25]).tolist() == [1.5, 1.0]


def test_a_whole_task_vector_gives_the_fine_tuned_model_back(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.task_arithmetic", Mlp, (Mlp, 1), scales=[1.0])
    assert torch.allclose(weights(applied(ctx)), weights(lifted(Mlp, 1)), atol=1e-6)


def test_a_negative_scale_goes_the_other_way(tmp_path: Path) -> None:
    ctx = context(tmp_path / "job", "merge.task_arithmetic", Mlp, (Mlp, 1), scales=[-0.5])
    result = applied(ctx)
    base, task = weights(lifted(Mlp)), weights(lifted(Mlp, 1))
    assert torch.allclose(weights(result), 1.5 * base - 0.5 * task, atol=1e-6)
    check_files(result, Mlp, tmp_path / "files")


def test_with_a_base_of_its_own_the_model_is_the_first_task(tmp_path: Path) -> None:
    options = {"peers": [PEERS[0]], "base": PEERS[1], "scales": [0.3, 0.6]}
    ctx = context(tmp_path, "merge.task_arithmetic", Mlp, (Mlp, 1), (Mlp, 2), **options)
    mine, other, base = (weights(lifted(Mlp, seed)) for seed in range(3))
    wanted = base + 0.3 * (mine - base) + 0.6 * (other - base)
    assert torch.allclose(weights(applied(ctx)), wanted, atol=1e-6)


def test_variances_of_norms_never_become_negative(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.task_arithmetic", Cnn, (Cnn, 1), scales=[-3.0], data=None)
    result = applied(ctx)
    assert bool((result.graph.get_submodule("stem.1").running_var >= 0).all())
    assert said(result, Cnn).isfinite().all()
    assert shares([-3.0]) == [1.0, 0.0] and shares([0.3, 0.3]) == [pytest.approx(0.4), 0.3, 0.3]


def test_scales_are_one_or_one_a_task() -> None:
    assert MergeTaskArithmetic(peers=PEERS).factors() == (0.4,) * 3
    with pytest.raises(ValidationError, match="2 scales for 3 fine-tuned models"):
        MergeTaskArithmetic(peers=PEERS, scales=(1, 2))
    with pytest.raises(ValidationError, match="among the peers"):
        MergeTaskArithmetic(peers=PEERS, base=PEERS[1])
