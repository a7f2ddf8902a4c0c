"""Files that are something else than they are called."""

import json
import pickle
import struct
from pathlib import Path

from tests.engine import exported
from tests.hostile.archives import picture, zipped
from tests.hostile.case import Build, Canary, Hostile, Payload, into
from tests.hostile.tables import SCHEMA
from tests.hostile.weights import MLP, good, saved

IMPOSTORS: list[Hostile] = []
model_case = into(IMPOSTORS, "model", architecture=MLP)
bare_case = into(IMPOSTORS, "model")
data_case = into(IMPOSTORS, "dataset", schema=SCHEMA)

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 102530333\n"
THINGS: dict[str, bytes] = {
    "a Git LFS pointer": POINTER,
    "an HTML page": b"<!doctype html><html><head><title>404: Not found</title></head></html>",
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(500),
    "a TFLite model": struct.pack("<I", 28) + b"TFL3" + bytes(500),
    "a GGUF model": b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60) + bytes(500),
    "a program": b"\x7fELF\x02\x01\x01" + bytes(500),
    "a shell script": b"#!/bin/sh\ntouch /tmp/evil\n",
    "a Python module": b"import os\nos.system('touch /tmp/evil')\n",
    "a picture": picture(),
    "a database": b"SQLite format 3\0" + bytes(500),
    "the word PK": b"PK\x03\x04",
    "a kilobyte of zeros": bytes(1024),
    "one byte": b"{",
}


def _being(data: bytes) -> Build:
    return lambda path, canary: path.write_bytes(data)


MODEL_CODES = (
    "model_format_unknown",
    "weights_unreadable",
    "model_not_an_archive",
    "model_unsupported",
    "model_malformed",
    "model_truncated",
    "archive_damaged",
)
DATA_CODES = ("dataset_format_unknown", "dataset_unreadable", "dataset_schema_mismatch", "archive_damaged")
for _what, _data in THINGS.items():
    model_case(f"{_what} called .pt", "weights.pt", *MODEL_CODES)(_being(_data))
    bare_case(f"{_what} called .pt2", "model.pt2", *MODEL_CODES)(_being(_data))
    data_case(f"{_what} called .parquet", "data.parquet", *DATA_CODES)(_being(_data))


@bare_case("nothing called .pt2", "model.pt2", *MODEL_CODES, at_the_door="upload_empty")
def empty_model(path: Path, canary: Canary) -> None:
    path.touch()


@data_case("nothing called .csv", "data.csv", *DATA_CODES, at_the_door="upload_empty")
def empty_data(path: Path, canary: Canary) -> None:
    path.touch()


@model_case("a pickle called .safetensors", "model.safetensors", "model_unsafe", "model_pickled", unsafe="pickle")
def pickled_tensors(path: Path, canary: Canary) -> None:
    path.write_bytes(pickle.dumps(Payload(canary)))


@bare_case(
    "a pickle called .onnx",
    "model.onnx",
    "model_unsafe",
    "model_pickled",
    "model_malformed",
    "weights_unreadable",
    unsafe="pickle",
)
def pickled_onnx(path: Path, canary: Canary) -> None:
    path.write_bytes(pickle.dumps(Payload(canary)))


@data_case("a pickle called .csv", "data.csv", "dataset_pickled", unsafe="pickle")
def pickled_table(path: Path, canary: Canary) -> None:
    path.write_bytes(pickle.dumps(Payload(canary)))


@data_case("a joblib file called .npz", "data.npz", "dataset_pickled", "dataset_format_unknown", unsafe="pickle")
def joblib(path: Path, canary: Canary) -> None:
    path.write_bytes(pickle.dumps({"x": Payload(canary)}, protocol=3))


@data_case(
    "weights as a dataset",
    "data.npz",
    "dataset_pickled",
    "dataset_format_unknown",
    "dataset_unreadable",
    "dataset_unsafe",
)
def weights_as_data(path: Path, canary: Canary) -> None:
    path.write_bytes(saved({**good(), "extra": Payload(canary)}))


@data_case(
    "a program as a dataset",
    "data.zip",
    "dataset_pickled",
    "dataset_format_unknown",
    "dataset_unreadable",
    "dataset_unsafe",
)
def program_as_data(path: Path, canary: Canary) -> None:
    path.write_bytes(exported.saved("convolutional"))


@bare_case(
    "data as a model",
    "model.pt2",
    "model_format_unknown",
    "model_malformed",
    "model_unsafe",
    "weights_unreadable",
    "model_unsupported",
)
def data_as_model(path: Path, canary: Canary) -> None:
    zipped(path, {"cat/0.png": picture(), "dog/0.png": picture()})


@bare_case(
    "a Keras archive",
    "model.keras",
    "model_format_unknown",
    "model_malformed",
    "model_unsafe",
    "weights_unreadable",
    "model_unsupported",
)
def keras(path: Path, canary: Canary) -> None:
    config = {"class_name": "Lambda", "config": {"function": canary.source}}
    zipped(path, {"config.json": json.dumps(config).encode(), "metadata.json": b"{}", "model.weights.h5": b"\x89HDF"})
