"""Unstructured pruning: exactly so many, and the smallest."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.prune.magnitude import zero_smallest


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4), st.floats(0.01, 0.99), st.integers(0, 99))
def test_exactly_the_smallest_of_all_together(sizes: list[int], sparsity: float, seed: int) -> None:
    noise = torch.Generator().manual_seed(seed)
    weights = [torch.randn(size, generator=noise) for size in sizes]
    before = torch.cat(weights).abs()
    zero_smallest(weights, sparsity)
    after = torch.cat(weights)
    gone = after == 0
    assert int(gone.sum()) == round(sparsity * len(before))
    if gone.any() and not gone.all():
        assert before[gone].max() <= before[~gone].min()
    assert torch.equal(after[~gone].abs(), before[~gone])


def test_ties_are_broken_and_not_all_taken() -> None:
    weight = torch.ones(10)
    zero_smallest([weight], 0.3)
    assert int((weight == 0).sum()) == 3
