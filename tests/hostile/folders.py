"""Hugging Face folders with pickles, code, configurations that reach out, and tokenizers that never end."""

import functools
import io
import json
import pickle
import tarfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from tests.hostile.archives import tarred, zipped
from tests.hostile.case import Canary, Hostile, Payload, into
from tests.hostile.weights import saved

FOLDERS: list[Hostile] = []
case = into(FOLDERS, "model")
REFUSED = ("architecture_refused", "architecture_unknown", "model_unsafe", "model_unsupported", "model_malformed")
CODE = ("model_unsafe", "model_pickled")
SMALL: dict[str, Any] = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "vocab_size": 30,
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 16,
    "max_position_embeddings": 32,
    "num_labels": 2,
}


def config(**changes: Any) -> bytes:
    return json.dumps({**SMALL, **changes}).encode()


@functools.cache
def weights() -> bytes:
    """One tensor: nothing here is meant to get as far as comparing them."""
    data: bytes = save({"classifier.weight": torch.ones(2, 8)})
    return data


def folder(path: Path, files: dict[str, bytes | None]) -> None:
    """A small folder with some files changed, or left out where they are None."""
    whole: dict[str, bytes | None] = {"config.json": config(), "model.safetensors": weights(), **files}
    zipped(path, {f"model/{name}": data for name, data in whole.items() if data is not None})


def tokenizer(**changes: Any) -> bytes:
    vocabulary = {"[UNK]": 0, "a": 1}
    model = {"type": "WordLevel", "vocab": vocabulary, "unk_token": "[UNK]"}
    empty = dict.fromkeys(("normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation", "padding"))
    return json.dumps({"version": "1.0", "added_tokens": [], "model": model, **empty, **changes}).encode()


@case("hf: weights that are a pickle with code", "model.zip", *CODE, unsafe="hf bin")
def pickled_weights(path: Path, canary: Canary) -> None:
    folder(path, {"model.safetensors": None, "pytorch_model.bin": saved({"classifier.weight": Payload(canary)})})


@case("hf: a bare pickle as weights", "model.zip", *CODE, "weights_unreadable")
def bare_pickle(path: Path, canary: Canary) -> None:
    folder(path, {"model.safetensors": None, "pytorch_model.bin": pickle.dumps(Payload(canary))})


@case("hf: custom code by auto_map", "model.zip", *REFUSED)
def auto_map(path: Path, canary: Canary) -> None:
    changes = {"auto_map": {"AutoModelForSequenceClassification": "modeling_evil.Evil"}, "model_type": "evil"}
    folder(path, {"config.json": config(**changes), "modeling_evil.py": canary.source.encode()})


@case("hf: custom code from another repository", "model.zip", *REFUSED)
def remote_map(path: Path, canary: Canary) -> None:
    changes = {"auto_map": {"AutoModelForSequenceClassification": "somebody/evil--modeling_evil.Evil"}}
    folder(path, {"config.json": config(**changes)})


@case("hf: a class that is a function of the system", "model.zip", *REFUSED)
def system_class(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(architectures=["os.system"])})


@case("hf: a class with underscores", "model.zip", *REFUSED)
def dunder_class(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(architectures=["__class__"])})


@case("hf: attention out of a repository", "model.zip", *REFUSED, "weights_mismatch")
def kernel(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(_attn_implementation="somebody/evil", attn_implementation="somebody/evil")})


@case("hf: weights quantized by a library", "model.zip", *REFUSED, "weights_mismatch")
def quantized(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(quantization_config={"quant_method": "bitsandbytes", "load_in_8bit": True})})


@case("hf: a vocabulary of a million million", "model.zip", *REFUSED, "model_too_large")
def large_vocabulary(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(vocab_size=10**12)})


@case("hf: a million layers", "model.zip", *REFUSED, "model_too_large")
def many_layers(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(num_hidden_layers=1_000_000)})


@case("hf: a hidden size below zero", "model.zip", *REFUSED)
def negative(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(hidden_size=-8)})


@case("hf: an activation by a path", "model.zip", *REFUSED, "weights_mismatch")
def activation(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config(hidden_act="os.system")})


@case("hf: a configuration nested a hundred thousand deep", "model.zip", *REFUSED)
def nested_config(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": b'{"a":' * 100_000 + b"1" + b"}" * 100_000})


