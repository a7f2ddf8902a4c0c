"""The great circle, against what is known of it."""

import math
from pathlib import Path

import pytest
import torch

from engine.merge.slerp import slerp
from tests.engine.merge.jobs import applied, check_files, context, said
from tests.engine.tiny import Transformer, lifted


def test_the_ends_are_the_models() -> None:
    one, other = torch.randn(7, 5, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    assert torch.allclose(slerp(one, other, 0.0), one, atol=1e-14)
    assert torch.allclose(slerp(one, other, 1.0), other, atol=1e-14)


@pytest.mark.parametrize("t", [0.1, 0.5, 0.8])
def test_it_is_the_rotation_in_the_plane_of_both(t: float) -> None:
    """Independent of the formula: turn the first by t times the angle between them, in an orthonormal basis."""
    one, other = torch.randn(12, dtype=torch.float64), torch.randn(12, dtype=torch.float64)
    one, other = 3 * one / one.norm(), 3 * other / other.norm()
    across = other - (other @ one) / 9 * one
    across = 3 * across / across.norm()
    angle = math.atan2(float(other @ across), float(other @ one))
    turned = math.cos(t * angle) * one + math.sin(t * angle) * across
    assert torch.allclose(slerp(one, other, t), turned, atol=1e-12)


def test_right_angles_keep_the_length_that_a_straight_line_would_lose() -> None:
    half = slerp(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0.5)
    assert torch.allclose(half, torch.full((2,), math.sqrt(0.5)))


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0, 0.0])
def test_without_an_angle_the_way_is_straight(factor: float) -> None:
    one = torch.randn(6, dtype=torch.float64)
    assert torch.allclose(slerp(one, factor * one, 0.25), (0.75 + 0.25 * factor) * one, atol=1e-6)


def test_a_job_goes_there(tmp_path: Path) -> None:
    ends = {
        t: applied(context(tmp_path / f"{t}", "merge.slerp", Transformer, (Transformer, 1), t=t)) for t in (0, 0.5, 1)
    }
    assert torch.allclose(said(ends[0], Transformer), said(lifted(Transformer), Transformer), atol=1e-6)
    assert torch.allclose(said(ends[1], Transformer), said(lifted(Transformer, 1), Transformer), atol=1e-6)
    name = "qkv.0.weight"
    one, other, half = (dict(model.graph.state_dict())[name] for model in (lifted(Transformer), ends[1], ends[0.5]))
    assert torch.allclose(half, slerp(one.double(), other.double(), 0.5).float(), atol=1e-6)
    check_files(ends[0.5], Transformer, tmp_path / "files")
