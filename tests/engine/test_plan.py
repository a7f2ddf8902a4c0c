"""What a plan calls possible runs and does what was said; what it refuses the engine refuses with the same code."""

import functools
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from engine.intake.facts import Origin, describe
from engine.registry import technique
from pith.dataset import ColumnFacts, DatasetFacts, SplitFacts
from pith.errors import PithError
from pith.job import JobSpec
from pith.plan import Plan, plan
from pith.recipe import step_classes
from pith.resources import Dataset, Model
from tests.engine.conformance import OPTIONS, OTHERS, applied, least, opened
from tests.engine.tiny import (
    CLASSES,
    DATASET_ID,
    MODEL_ID,
    TEACHER_ID,
    Cnn,
    Mlp,
    Regression,
    Tokens,
    Transformer,
    TwoHeads,
    arrays,
    job_folder,
    lifted,
)

NOW, CHECK, DIGEST = datetime(2026, 1, 1, tzinfo=UTC), "job_" + "0" * 26, "sha256:" + "0" * 64
NETS = (Cnn, Mlp, Transformer, Tokens, TwoHeads, Regression)


@functools.cache
def model_of(net: type[nn.Module], id: str = MODEL_ID) -> Model:
    facts = describe(lifted(net), Origin("pt2"))
    return Model(id=id, name="m", digest=DIGEST, size_bytes=1, created_at=NOW, status="ready", check=CHECK, facts=facts)


def dataset_of(net: type[nn.Module], data: dict[str, Any] | None = None, id: str = DATASET_ID) -> Dataset:
    """What intake would say of these arrays."""
    data = arrays(net) if data is None else data
    inputs = {name: array for name, array in data.items() if name.startswith("x")}
    stems = dict.fromkeys(name.split("__")[0] for name in inputs)
    first = next(iter(stems))
    columns = [
        ColumnFacts(
            name=name.partition("__")[2] or "x",
            role="input",
            type="tensor",
            dtype=str(array.dtype),
            shape=array.shape[1:],
        )
        for name, array in inputs.items()
        if name.split("__")[0] == first
    ]
    labels = [array for name, array in data.items() if name.startswith("y")]
    numbers = not labels or labels[0].dtype.kind in "iu"
    columns += [
        ColumnFacts(name="y", role="label", type="numeric", dtype=str(y.dtype), shape=y.shape[1:]) for y in labels[:1]
    ]
    splits = [
        SplitFacts(
            name="test" if stem == "x_test" else "train",
            samples=len(next(array for name, array in inputs.items() if name.split("__")[0] == stem)),
            labelled=stem.replace("x", "y", 1) in data,
        )
        for stem in stems
    ]
    classes = tuple(str(one) for one in range(int(max(y.max() for y in labels)) + 1)) if numbers and labels else ()
    facts = DatasetFacts(
        format="npz",
        task=None if numbers else "tabular-regression",
        samples=sum(split.samples for split in splits),
        splits=tuple(splits),
        classes=classes,
        columns=tuple(columns),
    )
    return Dataset(
        id=id,
        name="d",
        digest=DIGEST,
        size_bytes=1,
        created_at=NOW,
        status="ready",
        check=CHECK,
        facts=facts,
    )


def planned(net: type[nn.Module], recipe: list[dict[str, Any]], **given: Any) -> Plan:
    data = given.pop("data", arrays(net))
    teacher, other = given.pop("teacher", None), given.pop("other", data)
    named = {"model": MODEL_ID, "dataset": DATASET_ID if data is not None else None, "recipe": recipe, **given}
    spec = JobSpec.model_validate(named)
    models = {id: model_of(teacher or net, id) for id in spec.models()}
    dataset = dataset_of(net, data) if data is not None else None
    return plan(spec, model_of(net), dataset, {**models, **{id: dataset_of(net, other, id) for id in spec.datasets()}})


# Every technique runs on three other networks in test_techniques.
CASES = [(kind, net) for kind in sorted(step_classes()) for net in (Tokens, TwoHeads, Regression)]