@case("hf: a configuration that is a list", "model.zip", *REFUSED)
def list_config(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": b"[1, 2, 3]"})


@case("hf: a configuration of 100 MB", "model.zip", *REFUSED, "model_too_large", "archive_too_large")
def long_config(path: Path, canary: Canary) -> None:
    folder(path, {"config.json": config() + b" " * (100 << 20)})


@case("hf: parts of the weights above the folder", "model.zip", *REFUSED, "weights_unreadable")
def index_above(path: Path, canary: Canary) -> None:
    index = {"metadata": {}, "weight_map": {"classifier.weight": "../../../etc/passwd"}}
    folder(path, {"model.safetensors": None, "model.safetensors.index.json": json.dumps(index).encode()})


@case("hf: parts of the weights that are not there", "model.zip", *REFUSED, "weights_unreadable")
def index_missing(path: Path, canary: Canary) -> None:
    index = {"metadata": {}, "weight_map": {"classifier.weight": "model-00001-of-00002.safetensors"}}
    folder(path, {"model.safetensors": None, "model.safetensors.index.json": json.dumps(index).encode()})


@case("hf: no weights", "model.zip", *REFUSED, "weights_unreadable")
def no_weights(path: Path, canary: Canary) -> None:
    folder(path, {"model.safetensors": None})


@case("hf: weights that are a link", "model.tar", "archive_unsafe", words="link")
def linked_weights(path: Path, canary: Canary) -> None:
    link = tarfile.TarInfo("model/model.safetensors")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    tarred(path, {"model/config.json": config()}, link)


@case("hf: a file above its folder", "model.tar", "archive_unsafe")
def above(path: Path, canary: Canary) -> None:
    tarred(path, {"model/config.json": config(), "model/../../evil": b"x", "model/model.safetensors": weights()})


@case("hf: two configurations", "model.zip", *REFUSED, "archive_unsafe", "weights_mismatch")
def two_configs(path: Path, canary: Canary) -> None:
    zipped(path, {"a/config.json": config(), "b/config.json": config(), "a/model.safetensors": weights()})


@case(
    "hf: an expression that takes for ever",
    "model.zip",
    "model_unsafe",
    "model_unsupported",
    "model_malformed",
    "weights_mismatch",
)
def regex_bomb(path: Path, canary: Canary) -> None:
    splitter = {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated", "invert": False}
    folder(path, {"tokenizer.json": tokenizer(pre_tokenizer=splitter)})


@case(
    "hf: a tokenizer that is a pickle", "model.zip", *CODE, "model_unsupported", "model_malformed", "weights_mismatch"
)
def pickled_tokenizer(path: Path, canary: Canary) -> None:
    folder(path, {"tokenizer.json": pickle.dumps(Payload(canary)), "tokenizer.pkl": pickle.dumps(Payload(canary))})


@case(
    "hf: a tokenizer nested ten thousand deep",
    "model.zip",
    "model_malformed",
    "model_unsupported",
    "model_unsafe",
    "weights_mismatch",
)
def nested_tokenizer(path: Path, canary: Canary) -> None:
    folder(path, {"tokenizer.json": b'{"normalizer":' * 10_000 + b"null" + b"}" * 10_000})


@case(
    "hf: a normalizer that multiplies a thousand times",
    "model.zip",
    "model_unsafe",
    "model_unsupported",
    "model_malformed",
    "weights_mismatch",
)
def multiplying(path: Path, canary: Canary) -> None:
    twice = {"type": "Replace", "pattern": {"String": "a"}, "content": "aa" * 20}
    sequence = {"type": "Sequence", "normalizers": [twice] * 1000}
    folder(path, {"tokenizer.json": tokenizer(normalizer=sequence)})


@case("hf: weights of another network", "model.zip", "weights_mismatch")
def mismatch(path: Path, canary: Canary) -> None:
    folder(path, {})


@case("hf: safetensors that lie inside", "model.zip", "weights_unreadable")
def lying_weights(path: Path, canary: Canary) -> None:
    data = weights()
    folder(path, {"model.safetensors": data[:-4]})


@case("hf: a tar packed twice", "model.tar.gz", "archive_damaged", "model_format_unknown", "model_malformed")
def packed_twice(path: Path, canary: Canary) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("config.json"))
    path.write_bytes(b"")
    with tarfile.open(path, "w:gz") as outer:
        member = tarfile.TarInfo("inner.tar.gz")
        member.size = len(buffer.getvalue())
        outer.addfile(member, io.BytesIO(buffer.getvalue()))
