"""Hints: which places go together, what adapters bridge, and that the features do come closer."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.distill.adapters import Adapter, alike, resized
from engine.distill.hint import apply
from engine.distill.known import known
from engine.distill.losses import hinted
from engine.model import Model
from engine.taps import places as tap_places
from engine.taps import tapped
from pith.errors import PithError
from pith.places import Place, by_depth, paired, places
from tests.engine.conformance import opened
from tests.engine.test_plan import planned
from tests.engine.tiny import CLASSES, TEACHER_ID, Cnn, Mlp, Transformer, inputs_of, job_folder, lifted

STEM = {"student": "stem", "teacher": "stem"}
PAIR = {"student": "block", "teacher": "block"}


class Small(nn.Module):
    """Features of half the sizes and fewer channels, under other names."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True))
        self.head = nn.Linear(6 * 16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.first(x).flatten(1))
        return out


def distilled(root: Path, net: type[nn.Module], teacher: type[nn.Module], **options: Any) -> tuple[Model, Model]:
    step = {"kind": "distill.hint", "teacher": TEACHER_ID, "batch_size": 32, "learning_rate": 0.01, **options}
    ctx = opened(job_folder(root, [step], net=net, teacher=teacher))
    try:
        return ctx.baseline, apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def test_pictures_are_paired_by_their_sizes() -> None:
    student, teacher = known(lifted(Small)), known(lifted(Cnn))
    ((mine, theirs),) = paired(student, teacher, ())
    assert mine.shape == (None, 6, 4, 4) and theirs.shape == (None, 16, 8, 8), "no size is shared: the last of each"
    assert [one.name for one, _ in paired(teacher, teacher, ())] == ["block.3"]


def test_other_features_are_paired_by_depth_between_the_first_layer_and_the_head() -> None:
    ((one, other),) = paired(known(lifted(Mlp)), known(lifted(Cnn)), ())[-1:]
    assert (one.shape, other.shape) == ((None, 32), (None, 32))
    blocks = paired(known(lifted(Transformer)), known(lifted(Transformer)), ())
    assert len(blocks) == 2 and all(mine == theirs and len(mine.shape) == 3 for mine, theirs in blocks)
    assert by_depth([1, 2, 3, 4, 5, 6], ["a", "b"], 3) == ((3, "a"), (6, "b"))
    assert by_depth([1, 2], list("abcdefgh")) == ((1, "d"), (2, "h"))


def test_the_channels_are_found_by_the_layer_that_made_them() -> None:
    for net, rank in ((Cnn, 4), (Transformer, 3)):
        found = [place for place in places(known(lifted(net))).values() if len(place.shape) == rank]
        assert found and {place.channels for place in found} == {1 if rank == 4 else 2}


def test_sizes_are_brought_to_the_teachers() -> None:
    features = torch.randn(2, 3, 8, 8)
    assert resized(features, torch.Size((8, 8))) is features
    assert torch.allclose(resized(features, torch.Size((4, 2)))[0, 0, 0, 0], features[0, 0, :2, :4].mean())
    assert resized(features, torch.Size((16, 16))).shape == (2, 3, 16, 16)
    tokens = Place("tokens", (None, 5, 3), 2)
    one, other = alike(torch.randn(2, 5, 3), torch.randn(2, 7, 4), (tokens, tokens))
    assert one.shape == (2, 3, 7) and other.shape == (2, 4, 7)
    picture = Place("picture", (None, 3, 8, 8), 1)
    one, other = alike(features, torch.randn(2, 7, 4), (picture, tokens))
    assert torch.allclose(one, features.mean((2, 3))) and other.shape == (2, 4)


def test_an_adapter_is_one_matrix_at_every_place() -> None:
    adapter, features = Adapter(3, 5), torch.randn(2, 3, 4, 4)
    wanted = torch.einsum("oc,bchw->bohw", adapter.map.weight, features) + adapter.map.bias[:, None, None]
    assert torch.allclose(adapter(features), wanted, atol=1e-6)


@pytest.mark.parametrize(("net", "teacher"), [(Small, Cnn), (Cnn, Small), (Mlp, Cnn), (Cnn, Transformer)])
def test_any_student_learns_from_any_teacher(net: type[nn.Module], teacher: type[nn.Module], tmp_path: Path) -> None:
    before, after = distilled(tmp_path, net, teacher)
    assert after.signature == before.signature and all(p.isfinite().all() for p in after.graph.parameters())
    assert list(after.graph.state_dict()) == list(before.graph.state_dict()), "adapters are thrown away"


def test_features_come_closer_to_those_of_the_teacher(tmp_path: Path) -> None:
    """What is left to the best linear map from the student's features to the teacher's."""
    only = {"logits_weight": 0, "hard_label_weight": 0, "epochs": 30, "hints": [STEM]}
    before, after = distilled(tmp_path, Cnn, Cnn, **only)
    x = inputs_of(Cnn)

    def features(model: Model) -> Tensor:
        with torch.no_grad():
            found: Tensor = tapped(model, [tap_places(model)["stem"]])(*x)[-1].movedim(1, -1).flatten(0, 2)
        return found

    wanted = features(lifted(Cnn, 5))

    def left(model: Model) -> float:
        mine = torch.cat([features(model), torch.ones(len(wanted), 1)], 1)
        return float(hinted(mine @ torch.linalg.lstsq(mine, wanted).solution, wanted))

    assert left(after) < 0.6 * left(before)


def test_a_place_that_does_not_exist_is_refused_with_those_that_look_like_it(tmp_path: Path) -> None:
    wrong = {"hints": [PAIR, {"student": "blok", "teacher": "stem.00"}]}
    foreseen = planned(Cnn, [{"kind": "distill.hint", **wrong}])
    assert [(p.errors[0].pointer, p.code) for p in foreseen.problems] == [
        ("/recipe/0/hints/1/student", "technique_inapplicable"),
        ("/recipe/0/hints/1/teacher", "technique_inapplicable"),
    ]
    with pytest.raises(PithError) as refused:
        distilled(tmp_path, Cnn, Cnn, **wrong)
    assert "'blok'" in refused.value.problem.detail and "name block" in refused.value.problem.detail
    assert "stem.0" in foreseen.problems[1].detail
