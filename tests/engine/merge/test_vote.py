"""Votes, and what decides between equally many."""

from pathlib import Path

import pytest
import torch

from engine.merge.vote import tally
from pith.errors import PithError
from tests.engine.merge.jobs import applied, check_files, context, said
from tests.engine.tiny import Cnn, Mlp, Regression, Transformer, lifted


def scores(*rows: list[float]) -> torch.Tensor:
    """Probabilities of one sample, one row a member, as scores."""
    return torch.tensor(rows).log()[:, None]


def test_most_votes_win_even_against_a_louder_minority() -> None:
    given = tally(scores([0.4, 0.35, 0.25], [0.4, 0.35, 0.25], [0.0001, 0.9998, 0.0001]))
    assert given.argmax() == 0


def test_equally_many_votes_are_decided_by_the_probabilities() -> None:
    assert tally(scores([0.6, 0.4], [0.1, 0.9])).argmax() == 1
    assert tally(scores([0.9, 0.1], [0.4, 0.6])).argmax() == 0
    assert tally(scores([0.5, 0.3, 0.2], [0.2, 0.3, 0.5], [0.1, 0.6, 0.3])).argmax() == 1


def test_a_class_without_votes_never_wins_whatever_its_probability() -> None:
    given = tally(scores([0.34, 0.33, 0.33], [0.01, 0.5, 0.49], [0.01, 0.49, 0.5]))
    assert given.argmax() == 1
    assert tally(scores([0.51, 0.0, 0.49], [0.0, 0.51, 0.49])).argmax() != 2


def test_the_result_is_a_distribution() -> None:
    given = tally(torch.randn(5, 7, 4))
    assert torch.allclose(given.exp().sum(1), torch.ones(7), atol=1e-5)
    assert torch.isfinite(tally(torch.tensor([[[1000.0, -1000.0]], [[1000.0, -1000.0]]]))).all()


def test_a_job_votes(tmp_path: Path) -> None:
    nets = (Cnn, Transformer, Mlp)
    whole = applied(context(tmp_path / "job", "merge.vote", Cnn, (Transformer, 1), (Mlp, 2)))
    alone = torch.stack([said(lifted(net, seed), Cnn) for seed, net in enumerate(nets)])
    votes = torch.nn.functional.one_hot(alone.argmax(2), 4).sum(0)
    chosen = said(whole, Cnn).argmax(1)
    assert (votes.gather(1, chosen[:, None])[:, 0] == votes.amax(1)).all()
    assert torch.equal(chosen, (votes + alone.softmax(2).mean(0) / 2).argmax(1))
    check_files(whole, Cnn, tmp_path / "files")


def test_numbers_are_not_voted_on(tmp_path: Path) -> None:
    ctx = context(tmp_path, "merge.vote", Regression, (Regression, 1), schema={"task": "tabular-regression"})
    with pytest.raises(PithError, match="technique_inapplicable") as caught:
        applied(ctx)
    assert "merge.weighted" in caught.value.problem.detail
