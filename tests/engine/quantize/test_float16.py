"""Weights in 16 bits: what is stored, what is computed, and what does not fit."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, numpy_helper
from torch import Tensor, nn

import engine.reload
from engine.measure import counts
from engine.model import read_model
from engine.quantize.halves import HalfLayer
from engine.run import run
from pith.errors import PithError
from tests.engine import tiny
from tests.engine.conformance import applied
from tests.engine.test_onnx_jobs import onnx_job
from tests.engine.tiny import CLASSES, Cnn, Mlp, Tokens, Transformer, inputs_of, job_folder

DTYPES = {"quantize.float16": TensorProto.FLOAT16, "quantize.bfloat16": TensorProto.BFLOAT16}


@pytest.mark.parametrize("kind", DTYPES)
def test_every_weight_is_stored_once_and_in_16_bits(kind: str, tmp_path: Path) -> None:
    before, after = applied(kind, tmp_path, Transformer)
    assert after.finished is not None
    held = {tensor.data_type for tensor in onnx.load(after.finished).graph.initializer if np.prod(tensor.dims) >= 100}
    assert held == {DTYPES[kind]}
    mine = counts(after, after.finished)
    assert mine["parameters"] == counts(before, after.finished)["parameters"]
    wanted = torch.float16 if kind == "quantize.float16" else torch.bfloat16
    position, weight = after.graph.state_dict()["position"], before.graph.state_dict()["qkv.0.weight"]
    assert position.dtype is wanted and torch.equal(after.graph.state_dict()["qkv.0.weight"], weight.to(wanted))


@pytest.mark.parametrize("kind", DTYPES)
def test_every_output_reloads(kind: str, tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": kind}], net=Tokens, outputs=["onnx", "pt2", "safetensors"])
    report = run(folder.root, engine.reload.main)
    assert all(output.reload_max_abs_difference < 1e-4 for output in report.outputs)
    assert read_model(folder.output("pt2"), tmp_path).integer_layers() > 0


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.lstm(x.squeeze(1))[0][:, -1])
        return out


def test_recurrent_layers_are_halved_too(tmp_path: Path) -> None:
    before, after = applied("quantize.float16", tmp_path, _Recurrent)
    (layer,) = (each for name, each in after.graph.named_modules() if "lstm" in name and isinstance(each, HalfLayer))
    assert {tensor.dtype for tensor in layer.stored_weights() if tensor.ndim > 1} == {torch.float16}
    x = inputs_of(Cnn)
    with torch.no_grad():
        assert torch.allclose(after.run(x)[0], before.run(x)[0], atol=2e-3)


def test_a_weight_beyond_float16_is_refused_and_fits_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.built

    def huge(kind: type[nn.Module], seed: int = 0) -> nn.Module:
        net = made(kind, seed)
        with torch.no_grad():
            net.layers[1].weight[0, 0] = 1e5  # type: ignore[index, union-attr]
        return net

    monkeypatch.setattr(tiny, "built", huge)
    monkeypatch.setattr(tiny, "_saved", tiny._saved.__wrapped__)
    with pytest.raises(PithError) as refused:
        applied("quantize.float16", tmp_path / "half", Mlp)
    said = refused.value.problem.detail
    assert "layers.1.weight holds 1e+05" in said and "quantize.bfloat16" in said
    applied("quantize.bfloat16", tmp_path / "brain", Mlp)


def test_arithmetic_in_float16_changes_the_file_and_keeps_its_ends(tmp_path: Path) -> None:
    _, after = applied("quantize.float16", tmp_path, Cnn, arithmetic="float16")
    assert after.finished is not None
    graph = onnx.load(after.finished).graph
    assert {value.type.tensor_type.elem_type for value in (*graph.input, *graph.output)} == {TensorProto.FLOAT}
    assert {tensor.data_type for tensor in graph.initializer if tensor.dims} <= {TensorProto.FLOAT16, TensorProto.INT64}
    assert "dB of signal over noise" in (tmp_path / "out/events.jsonl").read_text()


def test_an_onnx_model_is_halved(tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.float16"}], Mlp)
    report = run(folder.root, engine.reload.main)
    assert report.comparison.compression_ratio > 1.7 and report.result.get("agreement") == 1.0
    for name in ("parameters", "nonzero_parameters", "macs"):
        assert report.result.get(name) == report.baseline.get(name), name
    halves = [tensor for tensor in onnx.load(folder.output("onnx")).graph.initializer if "_half" in tensor.name]
    assert len(halves) == 2 and all(numpy_helper.to_array(tensor).dtype == np.float16 for tensor in halves)
