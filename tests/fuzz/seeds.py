"""Good files of every accepted format, small enough that a whole check takes well under a second."""

import functools
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
import transformers
from safetensors.torch import save

from tests.engine import exported
from tests.hostile import archives, graphs, media, weights
from tests.hostile.case import Kind
from tests.hostile.folders import SMALL, tokenizer


class Seed(NamedTuple):
    """A good upload, and what is declared about it."""

    kind: Kind
    file_name: str
    data: bytes
    declared: dict[str, Any] | None = None


PICTURES, SOUNDS = {"task": "image-classification"}, {"task": "audio-classification"}
TABLE = {"task": "tabular-classification", "label": "label"}


def _written(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        write(path)
        return path.read_bytes()


def _state_dict(**options: Any) -> Seed:
    data = _written(lambda path: torch.save(weights.good(), path, **options))
    return Seed("model", "weights.pt", data, weights.MLP)


def _hugging_face() -> Seed:
    torch.manual_seed(0)
    net = transformers.BertForSequenceClassification(transformers.BertConfig(**SMALL))
    files = {
        "config.json": json.dumps(SMALL).encode(),
        "model.safetensors": save(dict(net.state_dict()), metadata={"format": "pt"}),
        "tokenizer.json": tokenizer(),
    }
    return Seed("model", "model.zip", _written(lambda path: archives.zipped(path, files, zipfile.ZIP_STORED)))


def _rows() -> dict[str, list[Any]]:
    return {
        "a": [float(index) for index in range(20)],
        "b": ["red", "green"] * 10,
        "label": [index % 2 for index in range(20)],
    }


def _table(form: str) -> Seed:
    rows = _rows()
    names = list(rows)
    lines = [dict(zip(names, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    match form:
        case "csv":
            text = "\n".join([",".join(names), *(",".join(map(str, line.values())) for line in lines), ""])
            return Seed("dataset", "data.csv", text.encode(), TABLE)
        case "jsonl":
            return Seed("dataset", "data.jsonl", "".join(json.dumps(line) + "\n" for line in lines).encode(), TABLE)
        case "parquet":
            return Seed("dataset", "data.parquet", _written(lambda path: pq.write_table(pa.table(rows), path)), TABLE)
    sink = io.BytesIO()
    with pa.ipc.new_file(sink, pa.table(rows).schema) as writer:
        writer.write_table(pa.table(rows))
    return Seed("dataset", "data.arrow", sink.getvalue(), TABLE)


def _npz() -> Seed:
    buffer = io.BytesIO()
    labels = np.arange(12) % 2
    np.savez(buffer, x_train=np.linspace(0, 1, 48, dtype=np.float32).reshape(12, 4), y_train=labels)
    return Seed("dataset", "data.npz", buffer.getvalue())


def _packed(write: Callable[..., None], files: dict[str, bytes], name: str, declared: dict[str, Any]) -> Seed:
    return Seed("dataset", name, _written(lambda path: write(path, files)), declared)


SEEDS: dict[str, Callable[[], Seed]] = {
    "pt2": lambda: Seed("model", "model.pt2", exported.saved("linear")),
    "pt2 convolutional": lambda: Seed("model", "model.pt2", exported.saved("convolutional")),
    "state dict": _state_dict,
    "old state dict": lambda: _state_dict(_use_new_zipfile_serialization=False),
    "safetensors": lambda: Seed("model", "weights.safetensors", save(weights.good()), weights.MLP),
    "hugging face": _hugging_face,
    "onnx": lambda: Seed("model", "model.onnx", graphs.model().SerializeToString()),
    "npz": _npz,
    "csv": lambda: _table("csv"),
    "jsonl": lambda: _table("jsonl"),
    "parquet": lambda: _table("parquet"),
    "arrow": lambda: _table("arrow"),
    "pictures": lambda: _packed(archives.zipped, archives.good(), "data.zip", PICTURES),
    "sounds": lambda: _packed(archives.tarred, media.sounds(), "data.tar", SOUNDS),
    "webdataset": lambda: _packed(archives.tarred, media.shard(), "shard-000000.tar", PICTURES),
}


@functools.cache
def seed(name: str) -> Seed:
    """The good file of that name, made once."""
    return SEEDS[name]()
