"""Models one behind another."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.lift import lift
from engine.merge.ensemble import ends
from engine.merge.sequential import one_behind_another
from engine.model import Model
from pith.errors import PithError
from pith.peers import behind
from tests.engine.merge.jobs import PEERS, applied, check_files, context, said
from tests.engine.tiny import CLASSES, Mlp, inputs_of, lifted


class Cleaner(nn.Module):
    """A picture in, a picture out, as something that takes noise away."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x - self.conv(x)


class Pair(nn.Module):
    """Takes what ``TwoHeads`` gives: scores and rows."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(CLASSES, 8)

    def forward(self, scores: Tensor, rows: Tensor) -> Tensor:
        return self.layer(scores) + rows


def test_the_output_of_each_goes_into_the_next(tmp_path: Path) -> None:
    whole = applied(context(tmp_path / "job", "merge.sequential", Cleaner, (Cleaner, 1), (Mlp, 2)))
    x = inputs_of(Cleaner)
    with torch.no_grad():
        wanted = lifted(Mlp, 2).run(lifted(Cleaner, 1).run(lifted(Cleaner).run(x)))[0]
    assert torch.allclose(said(whole, Cleaner), wanted, atol=1e-5)
    assert whole.signature.inputs == lifted(Cleaner).signature.inputs
    assert whole.signature.outputs == lifted(Mlp).signature.outputs
    check_files(whole, Cleaner, tmp_path / "files")


def test_a_shape_that_does_not_fit_is_refused_with_both(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="merge_mismatch") as caught:
        applied(context(tmp_path, "merge.sequential", Cleaner, (Mlp, 1), (Cleaner, 2)))
    detail = caught.value.problem.detail
    assert PEERS[1] in detail and "float32 (1, 8, 8)" in detail and "float32 (4)" in detail


class Whole(nn.Module):
    """Gives two outputs of other sizes, as ``Pair`` takes them."""

    def __init__(self) -> None:
        super().__init__()
        self.scores, self.rows = nn.Linear(64, CLASSES), nn.Linear(64, 8)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.scores(x.flatten(1)), self.rows(x.flatten(1))


def paired() -> Model:
    torch.manual_seed(0)
    sizes = ({0: torch.export.Dim.AUTO},) * 2
    return Model(*lift(torch.export.export(Pair(), (torch.randn(2, CLASSES), torch.randn(2, 8)), dynamic_shapes=sizes)))


def test_several_outputs_go_into_as_many_inputs() -> None:
    first, x = lifted(Whole), inputs_of(Whole)
    whole = one_behind_another([first, paired()])
    with torch.no_grad():
        assert torch.allclose(whole.run(x)[0], paired().run(first.run(x))[0], atol=1e-6)


def test_more_inputs_than_outputs_do_not_fit() -> None:
    refused = list(behind("peers/0", "mdl_x", ends(paired()), ends(lifted(Mlp))))
    assert [refusal.field for refusal in refused] == ["peers/0"]
    assert list(behind("", "mdl_x", ends(paired()), ends(lifted(Whole)))) == []
