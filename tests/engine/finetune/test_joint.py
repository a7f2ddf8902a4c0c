"""Two tasks in one model: with old labels, or with the old outputs in their place; one head, or two."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine.finetune.full import apply as plain
from engine.finetune.joint import apply
from engine.finetune.second_head import with_second_head
from engine.lift import lift
from engine.model import Model
from pith.errors import PithError
from tests.engine.conformance import asked, check_same, cut_and_resumed, opened
from tests.engine.finetune.test_head import pairs
from tests.engine.test_plan import planned
from tests.engine.tiny import Cnn, Mlp, Transformer, TwoHeads, arrays, job_folder, lifted, other_dataset

OTHER = "dts_" + "1" * 26
LONG: dict[str, Any] = {"epochs": 12, "learning_rate": 0.005, "batch_size": 32}


def tuned(root: Path, net: type[nn.Module] = Cnn, old: dict[str, Any] | None = None, **options: Any) -> Model:
    """The step on pairs of bright quarters, after training on single ones."""
    data = options.pop("data", pairs())
    first = {"kind": "finetune.full", **LONG}
    named = {} if old is None else {"old_dataset": OTHER}
    ctx = opened(job_folder(root / "first", [first], net=net))
    model = plain(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    folder = job_folder(root / "second", [{"kind": "finetune.joint", **LONG, **named, **options}], net=net, data=data)
    if old is not None:
        other_dataset(folder, OTHER, old)
    ctx = opened(folder)
    try:
        return apply(model, ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def accuracy(scores: Tensor, labels: Any) -> float:
    return float((scores.argmax(1).numpy() == labels).mean())


def both(model: Model) -> tuple[float, float]:
    """Accuracy of the first output for pairs, and of the last one for single quarters."""
    new, old = pairs(), arrays()
    with torch.no_grad():
        first = model.run((torch.from_numpy(new["x_test"]),))[0]
        last = model.run((torch.from_numpy(old["x_test"]),))[-1]
    return accuracy(first, new["y_test"]), accuracy(last, old["y_test"])


@pytest.mark.parametrize("labelled", [False, True])
def test_a_second_head_learns_and_the_old_one_is_not_forgotten(labelled: bool, tmp_path: Path) -> None:
    model = tuned(tmp_path, classes="new", old=arrays() if labelled else None, head_epochs=2)
    assert [(spec.name, spec.shape) for spec in model.signature.outputs] == [("output", (None, 6)), ("old", (None, 4))]
    new, old = both(model)
    assert new > 0.8 and old > 0.85
    careless = tuned(tmp_path / "careless", classes="new", old_weight=0)
    assert both(careless)[1] < old


def darkened() -> dict[str, Any]:
    """The same task in another domain: what was bright is dark."""
    return {name: -array if array.dtype.kind == "f" else array for name, array in arrays().items()}


@pytest.mark.parametrize("labelled", [False, True])
def test_one_head_for_two_domains(labelled: bool, tmp_path: Path) -> None:
    old, new = arrays(), darkened()
    model = tuned(tmp_path, data=new, old=old if labelled else None, old_weight=1 if labelled else 0.05)
    assert [spec.shape for spec in model.signature.outputs] == [(None, 4)]
    with torch.no_grad():
        given = [accuracy(model.graph(torch.from_numpy(data["x_test"])), data["y_test"]) for data in (new, old)]
    assert given[0] > 0.9 and (given[1] > 0.9 or not labelled)


def test_the_old_outputs_are_those_from_before_the_step(tmp_path: Path) -> None:
    """With a heavy weight on them, the old head goes on saying what it said of the new samples."""
    ctx = opened(job_folder(tmp_path / "a", [{"kind": "finetune.full", **LONG}]))
    before = plain(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    after = tuned(tmp_path / "b", classes="new", old_weight=20)
    light = tuned(tmp_path / "c", classes="new", old_weight=0)
    x = (torch.from_numpy(pairs()["x_train"]),)
    with torch.no_grad():
        wanted, kept, lost = (model.run(x)[-1].softmax(1) for model in (before, after, light))
    assert (wanted - kept).abs().mean() < 0.3 * (wanted - lost).abs().mean()


class _Averaged(nn.Module):
    """Two classifiers, averaged and softened, and a further output."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.number = nn.Linear(64, 4), nn.Linear(64, 4), nn.Linear(64, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        return ((self.one(x) + self.other(x)) / 2).softmax(1), self.number(x)


