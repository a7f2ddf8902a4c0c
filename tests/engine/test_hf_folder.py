"""Hugging Face folders: their classes give the same numbers, and nothing in them is run or believed."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from engine.architectures import program
from engine.hf_folder import find_root, read_folder
from engine.quiet import quiet
from pith.dataset import ImagePreprocessing
from pith.errors import PithError

CONFIG = transformers.BertConfig(
    vocab_size=60, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32, num_labels=5
)


def _bert(folder: Path, **saving: Any) -> Any:
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(CONFIG).eval()
    with quiet():
        model.save_pretrained(folder, **saving)
    return model


def _same(model: Any, folder: Path) -> None:
    built = read_folder(folder).built
    with torch.no_grad():
        assert torch.equal(model(*built.inputs).logits, built.module(*built.inputs))


def test_a_text_classifier(tmp_path: Path) -> None:
    model = _bert(tmp_path)
    _same(model, tmp_path)
    built = read_folder(tmp_path).built
    assert (built.name, built.task) == ("transformers/BertForSequenceClassification", "text-classification")
    assert not built.module.training
    exported = program(built)
    with torch.no_grad():
        assert torch.equal(exported.module()(*built.inputs), model(*built.inputs).logits)


def test_weights_in_shards(tmp_path: Path) -> None:
    model = _bert(tmp_path, max_shard_size="4KB")
    assert not (tmp_path / "model.safetensors").exists()
    _same(model, tmp_path)


def test_weights_as_bin(tmp_path: Path) -> None:
    model = _bert(tmp_path)
    torch.save(load_file(tmp_path / "model.safetensors"), tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    _same(model, tmp_path)


def test_half_precision_becomes_float32_and_is_said(tmp_path: Path) -> None:
    _bert(tmp_path)
    weights = {name: one.half() for name, one in load_file(tmp_path / "model.safetensors").items()}
    torch.save(weights, tmp_path / "pytorch_model.bin")
    (tmp_path / "model.safetensors").unlink()
    built = read_folder(tmp_path).built
    assert {one.dtype for one in built.module.parameters()} == {torch.float32}
    assert "float16 were converted" in " ".join(built.notes)


def test_a_folder_within_the_folder(tmp_path: Path) -> None:
    model = _bert(tmp_path / "inner")
    assert find_root(tmp_path) == tmp_path / "inner"
    _same(model, tmp_path)


def test_pictures_with_their_preprocessing(tmp_path: Path) -> None:
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=16, patch_size=8
    )
    model = transformers.ViTForImageClassification(config).eval()
    with quiet():
        model.save_pretrained(tmp_path)
    told = {"size": {"height": 16, "width": 16}, "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(told))
    _same(model, tmp_path)
    found = read_folder(tmp_path).built.preprocessing
    assert found == ImagePreprocessing(size=(16, 16), mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6))


def test_the_tokenizer_is_found_and_seen_to_load(tmp_path: Path) -> None:
    _bert(tmp_path)
    assert read_folder(tmp_path).tokenizer is None
    Tokenizer(WordLevel({"one": 0, "[UNK]": 1}, unk_token="[UNK]")).save(str(tmp_path / "tokenizer.json"))
    assert read_folder(tmp_path).tokenizer == tmp_path / "tokenizer.json"


def _config(**changes: Any) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return edit


def _index(places: dict[str, Any]) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        (folder / "model.safetensors").rename(folder / "shard.safetensors")
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))

    return edit


def _write(name: str, text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_text(text)


BAD: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "no configuration": (lambda folder: (folder / "config.json").unlink(), "model_malformed", "no config.json"),
    "no weights": (lambda folder: (folder / "model.safetensors").unlink(), "weights_unreadable", "model.safetensors"),
    "code of its own": (_config(auto_map={"AutoModel": "evil.Evil"}), "architecture_refused", "its own code"),
    "a class of its own": (_config(architectures=["EvilModel"]), "architecture_unknown", "EvilModel"),
    "a class that generates": (_config(architectures=["BertLMHeadModel"]), "architecture_unknown", "BertModel"),
    "no class": (_config(architectures=None), "architecture_unknown", "architectures"),
    "quantized weights": (_config(quantization_config={"quant_method": "gptq"}), "architecture_refused", "quantized"),
    "a path as a field": (_config(hidden_act="../../evil"), "model_malformed", "hidden_act"),
    "a width of its own": (_config(hidden_size=32), "weights_mismatch", "of another shape"),
    "more layers": (_config(num_hidden_layers=3), "weights_mismatch", "16 missing"),
    "fewer layers": (_config(num_hidden_layers=1), "weights_mismatch", "16 unexpected"),
    "other classes": (_config(id2label={"0": "a", "1": "b"}), "weights_mismatch", "2 of another shape"),
    "a size that is none": (_config(hidden_size=-4), "architecture_refused", "hidden_size"),
    "a million layers": (_config(num_hidden_layers=1_000_000), "model_too_large", "layers"),
    "a list as configuration": (_write("config.json", "[]"), "model_malformed", "no JSON object"),
    "deep JSON": (_write("config.json", '{"a":' + "[" * 100_000), "model_malformed", "nests"),
    "no JSON": (_write("config.json", "{'a': 1}"), "model_malformed", "no JSON"),
    "a broken tokenizer": (_write("tokenizer.json", '{"model": 3}'), "model_malformed", "tokenizer.json"),
    "weights that are none": (_write("model.safetensors", "hello"), "weights_unreadable", "starts with"),
    "an index that leads out": (_index({"a": "../shard.safetensors"}), "model_malformed", "no shard"),
    "an index that is none": (_index({"a": 3}), "model_malformed", "weight_map"),
    "an index that lies": (_index({"a": "shard.safetensors"}), "model_malformed", "not where the index says"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_folders_are_refused(name: str, tmp_path: Path) -> None:
    edit, code, words = BAD[name]
    _bert(tmp_path)
    edit(tmp_path)
    with pytest.raises(PithError) as caught:
        read_folder(tmp_path)
    assert caught.value.code == code, caught.value
    assert words in str(caught.value)


@pytest.mark.parametrize("field", ["_attn_implementation", "attn_implementation", "_name_or_path", "fusion_config"])
def test_fields_that_reach_code_are_not_looked_at(field: str, tmp_path: Path) -> None:
    model = _bert(tmp_path)
    _config(**{field: "evil/kernel"})(tmp_path)
    _same(model, tmp_path)


def test_code_beside_the_weights_does_not_run(tmp_path: Path) -> None:
    model, canary = _bert(tmp_path), tmp_path / "canary"
    for name in ("modeling_bert.py", "configuration_bert.py", "__init__.py"):
        (tmp_path / name).write_text(f"open({str(canary)!r}, 'w').close()")
    _same(model, tmp_path)
    assert not canary.exists()
