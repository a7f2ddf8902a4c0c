"""What an uploaded model is, by its content; each thing that is none, with its sentence and the way out."""

import io
import json
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from engine.formats import detect
from pith.errors import PithError
from tests.engine import onnx_files as files
from tests.engine import tiny
from tests.engine.tiny import Mlp

STATE = {"weight": torch.ones(2, 2)}


def zipped(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w:gz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return file.getvalue()


def saved(value: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def pt2() -> bytes:
    return tiny.saved(Mlp)


def safetensors(folder: Path) -> bytes:
    save_file(STATE, folder / "weights")
    return (folder / "weights").read_bytes()


def script() -> bytes:
    file = io.BytesIO()
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)
    return file.getvalue()


def npz() -> bytes:
    file = io.BytesIO()
    np.savez(file, x=np.ones(3))
    return file.getvalue()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.ones(3))
    return file.getvalue()


def packed_pickle() -> bytes:
    return zlib.compress(pickle.dumps({"a": 1}), 3)


HF = {"model/config.json": b"{}", "model/model.safetensors": b"x", "model/tokenizer.json": b"{}"}
OPTIMUM = {"config.json": b"{}", "model.onnx": b"x", "model.onnx_data": b"x"}

GOOD: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "exported program": (lambda _: pt2(), "pt2"),
    "the layout of PyTorch 2.7": (lambda _: zipped({"serialized_exported_program.json": b"{}"}), "pt2"),
    "state dict": (lambda _: saved(STATE), "state_dict"),
    "state dict without zip": (lambda _: saved(STATE, _use_new_zipfile_serialization=False), "state_dict"),
    "safetensors": (safetensors, "state_dict"),
    "onnx": (lambda _: files.exported_bytes(Mlp, 17, None), "onnx"),
    "onnx whose graph is cut off": (lambda _: files.exported_bytes(Mlp, 17, None)[:3000], "onnx"),
    "hugging face zip": (lambda _: zipped(HF), "hugging_face"),
    "hugging face tar": (lambda _: tarred(HF), "hugging_face"),
    "hugging face plain tar": (lambda _: tarred(HF, "w"), "hugging_face"),
    "hugging face without weights": (lambda _: zipped({"config.json": b"{}"}), "hugging_face"),
    "onnx with its data": (lambda _: zipped({"m/model.onnx": b"x", "m/model.onnx.data": b"x"}), "onnx_archive"),
    "onnx beside a config": (lambda _: tarred(OPTIMUM), "onnx_archive"),
}


