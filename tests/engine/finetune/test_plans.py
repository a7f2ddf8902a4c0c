"""What the finetune family cannot do is refused by the plan with the engine's code, at the option that is wrong."""

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from engine.registry import technique
from pith.errors import PithError
from pith.plan import PlannedStep
from tests.engine.conformance import opened
from tests.engine.finetune.test_head import pairs
from tests.engine.test_plan import planned
from tests.engine.tiny import Cnn, Mlp, NoHead, Regression, arrays, job_folder, other_dataset

OTHER = "dts_" + "1" * 26


class _Convolved(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x).mean((2, 3))
        return out


UNLABELLED = {"x_train": arrays()["x_train"]}
REFUSED: dict[str, tuple[type[nn.Module], dict[str, Any], dict[str, Any], str]] = {
    "too few classes": (Cnn, {"kind": "finetune.head", "classes": 3}, {}, "/classes"),
    "a pattern of nothing": (Cnn, {"kind": "finetune.head", "train": ["absent"]}, {}, "/train/0"),
    "the head for all epochs": (Cnn, {"kind": "finetune.head", "head_epochs": 1}, {}, "/head_epochs"),
    "smoothing without classes": (
        Regression,
        {"kind": "finetune.head", "label_smoothing": 0.1},
        {},
        "/label_smoothing",
    ),
    "all frozen": (Cnn, {"kind": "finetune.partial", "freeze": ["*"]}, {}, "/freeze"),
    "a frozen pattern of nothing": (Cnn, {"kind": "finetune.partial", "freeze": ["no"]}, {}, "/freeze/0"),
    "no linear layer": (_Convolved, {"kind": "finetune.lora"}, {}, "/targets"),
    "a target of nothing": (Mlp, {"kind": "finetune.lora", "targets": ["no"]}, {}, "/targets/0"),
    "a target that takes no adapter": (Cnn, {"kind": "finetune.lora", "targets": ["stem.1"]}, {}, "/targets/0"),
    "a rank of more than the layers": (Mlp, {"kind": "finetune.lora", "rank": 4096}, {}, "/rank"),
    "a rank of more than one output": (
        Regression,
        {"kind": "finetune.lora", "targets": ["layers.3"], "rank": 1},
        {},
        "/rank",
    ),
    "a warm-up of no head": (Cnn, {"kind": "finetune.joint", "head_epochs": 1}, {}, "/head_epochs"),
    "other classes": (Cnn, {"kind": "finetune.joint"}, {"data": pairs()}, "/dataset"),
    "old data without labels": (
        Cnn,
        {"kind": "finetune.joint", "old_dataset": OTHER},
        {"other": UNLABELLED},
        "/old_dataset",
    ),
    "mixed views": (
        Cnn,
        {"kind": "finetune.mean_teacher"},
        {"augmentation": [{"kind": "mixup"}]},
        "",
    ),
    "no unlabelled split": (
        Cnn,
        {"kind": "finetune.mean_teacher", "unlabelled": OTHER},
        {"other": {"x_test": arrays()["x_test"]}},
        "/unlabelled",
    ),
    "no head": (NoHead, {"kind": "finetune.contrastive"}, {}, ""),
    "mixed pairs": (Cnn, {"kind": "finetune.contrastive"}, {"augmentation": [{"kind": "mixup"}]}, ""),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_the_engine_refuses(name: str, tmp_path: Path) -> None:
    net, step, given, place = REFUSED[name]
    named = {"data": arrays(net), **given}
    foreseen = planned(net, [step], **named)
    other = named.pop("other", None)
    details = {problem.detail for problem in foreseen.problems}
    codes = {problem.code: problem.errors[0].pointer for problem in foreseen.problems}
    with pytest.raises(PithError) as refusal:
        folder = job_folder(tmp_path, [step], net=net, **named)
        if other is not None:
            other_dataset(folder, OTHER, other)
        ctx = opened(folder)
        try:
            technique(str(step["kind"]))(ctx.baseline.copy(), ctx.config, ctx)
        finally:
            ctx.events.close()
    assert codes[refusal.value.code] == (place if place == "/dataset" else f"/recipe/0{place}")
    if step["kind"] == "finetune.lora":
        assert refusal.value.problem.detail in details


def lora(net: type[nn.Module], **options: Any) -> PlannedStep:
    (step,) = planned(net, [{"kind": "finetune.lora", **options}]).steps
    return step


def test_layers_without_adapters_are_told_why() -> None:
    alone = lora(Cnn, targets=["stem.*", "hidden"]).left_alone
    assert alone["stem.1"] == "BatchNorm2d takes no adapter; linear layers and convolutions do"
    assert alone["head"] == "targets does not name it"
    assert lora(Cnn).left_alone["stem.0"] == "targets is empty, which means the linear layers alone"


def test_targets_and_ranks_that_suit_no_layer_are_told_apart() -> None:
    def said(net: type[nn.Module], **options: Any) -> str:
        (problem,) = planned(net, [{"kind": "finetune.lora", **options}]).problems
        return problem.detail

    one = said(Cnn, targets=["stem.1"])
    assert "'stem.1', which matches only layers that take no adapter: stem.1; name linear layers or conv" in one
    assert "'no', which matches no layer" in said(Cnn, targets=["no"])
    assert "larger than its layer; layers.1 takes the greatest rank of them, 31; lower rank to 31 or less." in said(
        Mlp, rank=32
    )
    assert "one output or one input alone, as layers.3 has" in said(Regression, targets=["layers.3"])


def test_a_rank_that_is_no_low_one_for_some_layers_is_noted() -> None:
    assert lora(Mlp, rank=31).notes == (
        "An adapter of rank 31 is larger than the layer itself beside layers.3 (full rank 4).",
    )
    assert lora(Mlp, rank=3).notes == ()
    assert planned(Mlp, [{"kind": "finetune.lora", "rank": 31}]).possible


def test_an_average_that_has_no_time_to_forget_is_noted() -> None:
    def notes(**options: Any) -> tuple[str, ...]:
        (step,) = planned(Mlp, [{"kind": "finetune.mean_teacher", "batch_size": 32, **options}]).steps
        return step.notes

    each = -(-len(arrays(Mlp)["x_train"]) // 32)
    (note,) = notes(epochs=2)
    assert note.startswith(f"{2 * each} optimizer steps are fewer than 3 / (1 - ema_decay) = 300: the average has")
    assert notes(epochs=-(-300 // each)) == notes(epochs=2, ema_decay=0.5) == ()


def test_what_a_few_epochs_do_not_thaw_is_said() -> None:
    step = {"kind": "finetune.partial", "epochs": 2, "unfreeze_every": 1}
    (planned_step,) = planned(Cnn, [step]).steps
    assert "2 of" in planned_step.notes[0] and "never learn" in planned_step.notes[0]
