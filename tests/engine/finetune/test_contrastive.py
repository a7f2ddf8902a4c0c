"""The loss by the paper's equation, features that tell classes apart without labels, and a head that stays."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.finetune.contrastive import Features, apply, nt_xent
from engine.model import Model
from engine.taps import before_head
from pith.errors import PithError
from tests.engine.conformance import check_same, cut_and_resumed, opened
from tests.engine.finetune.test_partial import changed
from tests.engine.tiny import Cnn, Mlp, NoHead, Tokens, Transformer, arrays, job_folder, lifted, other_dataset, pictures

OTHER = "dts_" + "1" * 26


def pretrained(root: Path, net: type[nn.Module] = Cnn, **options: Any) -> tuple[Model, Model]:
    given = {name: options.pop(name) for name in ("data", "augmentation") if name in options}
    other = options.pop("other", None)
    named = {} if other is None else {"unlabelled": OTHER}
    folder = job_folder(root, [{"kind": "finetune.contrastive", **named, **options}], net=net, **given)
    if other is not None:
        other_dataset(folder, OTHER, other)
    ctx = opened(folder)
    try:
        return ctx.baseline, apply(ctx.baseline.copy(), ctx.config, ctx)  # type: ignore[arg-type]
    finally:
        ctx.events.close()


def test_the_loss_is_the_paper_s_equation() -> None:
    z, temperature = torch.randn(6, 4, dtype=torch.float64), 0.3
    total = 0.0
    for i in range(6):
        j = (i + 3) % 6
        s = [float(z[i] @ z[k] / (z[i].norm() * z[k].norm())) / temperature for k in range(6)]
        below = sum(torch.tensor(s[k]).exp().item() for k in range(6) if k != i)
        total -= torch.log(torch.tensor(s[j]).exp() / below).item()
    assert float(nt_xent(z, temperature)) == pytest.approx(total / 6, rel=1e-5)


def nearest(model: Model, net: type[nn.Module]) -> float:
    """Share of test samples whose nearest training sample, by the cosine of what the head reads, has their class."""
    data, tap = arrays(net), before_head(model)
    assert tap is not None
    features = Features(model, tap, last=True)
    with torch.no_grad():
        known, asked = (features((torch.from_numpy(data[f"x_{split}"]),)) for split in ("train", "test"))
    known, asked = (nn.functional.normalize(each, dim=1) for each in (known, asked))
    return float((data["y_train"][(asked @ known.T).argmax(1).numpy()] == data["y_test"]).mean())


@pytest.mark.parametrize("net", [Mlp, Cnn])
def test_neighbours_become_alike_without_labels(net: type[nn.Module], tmp_path: Path) -> None:
    data = {"x_train": arrays(net)["x_train"], "x_test": arrays(net)["x_test"]}
    noise = [{"kind": "noise", "std": 0.3}]
    options: dict[str, Any] = {"epochs": 20, "learning_rate": 0.003, "batch_size": 64, "temperature": 0.2, "data": data}
    before, after = pretrained(tmp_path, net, augmentation=noise, **options)
    assert nearest(after, net) > 0.8 and nearest(after, net) >= nearest(before, net)


@pytest.mark.parametrize("net", [Cnn, Mlp, Transformer, Tokens])
def test_the_head_stays_to_the_bit_and_the_rest_learns(net: type[nn.Module], tmp_path: Path) -> None:
    before, after = pretrained(tmp_path, net, weight_decay=0.1)
    head = "layers.3" if net is Mlp else "head"
    moved = changed(before, after)
    assert moved and not any(name.startswith(f"{head}.") for name in moved)
    assert after.graph.state_dict().keys() == before.graph.state_dict().keys()


def test_another_dataset_is_learnt_from_instead(tmp_path: Path) -> None:
    """The job's own samples have no part in it, and the other's labels have none either."""
    x, y = pictures(80, 11)
    own, other = arrays(), {"x_train": x, "y_train": y, "x_test": x[:8], "y_test": y[:8]}
    _, one = pretrained(tmp_path / "one", other=other)
    _, same = pretrained(tmp_path / "same", data={**own, "x_train": -own["x_train"]}, other={**other, "y_train": 3 - y})
    check_same(one, same)
    _, alone = pretrained(tmp_path / "alone", data=None, other=other)
    check_same(one, alone)
    _, without = pretrained(tmp_path / "without")
    _, others = pretrained(tmp_path / "others", other={**other, "x_train": -x})
    assert changed(one, without) and changed(one, others)
    with pytest.raises(PithError, match="no training split"):
        pretrained(tmp_path / "none", other={"x_test": x})


class _Sequence(nn.Module):
    """A head over every place of a sequence, then their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 6), nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x.squeeze(1))).mean(1)
        return out


class _Map(nn.Module):
    """A head over every place of a picture, then their mean."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(x)).mean((2, 3))
        return out


@pytest.mark.parametrize("net", [_Sequence, _Map])
def test_features_of_many_places_are_their_mean(net: type[nn.Module]) -> None:
    model, x = lifted(net), torch.randn(3, 1, 8, 8)
    tap = before_head(model)
    assert tap is not None
    body = model.graph.get_submodule("body")
    by_hand = body(x.squeeze(1)).mean(1) if net is _Sequence else body(x).mean((2, 3))
    assert torch.allclose(Features(model, tap, last=net is _Sequence)((x,)), by_hand, atol=1e-6)


def test_what_has_no_one_head_or_mixes_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="nothing to take features before"):
        pretrained(tmp_path / "head", NoHead)
    with pytest.raises(PithError, match="mixup and cutmix"):
        pretrained(tmp_path / "mixed", augmentation=[{"kind": "mixup"}])


def test_a_run_that_was_cut_off_ends_with_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"epochs": 3, "batch_size": 64}
    _, whole = pretrained(tmp_path / "whole", **options)
    resumed, cuts = cut_and_resumed("finetune.contrastive", tmp_path / "cut", Cnn, monkeypatch, **options)
    check_same(whole, resumed)
    assert cuts == 2