@pytest.mark.parametrize("name", GOOD)
def test_it_is_known_by_its_content(name: str, tmp_path: Path) -> None:
    make, form = GOOD[name]
    path = tmp_path / "upload"
    path.write_bytes(make(tmp_path))
    assert detect(path) == detect(path, "lies.gguf") == form


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:aa\nsize 9\n"
BAD: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "nothing": (lambda: b"", "it holds nothing", "send the file again"),
    "white space": (lambda: b" \n\n ", "white space alone", "again"),
    "zeros": (lambda: bytes(5000), "zeros alone", "download"),
    "git lfs": (lambda: LFS, "Git LFS pointer", "git lfs pull"),
    "a web page": (lambda: b"\n<!DOCTYPE html><html>404</html>", "a web page", "download the real file"),
    "a bucket's error": (lambda: b"<?xml version='1.0'?><Error><Code>AccessDenied</Code>", "file store", "download"),
    "openvino": (lambda: b'<?xml version="1.0"?><net name="m">', "OpenVINO", "ONNX"),
    "keras h5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(90), "HDF5", "tf2onnx"),
    "keras zip": (lambda: zipped({"config.json": b"{}", "model.weights.h5": b"x"}), "a Keras model", "tf2onnx"),
    "saved model": (lambda: tarred({"m/saved_model.pb": b"x"}), "SavedModel", "tf2onnx"),
    "saved model alone": (lambda: b"\x08\x01\x12\x05hello", "SavedModel", "tf2onnx"),
    "tflite": (lambda: b"\x1c\0\0\0TFL3" + bytes(90), "TensorFlow Lite", "ONNX"),
    "gguf": (lambda: b"GGUF\x03\0\0\0" + bytes(90), "llama.cpp", "Hugging Face folder"),
    "numpy": (npy, "numpy array", "dataset"),
    "npz": (npz, "an .npz", "dataset"),
    "parquet": (lambda: b"PAR1" + bytes(90), "Parquet", "dataset"),
    "7z": (lambda: b"7z\xbc\xaf\x27\x1c" + bytes(90), "a 7z archive", "unpack it"),
    "joblib": (packed_pickle, "joblib", "export it"),
    "a library": (lambda: b"\x7fELF" + bytes(90), "compiled library", "export it"),
    "source": (lambda: b"import torch\n\nclass Net: ...\n", "a program's source", "export it"),
    "json": (lambda: json.dumps({"a": [1] * 3000}).encode(), "JSON", "export it"),
    "text": (lambda: b"weights are in the other folder\n", "plain text", "export it"),
    "text of other letters": (lambda: "Gewichte, größer\r\n".encode(), "plain text", "export it"),
    "a table": (lambda: b"age,income\r\n1,2\r\n3,4\r\n", "a table, CSV by its looks", "/v1/datasets"),
    "a table of other letters": (lambda: "Balance;Größe\n1;2\n".encode(), "a table", "/v1/datasets"),
    "a long table": (lambda: b'say,age\n"a, b\n",2\n' + b"abc,1\n" * 3000, "a table", "/v1/datasets"),
    "json lines": (lambda: b'{"a": 1}\n{"a": 2}\n' * 900, "a table in JSON Lines", "/v1/datasets"),
    "pictures": (lambda: zipped({"cat/1.png": b"x", "dog/2.png": b"x"}), "1.png, 2.png", "/v1/datasets"),
    "an empty zip": (lambda: zipped({}), "an empty archive", "pack the model's files"),
    "noise": (lambda: b"\x01\xfe\x99" * 99, "unknown kind", "export it"),
    "a picture": (lambda: b"\x89PNG\r\n\x1a\n" + bytes(99), "a picture", "download"),
    "what pith packed": (lambda: b"PITH\x01" + bytes(90), "a model.pith", "pith unpack gives the ONNX file"),
    "two graphs": (lambda: zipped({"a.onnx": b"", "b.onnx": b""}), "2 .onnx files", "one model at a time"),
    "a packed state dict": (lambda: tarred({"deep/weights.pth": b"x"}), "'deep/weights.pth' inside", "that file"),
    "an archive of code": (lambda: zipped({"net.py": b"", "run.sh": b""}), "net.py, run.sh", "export it"),
    "an empty archive": (lambda: tarred({}), "an empty archive", "pack the model's files"),
    "torch 0.1": (lambda: tarred(dict.fromkeys(("sys_info", "pickle", "tensors", "storages"), b"")), "0.1", "save it"),
    "core ml": (lambda: zipped({"Manifest.json": b"", "Data/m.mlmodel": b""}), "Core ML", "export it"),
    "a lying length": (lambda: struct.pack("<Q", 1 << 40) + b'{"a":1}', "unknown kind", "export it"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_model_is_refused_by_what_it_is(name: str, tmp_path: Path) -> None:
    make, what, way_out = BAD[name]
    path = tmp_path / "upload"
    path.write_bytes(make())
    with pytest.raises(PithError, match="model_format_unknown") as caught:
        detect(path, "odd-name")
    found, _, way = caught.value.problem.detail.rpartition("; ")
    assert what in found and way_out in way, caught.value
    assert "it holds" in found and "is called" not in found


@pytest.mark.parametrize("name", ["model.pt2", "MODEL.ONNX", "a.tar.gz", "weights.safetensors"])
def test_a_name_that_lies_is_told(name: str, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(LFS)
    with pytest.raises(PithError, match=f"it is called {name} and holds a Git LFS pointer"):
        detect(path, name)


def test_a_name_is_fit_for_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(LFS)
    with pytest.raises(PithError) as caught:
        detect(path, "\u202e\x1b[31m" + "a" * 300 + ".onnx")
    assert caught.value.problem.detail.isprintable() and len(caught.value.problem.detail) < 300


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (script, "TorchScript"),
        (lambda: pickle.dumps(Mlp), "tests.engine.tiny.Mlp"),
        (lambda: pickle.dumps({"a": 1}), "of plain values"),
        (lambda: b"cos\nsystem\n(S'true'\ntR.", "os.system"),
    ],
)
def test_pickles_and_torchscript_are_told_the_three_lines(
    make: Callable[[], bytes], found: str, tmp_path: Path
) -> None:
    path = tmp_path / "upload"
    path.write_bytes(make())
    with pytest.raises(PithError, match="model_pickled") as caught:
        detect(path, "model.pt")
    assert found in caught.value.problem.detail and "torch.export.save(" in caught.value.problem.detail


def test_a_damaged_archive_goes_to_the_reader_that_knows_it_best(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    for make, form in ((pt2, "pt2"), (lambda: saved(STATE), "state_dict")):
        path.write_bytes(make()[:-30])
        assert detect(path) == form
    for data in (zipped(HF)[:-30], tarred(OPTIMUM)[:-30]):
        path.write_bytes(data)
        with pytest.raises(PithError, match="archive_damaged"):
            detect(path)


def test_an_archive_with_a_way_out_of_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(tarred({"../../config.json": b"{}"}))
    with pytest.raises(PithError, match="archive_unsafe"):
        detect(path)
