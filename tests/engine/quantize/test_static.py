"""What quantization must not break, and what it refuses."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from engine.fusion import fold_norms
from engine.measure import sqnr_db
from engine.quantize import processor
from engine.quantize.integers import IntegerLayer, IntegerWeight
from engine.quantize.placing import Scale
from engine.quantize.rounding import Rounding
from engine.registry import technique
from engine.session import open_session, run_session
from pith.errors import PithError
from tests.engine.conformance import applied, opened
from tests.engine.quantize.optimized import optimized
from tests.engine.tiny import CLASSES, Cnn, Mlp, Transformer, arrays, job_folder, lifted


def test_folded_norms_compute_the_same() -> None:
    model = lifted(Cnn)
    x = torch.randn(5, 1, 8, 8)
    wanted = model.graph(x)
    fold_norms(model.graph)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.graph.modules())
    assert (model.graph(x) - wanted).abs().max() < 1e-5


def test_a_norm_that_cannot_be_folded_stays() -> None:
    class Before(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm, self.conv = nn.BatchNorm2d(1), nn.Conv2d(1, CLASSES, 8)
            self.both = nn.Conv2d(1, 1, 1)

        def forward(self, x: Tensor) -> Tensor:
            shared = self.both(x)
            return self.conv(self.norm(shared) + shared).flatten(1)

    model = lifted(Before)
    x = torch.randn(5, 1, 8, 8)
    wanted = model.graph(x)
    fold_norms(model.graph)
    assert any(isinstance(module, nn.BatchNorm2d) for module in model.graph.modules())
    assert torch.equal(model.graph(x), wanted)


@pytest.mark.parametrize(
    "options",
    [
        {"granularity": "tensor"},
        {"calibration": "minmax"},
        {"calibration": "percentile", "percentile": 99.5},
        {"calibration": "entropy"},
        {"equalize": False},
        {"bias_correction": False},
    ],
)
def test_every_option_of_static_runs_and_keeps_the_predictions(options: dict[str, Any], tmp_path: Path) -> None:
    before, after = applied("quantize.static", tmp_path, Mlp, **options)
    x = torch.from_numpy(arrays()["x_test"])
    agreed = (before.graph(x).argmax(1) == after.graph(x).argmax(1)).float().mean()
    assert agreed > 0.9 and after.integer_layers() == 2


def test_activations_are_unsigned_and_weights_signed_and_reduced_where_needed(tmp_path: Path) -> None:
    _, after = applied("quantize.static", tmp_path, Cnn, reduce_range="on")
    graph = onnx.load(after.finished).graph
    kinds = {tensor.name: tensor for tensor in graph.initializer}
    weights = [tensor for name, tensor in kinds.items() if name.endswith("weight_quantized")]
    assert len(weights) == 5 and all(tensor.data_type == onnx.TensorProto.INT8 for tensor in weights)
    assert all(abs(int(onnx.numpy_helper.to_array(tensor).min())) <= 64 for tensor in weights)
    assert any(tensor.data_type == onnx.TensorProto.UINT8 for name, tensor in kinds.items() if "zero_point" in name)


def test_an_integer_layer_scales_its_weight_and_takes_the_bias_of_the_file() -> None:
    values = np.array([[10, -20], [127, 3]], np.int8)
    integers = IntegerWeight(values, np.float32([0.5, 0.25]), np.zeros(1, np.int32), 0, np.float32([1.0, 2.0]))
    layer = IntegerLayer(nn.Linear(2, 2), integers)
    x = torch.tensor([[0.2, -10.0]])
    weight = torch.tensor([[5.0, -10.0], [31.75, 0.75]])
    assert torch.allclose(layer(x), x @ weight.T + torch.tensor([1.0, 2.0]))
    assert integers.transposed().scales().shape == (1, 2)


def test_rounding_goes_to_the_nearest_step_and_no_further_than_the_last() -> None:
    x = torch.tensor([0.234, -50.0, 50.0])
    assert torch.allclose(Rounding(Scale(0.1, 100))(x), torch.tensor([0.2, -10.0, 15.5]))


@pytest.mark.parametrize("net", [Cnn, Mlp])
def test_the_graph_and_the_file_of_integers_compute_the_same(net: type[nn.Module], tmp_path: Path) -> None:
    _, after = applied("quantize.static", tmp_path, net)
    x = arrays(net)["x_test"]
    with torch.no_grad():
        here = after.graph(torch.from_numpy(x)).numpy()
    assert sqnr_db(run_session(open_session(after.finished, 1), (x,))[0], here) > 60


def test_the_runtime_computes_the_file_in_integers(tmp_path: Path) -> None:
    _, after = applied("quantize.static", tmp_path, Cnn)
    kinds = optimized(after.finished, tmp_path)
    assert kinds.count("QLinearConv") == 3 and kinds.count("QGemm") == 2 and "QLinearAdd" in kinds
    assert not {"Conv", "Gemm", "Add"} & set(kinds)


def test_attention_stays_in_floating_point_and_its_layers_do_not(tmp_path: Path) -> None:
    before, after = applied("quantize.static", tmp_path, Transformer)
    assert "compare quantize.dynamic" in (tmp_path / "out/events.jsonl").read_text()
    kinds = optimized(after.finished, tmp_path)
    assert kinds.count("MatMulIntegerToFloat") >= 8 and "MatMul" in kinds, "queries times keys stay as they are"
    assert after.integer_layers() == len(list(before.layers()))


class _NoLayers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :CLASSES] * 2


class _OnlyConvolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, CLASSES, 8)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out.flatten(1)


@pytest.mark.parametrize(
    ("kind", "net", "way_out"),
    [
        ("quantize.static", _NoLayers, "leave this step out"),
        ("quantize.dynamic", _OnlyConvolutions, "use quantize.static"),
        ("prune.magnitude", _NoLayers, "leave this step out"),
    ],
)
def test_nothing_to_do_is_an_error_with_the_way_out(
    kind: str, net: type[nn.Module], way_out: str, tmp_path: Path
) -> None:
    with pytest.raises(PithError, match="technique_inapplicable") as caught:
        applied(kind, tmp_path, net)
    assert way_out in caught.value.problem.detail and kind in caught.value.problem.detail


def test_calibration_needs_data(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="dataset_required"):
        opened(job_folder(tmp_path, [{"kind": "quantize.static"}], net=Mlp, data=None))


@pytest.mark.parametrize(
    ("machine", "flags", "needed"),
    [
        ("x86_64", "fpu avx2", True),
        ("x86_64", "avx2 avx_vnni", False),
        ("x86_64", "avx512_vnni", False),
        ("aarch64", "", False),
    ],
)
def test_reduced_range_follows_the_processor(
    machine: str, flags: str, needed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor.platform, "machine", lambda: machine)
    assert processor.needs_reduced_range.__wrapped__() is needed


def test_a_processor_that_cannot_be_looked_at_gets_the_safe_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_CPUINFO", Path("/nowhere"))
    monkeypatch.setattr(processor.platform, "machine", lambda: "x86_64")
    assert processor.needs_reduced_range.__wrapped__() is True


def test_the_registry_gives_the_functions() -> None:
    assert technique("quantize.static").__module__ == "engine.quantize.static"


def test_the_file_is_sound_by_the_standard(tmp_path: Path) -> None:
    _, after = applied("quantize.static", tmp_path, Cnn)
    assert after.finished is not None
    onnx.checker.check_model(onnx.load(after.finished), full_check=True)