@pytest.mark.parametrize("net", [Cnn, Mlp, Transformer, TwoHeads, _Averaged])
def test_a_second_head_leaves_all_other_outputs_as_they_are(net: type[nn.Module]) -> None:
    before, x = lifted(net), (torch.randn(3, 1, 8, 8),)
    after = with_second_head(before, 7, seed=1)
    with torch.no_grad():
        old, new = before.run(x), after.run(x)
    assert len(new) == len(old) + 1 and new[0].shape == (3, 7)
    assert torch.equal(new[-1], old[0]) and all(map(torch.equal, new[1:-1], old[1:]))
    if net is _Averaged:
        assert torch.allclose(new[0].sum(1), torch.ones(3)), "what stood behind the old layers stands behind the new"
    reloaded = Model(*lift(after.copy().program()))
    assert reloaded.signature == after.signature
    assert all(map(torch.equal, reloaded.run(x), after.at_rest()(*x)))
    assert before.signature.outputs == lifted(net).signature.outputs, "the one that was given stays as it is"


def test_a_third_head_has_a_name_of_its_own() -> None:
    third = with_second_head(with_second_head(lifted(Mlp), 5, 0), 6, 0)
    assert [spec.name for spec in third.signature.outputs] == ["output", "old", "old_1"]
    assert [spec.shape[1] for spec in third.signature.outputs] == [6, 4, 5]


@pytest.mark.parametrize("net", [Cnn, TwoHeads])
def test_the_plan_foresees_the_second_head(net: type[nn.Module]) -> None:
    (step,) = planned(net, [{"kind": "finetune.joint", "classes": "new"}], data=pairs()).steps
    assert step.parameters.after == sum(each.numel() for each in with_second_head(lifted(net), 6, 0).graph.parameters())


REFUSED: dict[str, tuple[dict[str, Any], dict[str, Any] | None, str]] = {
    "classes that the model has not": ({"data": pairs()}, None, "dataset_mismatch"),
    "old labels without outputs": ({"classes": "new"}, pairs(), "dataset_mismatch"),
    "old data without labels": ({"data": arrays()}, {"x_train": arrays()["x_train"]}, "no labelled training split"),
    "a warm-up of no head": ({"data": arrays(), "head_epochs": 1}, None, "for a new head"),
    "a warm-up of all": ({"classes": "new", "head_epochs": 12}, None, "nothing but the head"),
    "old data of another shape": (
        {"data": arrays()},
        {"x_train": np.zeros((8, 1, 4, 4), np.float32), "y_train": np.zeros(8, np.int64)},
        "dataset_mismatch",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused(name: str, tmp_path: Path) -> None:
    options, old, said = REFUSED[name]
    with pytest.raises(PithError, match=said):
        tuned(tmp_path, old=old, **options)


@pytest.mark.parametrize("classes", ["same", "new"])
def test_a_run_that_was_cut_off_ends_with_the_same_bits(
    classes: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"epochs": 3, "batch_size": 64, "classes": classes}
    ctx = opened(asked("finetune.joint", tmp_path / "whole", Cnn, **options))
    whole = apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    ctx.events.close()
    resumed, cuts = cut_and_resumed("finetune.joint", tmp_path / "cut", Cnn, monkeypatch, **options)
    check_same(whole, resumed)
    assert cuts == 2
