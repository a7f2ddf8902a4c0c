"""Models that are sent where data go, and tables that only look like models."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save

from engine.first_bytes import model_file
from engine.formats import detect
from pith.errors import PithError
from tests.engine import exported, onnx_files
from tests.engine.data.uploads import check, zipped
from tests.engine.tiny import Mlp


def _saved(**options: Any) -> bytes:
    file = io.BytesIO()
    torch.save({"weight": torch.ones(2, 2)}, file, **options)
    return file.getvalue()


MODELS: dict[str, tuple[Callable[[], bytes], str]] = {
    "weights": (_saved, "the archive is a model (what torch.save wrote)"),
    "old weights": (lambda: _saved(_use_new_zipfile_serialization=False), "upload is a model (what torch.save wrote)"),
    "safetensors": (lambda: save({"weight": torch.ones(2, 2)}), "upload is a model (safetensors)"),
    "a program": (lambda: exported.saved("convolutional"), "the archive is a model (a .pt2 program)"),
    "ONNX": (lambda: onnx_files.exported_bytes(Mlp, 17, None), "upload is a model (ONNX)"),
    "a folder": (lambda: zipped({"m/config.json": b"{}", "m/model.safetensors": b"x"}), "(a folder with weights)"),
}


@pytest.mark.parametrize("what", MODELS)
def test_a_model_is_told_where_models_go(what: str, tmp_path: Path) -> None:
    make, said = MODELS[what]
    with pytest.raises(PithError, match="dataset_format_unknown") as caught:
        check(tmp_path, make())
    assert f"{said}; send it to /v1/models" in caught.value.problem.detail


def test_a_packed_model_is_no_table(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="dataset_format_unknown") as caught:
        check(tmp_path, b"PITH\x01" + bytes(90))
    assert "upload is a model.pith" in caught.value.problem.detail
    assert "pith unpack gives the ONNX file that is in it" in caught.value.problem.detail


@pytest.mark.parametrize("head", ["B1,label", "(,label"])
def test_letters_that_would_be_a_field_of_onnx_are_no_model(head: str, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(f"{head}\n".encode() + b"1,0\n2,1\n" * 200)
    assert model_file(path) is None
    with pytest.raises(PithError, match="a table, CSV"):
        detect(path)


def test_such_a_table_is_taken(tmp_path: Path) -> None:
    facts = check(tmp_path, b"B1,label\n" + b"1,0\n2,1\n" * 200).facts
    assert facts.format == "table" and facts.samples == 400
