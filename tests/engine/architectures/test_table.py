"""What a plan knows of architectures is what the libraries say, and what is built of them."""

import pytest

from engine.architectures import table as written
from engine.architectures.build import build, names
from engine.architectures.library import LIBRARIES
from pith.architectures import refusals, table
from pith.errors import PithError
from pith.facts import ModelFacts, TensorFacts
from pith.intake import Architecture


@pytest.mark.parametrize("library", LIBRARIES)
def test_the_table_has_every_name(library: str) -> None:
    assert [name for name in table() if name.startswith(f"{library}/")] == names(library)


def test_the_table_says_what_the_libraries_say() -> None:
    some = ("pith/", "transformers/", "timm/resnet", "torchvision/vgg")
    told = [*written.table(some)]
    assert len(told) > 100 and told == [table()[known.name] for known in told]


def facts(shape: tuple[int, ...], classes: int, dtype: str = "float32") -> ModelFacts:
    return ModelFacts(
        format="pt2",
        trainable=True,
        inputs=(TensorFacts(name="x", shape=(None, *shape), dtype=dtype),),
        outputs=(TensorFacts(name="y", shape=(None, classes), dtype="float32"),),
        dtype="float32",
        parameters=1,
    )


NAMED = [
    {"name": "pith/resnet20", "arguments": {"in_channels": 1}, "input_shape": [1, 16, 16]},
    {"name": "pith/mlp", "arguments": {"in_features": 7, "out_features": 3}},
    {"name": "timm/resnet18", "arguments": {"in_chans": 1}, "input_shape": [1, 64, 64]},
    {"name": "timm/mobilenetv3_small_050", "arguments": {"num_classes": 5}},
    {"name": "torchvision/squeezenet1_1", "input_shape": [3, 64, 64]},
    {
        "name": "transformers/ViTForImageClassification",
        "arguments": {"image_size": 32, "num_hidden_layers": 1, "hidden_size": 24, "num_attention_heads": 2},
    },
]


@pytest.mark.parametrize("given", NAMED, ids=lambda given: given["name"])
def test_what_is_known_is_what_is_built(given: dict[str, object]) -> None:
    named = Architecture.model_validate(given)
    made = build(named.name, named.arguments, 0, named.input_shape)
    shape, classes = tuple(made.inputs[0].shape[1:]), made.module(*made.inputs).shape[1]
    assert [*refusals(named, facts(shape, classes))] == []
    assert [each.field for each in refusals(named, facts(shape, classes + 1))] == ["student/arguments"]
    other = (*shape[:-1], shape[-1] + 1)
    assert [each.field for each in refusals(named, facts(other, classes))] == ["student/input_shape"]
    assert [each.field for each in refusals(named, facts(shape, classes, "int64"))] == ["student/name"]


def test_a_way_out_that_is_taken_is_no_longer_refused() -> None:
    named = Architecture(name="timm/resnet18")
    model = facts((3, 32, 32), 10)
    said = [each.way_out for each in refusals(named, model)]
    assert said == ['set "input_shape": [3, 32, 32]', 'set "arguments": {"num_classes": 10}']
    taken = Architecture(name="timm/resnet18", input_shape=(3, 32, 32), arguments={"num_classes": 10})
    assert [*refusals(taken, model)] == []


@pytest.mark.parametrize(("library", "near"), [("timm", "timm/resnet18"), ("transformers", "list those of")])
def test_a_name_that_nobody_knows(library: str, near: str) -> None:
    (refused,) = refusals(Architecture(name=f"{library}/resnet18x"), facts((1,), 1))
    assert near in refused.error(0, "distill.logits").problem.detail
    with pytest.raises(PithError, match="architecture_unknown"):
        build(f"{library}/resnet18x")


def test_another_version_of_a_library_may_know_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pith.architectures.version", lambda library: "999")
    assert [*refusals(Architecture(name="timm/resnet18x"), facts((1,), 1))] == []


def test_classes_that_are_no_number() -> None:
    (refused,) = refusals(Architecture(name="timm/resnet18", arguments={"num_classes": "ten"}), facts((1,), 1))
    assert "(num_classes is 'ten'); give a whole number" in refused.error(0, "distill.logits").problem.detail
