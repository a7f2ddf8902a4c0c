"""Architectures by name: what they become, that they export exactly, and what is refused with which words."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.export import ExportedProgram

from engine.architectures import LIBRARIES, Built, build, closest, names, program
from engine.architectures.bounded import bounded
from engine.quiet import quiet
from pith.dataset import TextPreprocessing
from pith.errors import PithError

_TEXT = {"vocab_size": 60, "num_classes": 3}
_BERT = {"vocab_size": 60, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}

# Name, arguments, shape of one sample, number of parameters where a paper or its library says it.
CASES: dict[str, tuple[str, dict[str, Any], tuple[int, ...] | None, int | None]] = {
    "lenet_300_100": ("pith/lenet_300_100", {}, None, 266_610),
    "lenet_5": ("pith/lenet_5", {}, None, 431_080),
    "resnet20": ("pith/resnet20", {}, None, 269_722),
    "resnet56": ("pith/resnet56", {}, None, 853_018),
    "resnet110": ("pith/resnet110", {}, None, 1_727_962),
    "vgg11": ("pith/vgg11", {"num_classes": 100}, None, None),
    "mlp": ("pith/mlp", {"out_features": 2, "hidden": [16, 8]}, (12,), None),
    "ds_cnn": ("pith/ds_cnn", {}, None, None),
    "text_cnn": ("pith/text_cnn", {**_TEXT, "filters": 4, "widths": [2, 3]}, None, None),
    "lstm": ("pith/lstm", {**_TEXT, "embedding": 8, "hidden": 4}, None, None),
    "gru": ("pith/gru", {**_TEXT, "embedding": 8, "hidden": 4, "num_layers": 2}, None, None),
    "timm": ("timm/resnet18", {"num_classes": 10}, (1, 32, 32), 11_175_370),
    "timm with a fixed picture size": ("timm/test_vit", {"num_classes": 5}, (3, 64, 64), None),
    "torchvision": ("torchvision/squeezenet1_1", {"num_classes": 4}, (3, 32, 32), None),
    "BERT": ("transformers/BertForSequenceClassification", {**_BERT, "num_labels": 4}, None, None),
    "BERT without a head": ("transformers/BertModel", _BERT, None, None),
    "ConvNeXt of transformers": (
        "transformers/ConvNextForImageClassification",
        {"hidden_sizes": [8, 8, 8, 8], "depths": [1, 1, 1, 1]},
        (3, 32, 32),
        None,
    ),
}


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> tuple[str, Built, ExportedProgram]:
    name, arguments, shape, _ = CASES[request.param]
    built = build(name, arguments, 0, shape)
    return request.param, built, program(built)


def test_a_module_is_fresh_in_eval_mode_and_of_the_size_that_is_published(
    case: tuple[str, Built, ExportedProgram],
) -> None:
    key, built, _ = case
    _, _, shape, parameters = CASES[key]
    assert not built.module.training
    assert {one.dtype for one in built.module.parameters()} == {torch.float32}
    assert all(len(one) == 2 for one in built.inputs) and len(built.inputs) == len(built.input_names)
    assert shape is None or tuple(built.inputs[0].shape[1:]) == shape
    if parameters is not None:
        assert sum(one.numel() for one in built.module.parameters()) == parameters


def test_the_program_gives_the_module_s_numbers_for_any_batch(case: tuple[str, Built, ExportedProgram]) -> None:
    _, built, exported = case
    names_in_graph = [one.removeprefix("arg_") for one in exported.graph_signature.user_inputs if isinstance(one, str)]
    assert tuple(names_in_graph) == built.input_names or len(built.input_names) == 1
    for count in (1, 2, 5):
        inputs = tuple(torch.cat([one] * 3)[:count] for one in built.inputs)
        with torch.no_grad():
            wanted, got = built.module(*inputs), exported.module()(*inputs)
        pairs = zip(wanted, got, strict=True) if isinstance(wanted, tuple) else [(wanted, got)]
        assert all(float((a - b).abs().max()) == 0 for a, b in pairs)


@pytest.mark.parametrize("key", ["text_cnn", "BERT"])
def test_texts_may_have_another_length(key: str) -> None:
    name, arguments, shape, _ = CASES[key]
    built = build(name, arguments, 0, shape)
    exported, longer = program(built), tuple(one.repeat(1, 2)[:, :23] for one in built.inputs)
    with torch.no_grad():
        assert torch.equal(built.module(*longer), exported.module()(*longer))


def test_a_mask_takes_padding_out(case: tuple[str, Built, ExportedProgram]) -> None:
    key, built, _ = case
    if "attention_mask" not in built.input_names or "without" in key:
        return
    ids, mask = built.inputs
    changed = torch.where(mask == 0, 7, ids)
    with torch.no_grad():
        assert torch.allclose(built.module(ids, mask), built.module(changed, mask), atol=1e-6)
        assert not torch.allclose(built.module(ids, mask)[1], built.module(changed, torch.ones_like(mask))[1])


def test_the_seed_decides_the_weights_and_nothing_else_does() -> None:
    first, again, other = (build("pith/lenet_5", seed=seed).module.state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])
    torch.manual_seed(9)
    expected = torch.rand(1)
    torch.manual_seed(9)
    build("pith/lenet_5")
    assert torch.equal(torch.rand(1), expected), "the caller's random state is as it was"


def test_preprocessing_is_the_library_s() -> None:
    timm = build("timm/test_vit", {}, 0).preprocessing
    assert timm is not None and timm.kind == "image" and timm.mean == (0.5, 0.5, 0.5) and timm.size == (160, 160)
    vision = build("torchvision/squeezenet1_1").preprocessing
    assert vision is not None and vision.kind == "image"
    assert vision.size == (224, 224) and vision.resize == 256 and vision.mean[0] == 0.485


def test_every_library_lists_its_names() -> None:
    for of in LIBRARIES:
        found = names(of)
        assert found and all(name.startswith(f"{of}/") for name in found)
    assert closest("pith/resnet_20")[0] == "pith/resnet20"


REFUSED: dict[str, tuple[str, dict[str, Any], str, str]] = {
    "an unknown library": ("keras/resnet", {}, "architecture_unknown", "timm/"),
    "an unknown name": ("timm/resnet19", {}, "architecture_unknown", "timm/resnet18"),
    "a name that is near": ("pith/lenet5", {}, "architecture_unknown", "pith/lenet_5"),
    "a class that is not on the list": ("transformers/Trainer", {}, "architecture_unknown", "Trainer"),
    "a name with a place to load from": ("timm/hf-hub:evil/model", {}, "architecture_unknown", "hf-hub"),
    "no name": ("timm/", {}, "architecture_unknown", "timm"),
    "an unknown argument": ("pith/lenet_5", {"foo": 1}, "architecture_refused", "in_channels, num_classes"),
    "an unknown argument of timm": ("timm/resnet18", {"foo": 1}, "architecture_refused", "num_classes"),
    "an unknown argument of torchvision": ("torchvision/resnet18", {"foo": 1}, "architecture_refused", "groups"),
    "an unknown field": ("transformers/BertModel", {"foo": 1}, "architecture_refused", "hidden_size"),
    "a wrong type": ("pith/mlp", {"in_features": "8", "out_features": 2}, "architecture_refused", "in_features"),
    "heads that do not divide": ("transformers/BertModel", {**_BERT, "hidden_size": 17}, "architecture_refused", "17"),
    "pretrained weights": ("timm/resnet18", {"pretrained": True}, "architecture_refused", "'pretrained'"),
    "weights by name": ("torchvision/resnet18", {"weights": "DEFAULT"}, "architecture_refused", "'weights'"),
    "a file": ("timm/resnet18", {"checkpoint_path": "x"}, "architecture_refused", "'checkpoint_path'"),
    "a configuration with a file": ("timm/resnet18", {"pretrained_cfg": {"file": "x"}}, "architecture_refused", "cfg"),
    "code": ("transformers/BertModel", {"trust_remote_code": True}, "architecture_refused", "trust_remote_code"),
    "a kernel": ("transformers/BertModel", {"_attn_implementation": "a/b"}, "architecture_refused", "_attn"),
    "a path": ("transformers/BertModel", {"hidden_act": "../../x"}, "architecture_refused", "path or an address"),
    "an address within a list": ("timm/resnet18", {"layers": ["http://x"]}, "architecture_refused", "address"),
    "a number out of bounds": ("pith/lenet_5", {"num_classes": 1 << 60}, "architecture_refused", "out of bounds"),
    "not a number": ("timm/resnet18", {"drop_rate": float("nan")}, "architecture_refused", "bounds"),
    "deep nesting": ("timm/resnet18", {"layers": [[[[[1]]]]]}, "architecture_refused", "nests too deep"),
    "a long list": ("pith/mlp", {"hidden": [1] * 600}, "architecture_refused", "512"),
    "too many numbers": (
        "pith/mlp",
        {"in_features": 1_000_000, "out_features": 2, "hidden": [1_000_000]},
        "model_too_large",
        "parameters",
    ),
    "too many layers": ("transformers/BertModel", {**_BERT, "num_hidden_layers": 10**6}, "model_too_large", "layers"),
}


@pytest.mark.parametrize("key", REFUSED)
def test_what_is_refused_says_why(key: str) -> None:
    name, arguments, code, words = REFUSED[key]
    with pytest.raises(PithError) as caught:
        build(name, arguments)
    assert caught.value.code == code, caught.value
    assert words in str(caught.value)


SAID: dict[str, tuple[str, dict[str, Any], str]] = {
    "a near argument": ("pith/text_cnn", {"vocab": 9}, "it has no argument 'vocab'); did you mean vocab_size? Its"),
    "a near field": ("transformers/BertModel", {"hiden_size": 9}, "'hiden_size'); did you mean hidden_size? Its"),
    "a near one of timm": ("timm/resnet18", {"num_clases": 9}, "'num_clases'); did you mean num_classes? Its"),
    "nothing near": (
        "pith/lenet_5",
        {"foo": 1},
        "it has no argument 'foo'); its arguments are in_channels, num_classes.",
    ),
    "nothing given": ("pith/gru", {}, "pith/gru cannot be built (it needs vocab_size and num_classes); give these in"),
    "one missing": ("pith/mlp", {"in_features": 4}, "pith/mlp cannot be built (it needs out_features); give these in"),
    "a text": (
        "pith/mlp",
        {"in_features": "8", "out_features": 2},
        '(it cannot work with in_features="8"); perhaps a num',
    ),
    "a text for timm": ("timm/resnet18", {"num_classes": "ten"}, '(it cannot work with num_classes="ten"); perhaps'),
    "null": ("pith/lenet_5", {"num_classes": None}, "(it cannot work with num_classes=null); perhaps"),
    "a list": ("pith/lenet_5", {"num_classes": [3]}, "pith/lenet_5 cannot be built (argument 'size'"),
    "two near": ("pith/textcnn", {}, "'pith/textcnn' is no architecture that is known; did you mean pith/text_cnn?"),
    "without its library": ("resnet20", {}, "a name starts with one of pith/, timm/, torchvision/, transformers/."),
}


@pytest.mark.parametrize("key", SAID)
def test_the_caller_s_own_words_are_used(key: str) -> None:
    name, arguments, said = SAID[key]
    with pytest.raises(PithError) as caught:
        build(name, arguments)
    detail = caught.value.problem.detail
    assert said in detail, detail
    assert not re.search(r"Error\b|__init__|\(\)|\?\.$|\.\.$", detail), detail


def test_what_is_not_near_is_no_guess() -> None:
    assert closest("pith/textcnn") == ["pith/text_cnn"] and closest("pith/unet") == []


@pytest.mark.parametrize("shape", [(), (0, 3), (-1,), (1 << 20, 1 << 20)])
def test_shapes_that_are_none(shape: tuple[int, ...]) -> None:
    with pytest.raises(PithError, match="input shape"):
        build("pith/mlp", {"out_features": 2}, 0, shape)


def test_a_module_that_ties_itself_to_its_batch_is_refused() -> None:
    class Fixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(2, -1)[:, :3] if x.shape[0] == 2 else x[:, :3]

    with pytest.raises(PithError) as caught:
        program(Built("x", Fixed(), (torch.zeros(2, 4),), ("x",)))
    assert caught.value.code == "export_failed"


def test_the_bound_holds_only_where_it_is_asked_for() -> None:
    with pytest.raises(PithError), bounded(parameters=10):
        torch.nn.Linear(10, 10)
    torch.nn.Linear(10, 10)


def test_the_door_imports_no_library_and_asks_no_hub() -> None:
    script = (
        "import os, sys, engine.architectures\n"
        "assert not {'timm', 'torchvision', 'transformers'} & sys.modules.keys()\n"
        "assert os.environ['HF_HUB_OFFLINE'] == '1'\n"
        "engine.architectures.build('pith/lenet_5')\n"
        "assert not {'timm', 'torchvision', 'transformers'} & sys.modules.keys()\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=True)


def test_quiet_is_quiet(capfd: pytest.CaptureFixture[str]) -> None:
    with quiet():
        build("torchvision/googlenet", {"num_classes": 2, "aux_logits": False}, 0, (3, 32, 32))
    assert capfd.readouterr() == ("", "")


def test_a_text_is_as_long_as_asked_and_otherwise_as_the_dataset_says() -> None:
    asked = build("pith/text_cnn", {"vocab_size": 50, "num_classes": 2}, input_shape=(40,))
    assert isinstance(asked.preprocessing, TextPreprocessing)
    assert (asked.preprocessing.length, asked.preprocessing.tokenizer, asked.free) == (40, "words", ((1,),))
    assert build("pith/text_cnn", {"vocab_size": 50, "num_classes": 2}).preprocessing is None
    fixed = build("pith/lstm", {"vocab_size": 50, "num_classes": 2})
    assert isinstance(fixed.preprocessing, TextPreprocessing)
    assert fixed.preprocessing.length == fixed.inputs[0].shape[1]


def test_a_blank_network_takes_no_random_numbers_and_leaves_the_next_one_its_own() -> None:
    before = torch.get_rng_state()
    arguments = {"in_features": 64, "out_features": 3, "hidden": [64]}
    fresh = build("pith/mlp", arguments, seed=3).module.state_dict()
    blank = build("pith/mlp", arguments, seed=3, blank=True).module.state_dict()
    assert [tensor.shape for tensor in blank.values()] == [tensor.shape for tensor in fresh.values()]
    assert not torch.equal(blank["layers.0.weight"], fresh["layers.0.weight"])
    again = build("pith/mlp", arguments, seed=3).module.state_dict()
    assert all(torch.equal(again[name], fresh[name]) for name in fresh)
    assert torch.equal(torch.get_rng_state(), before)