@pytest.mark.parametrize(("kind", "net"), CASES)
def test_what_is_possible_runs_and_does_what_was_said(kind: str, net: type[nn.Module], tmp_path: Path) -> None:
    foreseen = planned(net, [least(kind)], teacher=OTHERS.get(kind))
    (step,) = foreseen.steps
    try:
        before, after = applied(kind, tmp_path, net)
    except PithError as error:
        assert error.problem.code in {problem.code for problem in foreseen.problems}
        return
    assert foreseen.possible, foreseen.problems
    assert step.parameters.before == sum(p.numel() for p in before.graph.parameters())
    if "shapes" not in step_classes()[kind].changes:
        assert step.parameters.after == step.parameters.before
        return
    left = sum(p.numel() for p in after.graph.parameters())
    assert step.parameters.after == pytest.approx(left, rel=0.15)


@pytest.mark.parametrize("net", NETS)
def test_the_layers_that_lose_channels_are_foretold(net: type[nn.Module], tmp_path: Path) -> None:
    (step,) = planned(net, [{"kind": "prune.channel", **OPTIONS["prune.channel"]}]).steps
    before, after = applied("prune.channel", tmp_path, net)
    widths = {name: layer.weight.shape[0] for name, layer in before.layers()}
    lost = {name for name, layer in after.layers() if layer.weight.shape[0] != widths[name]}
    assert set(step.touched) == lost and lost
    assert set(step.left_alone) == set(widths) - lost


REFUSED: dict[str, tuple[type[nn.Module], list[dict[str, Any]], dict[str, Any]]] = {
    "order": (Cnn, [{"kind": "quantize.dynamic"}, {"kind": "prune.channel"}], {}),
    "no dataset": (Cnn, [{"kind": "finetune.full"}], {"data": None}),
    "no dataset for the constraint": (
        Cnn,
        [{"kind": "quantize.dynamic"}],
        {"data": None, "constraints": {"max_metric_drop": 0.1}},
    ),
    "no labels": (Cnn, [{"kind": "finetune.full"}], {"data": {"x": arrays()["x_train"]}}),
    "no training split": (
        Cnn,
        [{"kind": "quantize.static"}],
        {"data": {name: array for name, array in arrays().items() if "test" in name}},
    ),
    "recovery without labels": (
        Cnn,
        [{"kind": "prune.channel", "recovery": {}}],
        {"data": {"x": arrays()["x_train"]}},
    ),
    "a pattern of nothing": (Cnn, [{"kind": "prune.channel", "ignore": ["absent*"]}], {}),
    "all ignored": (Cnn, [{"kind": "prune.channel", "ignore": ["*"]}], {}),
    "too narrow": (Cnn, [{"kind": "prune.channel", "round_to": 64}], {}),
    "smoothing without classes": (Regression, [{"kind": "finetune.full", "label_smoothing": 0.1}], {}),
    "another shape": (
        Cnn,
        [{"kind": "finetune.full"}],
        {"data": {**arrays(), "x_train": arrays()["x_train"][..., :4]}},
    ),
    "fractions for token ids": (
        Tokens,
        [{"kind": "finetune.full"}],
        {"data": {name: array.astype("float32") if "ids" in name else array for name, array in arrays(Tokens).items()}},
    ),
    "too many classes": (
        Cnn,
        [{"kind": "finetune.full"}],
        {"data": {**arrays(), "y_train": arrays()["y_train"] + CLASSES}},
    ),
    "classes for one number": (
        Regression,
        [{"kind": "finetune.full"}],
        {"data": {**arrays(), "y_train": arrays()["y_train"], "y_test": arrays()["y_test"]}},
    ),
    "a teacher of other outputs": (
        Cnn,
        [{"kind": "distill.logits", "teacher": TEACHER_ID}],
        {"teacher": Regression, "data": arrays()},
    ),
}


def ran(net: type[nn.Module], recipe: list[dict[str, Any]], root: Path, given: dict[str, Any]) -> None:
    ctx = opened(job_folder(root, recipe, net=net, **given))
    try:
        technique(ctx.spec.recipe[0].kind)(ctx.baseline.copy(), ctx.config, ctx)
    finally:
        ctx.events.close()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_the_engine_refuses(name: str, tmp_path: Path) -> None:
    net, recipe, given = REFUSED[name]
    foreseen = planned(net, recipe, **given)
    assert not foreseen.possible
    with pytest.raises(PithError) as refusal:
        ran(net, recipe, tmp_path, given)
    assert refusal.value.code in {problem.code for problem in foreseen.problems}
