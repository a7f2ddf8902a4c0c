"""Options that another option leaves without effect are refused; at the value they have anyway, they are not."""

from typing import Any

import pytest

from pith.idle import refuse_idle
from pith.job import JobSpec
from pith.plan import plan
from pith.recipe import step_classes
from pith.training import TrainingOptions
from tests.pith.test_plan import IMAGES, STATIC, changed, dataset, model, spec

HINTS = [{"student": "stem", "teacher": "stem"}]
OLD = "dts_" + "1" * 26
IDLE: list[tuple[str, dict[str, Any], str, dict[str, Any]]] = [
    ("quantize.static", {"percentile": 99.0}, "calibration is mse", {"calibration": "percentile"}),
    ("quantize.qat", {"percentile": 99.0}, "calibration is mse", {"calibration": "percentile"}),
    ("quantize.mixed", {"rounding": "nearest", "iterations": 9}, "rounding is nearest", {"rounding": "learned"}),
    ("quantize.mixed", {"rounding": "nearest", "calibration_samples": 9}, "is nearest", {"rounding": "learned"}),
    ("quantize.codebook", {"reassign": False}, "nothing is trained", {"recovery": {}}),
    ("distill.attention", {"maps": "probabilities", "hints": HINTS}, "maps is probabilities", {"maps": "features"}),
    ("distill.attention", {"maps": "probabilities", "weight": 2.0}, "maps is probabilities", {"maps": "auto"}),
    ("distill.attention", {"maps": "features", "probabilities_weight": 2.0}, "maps is features", {"maps": "auto"}),
    ("distill.attention", {"hints": HINTS, "probabilities_weight": 2.0}, "hints name features", {"hints": []}),
    ("distill.logits", {"hard_label_weight": 1, "temperature": 2.0}, "nothing goes to the teacher", {"temperature": 4}),
    ("distill.hint", {"logits_weight": 0, "temperature": 2.0}, "logits_weight is 0", {"logits_weight": 1}),
    ("finetune.joint", {"old_dataset": OLD, "temperature": 3.0}, "old_dataset has labels", {"old_dataset": None}),
    ("prune.channel", {"samples": 9}, "importance is l2", {"importance": "taylor"}),
    ("prune.head", {"importance": "magnitude", "samples": 9}, "is magnitude", {"importance": "taylor"}),
    ("finetune.head", {"train": "head", "head_epochs": 1}, "train is head", {"train": "all"}),
]


@pytest.mark.parametrize(("kind", "options", "why", "mended"), IDLE)
def test_an_option_without_effect_is_refused(
    kind: str, options: dict[str, Any], why: str, mended: dict[str, Any]
) -> None:
    cls = step_classes()[kind]
    field = list(options)[-1]
    with pytest.raises(ValueError, match=why) as refused:
        cls.model_validate(options)
    said = str(refused.value)
    assert f"{field} has no effect where" in said or f"{field} have no effect where" in said
    assert "; leave it out, or " in said
    step = cls.model_validate({**options, **mended})
    assert cls.model_validate_json(step.model_dump_json()) == step


@pytest.mark.parametrize("kind", sorted({kind for kind, *_ in IDLE}))
def test_what_is_said_with_all_its_defaults_is_read_again(kind: str) -> None:
    step = step_classes()[kind]()
    assert step_classes()[kind].model_validate(step.model_dump()) == step


def test_the_place_of_the_step_is_told() -> None:
    with pytest.raises(ValueError) as refused:
        JobSpec.model_validate({"model": "mdl_" + "0" * 26, "recipe": [{**STATIC, "percentile": 99.0}]})
    assert "recipe.0" in str(refused.value)


def test_several_are_told_at_once() -> None:
    with pytest.raises(
        ValueError, match="epochs and batch_size have no effect where it rains; leave them out, or wait"
    ):
        refuse_idle(TrainingOptions(epochs=2, batch_size=3), "it rains", "wait", "epochs", "batch_size", "schedule")


def test_an_onnx_model_is_not_equalized_and_the_plan_says_so() -> None:
    facts = changed(IMAGES, format="onnx", trainable=False)

    def notes(**options: Any) -> tuple[str, ...]:
        return plan(spec({**STATIC, **options}, outputs=["onnx"]), model(facts), dataset(), {}).steps[0].notes

    assert "neither equalized nor corrected" in notes()[0]
    assert notes(equalize=False, bias_correction=False) == ()
    assert plan(spec(STATIC), model(), dataset(), {}).steps[0].notes == ()
