"""Few bits in bytes: packing, grids, the file that unpacks itself, and what is refused."""

from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import engine.reload
from engine.measure import counts
from engine.model import Weighted, read_model
from engine.onnx_model.weights import figures, integer_layers
from engine.quantize.lowbit.grid import search
from engine.quantize.lowbit.layer import LowBitWeight, PackedLayer
from engine.quantize.lowbit.packing import fields, pack, unpack
from engine.run import run
from pith.errors import PithError
from tests.engine import tiny
from tests.engine.conformance import applied
from tests.engine.test_onnx_jobs import onnx_job
from tests.engine.test_plan import planned
from tests.engine.tiny import CLASSES, Cnn, Mlp, Regression, Tokens, job_folder

STANDARD = {"", "ai.onnx"}


@pytest.mark.parametrize("bits", range(1, 9))
def test_packing_loses_nothing_and_wastes_less_than_a_byte_a_field(bits: int) -> None:
    for count in (1, 7, 8, 9, 64, 1001):
        numbers = torch.randint(0, 1 << bits, (count,), generator=torch.Generator().manual_seed(count))
        packed = pack(numbers.to(torch.uint8), bits)
        assert packed.dtype is torch.uint8 and torch.equal(unpack(packed, bits, count), numbers.to(torch.uint8))
        assert 8 * len(packed) - bits * count < 8 * len(fields(bits))


def test_three_bits_lie_as_two_and_one() -> None:
    numbers = torch.tensor([0b101, 0b010, 0b111, 0b000, 0b110], dtype=torch.uint8)
    # The low two bits, two bytes of four numbers: 0, 2, 4 and 1, 3; the high bits in one byte.
    assert pack(numbers, 3).tolist() == [0b10_11_01, 0b00_10, 0b10101]


@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_a_grid_is_better_than_one_that_clips_nothing_and_keeps_zero(bits: int) -> None:
    weight = torch.randn(6, 200, generator=torch.Generator().manual_seed(0))
    weight[:, ::3] = 0
    grid = search(weight, bits)
    low, high = weight.amin(1, keepdim=True), weight.amax(1, keepdim=True)
    scale = (high - low) / ((1 << bits) - 1)
    zero = (-low / scale).round()
    plain = ((weight / scale + zero).round().clamp(0, (1 << bits) - 1) - zero) * scale
    mine = grid.real(grid.nearest(weight))
    error, other = (mine - weight).square().sum(1), (plain - weight).square().sum(1)
    assert bool((error <= other * 1.0001).all()) and bool((error < other * 0.9).all()) == (bits < 4)
    assert bool((mine[weight == 0] == 0).all())


def test_a_channel_of_zeros_stays_one() -> None:
    weight = torch.zeros(2, 8)
    grid = search(weight, 2)
    assert bool(grid.scale.isfinite().all()) and not grid.real(grid.nearest(weight)).any()


def test_groups_have_scales_of_their_own() -> None:
    weight = torch.cat([torch.randn(4, 16), 100 * torch.randn(4, 16)], 1)
    grid = search(weight, 4, group_size=16)
    assert grid.view == (4, 2, 16) and grid.scale.shape == (4, 2, 1)
    whole = search(weight, 4)
    errors = [(each.real(each.nearest(weight)) - weight)[:, :16].square().mean() for each in (grid, whole)]
    assert errors[0] < 0.05 and errors[1] > 0.5


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        nn.Conv1d(4, 6, 3, dilation=2),
        nn.ConvTranspose2d(4, 6, 3, stride=2, output_padding=1),
        nn.Conv3d(4, 2, (1, 2, 3)),
    ],
)
def test_a_packed_layer_is_the_layer_with_rounded_weights(layer: Weighted) -> None:
    weight = layer.weight.detach()
    grid = search(weight, 3, axis=1 if isinstance(layer, nn.ConvTranspose2d) else 0)
    packed = PackedLayer(layer, LowBitWeight(grid, grid.nearest(weight)))
    layer.weight.data = grid.real(grid.nearest(weight))
    x = torch.randn(2, 4, *[9] * (weight.ndim - 2))
    assert torch.equal(packed(x), layer(x))
    assert torch.equal(packed.integers() != 0, layer.weight != 0)


@pytest.mark.parametrize("bits", [2, 3, 4, 6])
def test_the_file_holds_few_bits_in_standard_operators(bits: int, tmp_path: Path) -> None:
    before, after = applied("quantize.weight_only", tmp_path, Mlp, bits=bits)
    assert after.finished is not None
    proto = onnx.load(after.finished)
    onnx.checker.check_model(proto, full_check=True)
    assert {node.domain for node in proto.graph.node} <= STANDARD
    bytes_ = [tensor for tensor in proto.graph.initializer if "_bits" in tensor.name]
    weights = 64 * 32 + 32 * CLASSES
    assert sum(len(tensor.raw_data) for tensor in bytes_) == weights * bits / 8
    assert not any(
        tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) > 1 and tensor.dims[1] > 1
        for tensor in proto.graph.initializer
    )
    graph = sum(each.weight.numel() for each in after.graph.modules() if isinstance(each, PackedLayer))
    assert graph == weights * bits / 8
    mine, base = counts(after, after.finished), counts(before, after.finished)
    assert mine["parameters"] == base["parameters"] and mine["macs"] == base["macs"]
    found = figures(proto, {"input": (1, 1, 8, 8)})
    assert found["parameters"] == base["parameters"] and found["macs"] == base["macs"]
    assert found["nonzero_parameters"] == mine["nonzero_parameters"]
    assert integer_layers(proto.graph) == 2 == after.integer_layers()


def test_runtime_unpacks_once_and_computes_as_before(tmp_path: Path) -> None:
    """What ONNX Runtime runs holds no unpacking any more."""
    _, after = applied("quantize.weight_only", tmp_path, Cnn, bits=3)
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(after.finished), options, providers=["CPUExecutionProvider"])
    left = {node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node}
    assert not left & {"BitShift", "Mod", "Cast", "Sub"}


def test_every_output_reloads_and_the_report_says_what_is_left(tmp_path: Path) -> None:
    folder = job_folder(
        tmp_path,
        [{"kind": "quantize.weight_only", "bits": 3, "group_size": 8}],
        net=Tokens,
        outputs=["onnx", "pt2", "safetensors"],
    )
    report = run(folder.root, engine.reload.main)
    assert all(output.reload_max_abs_difference < 1e-4 for output in report.outputs)
    assert "dB of signal over noise" in report.steps[0].notes[0]
    assert report.result.get("parameters") == report.baseline.get("parameters")
    assert read_model(folder.output("pt2"), tmp_path).integer_layers() == 4


def test_an_onnx_model_is_packed_without_its_layers(tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.weight_only", "bits": 4}], Mlp)
    report = run(folder.root, engine.reload.main)
    assert report.result.get("parameters") == report.baseline.get("parameters")
    assert report.result.get("macs") == report.baseline.get("macs")
    assert (report.result.get("agreement") or 0) > 0.8 and report.comparison.compression_ratio > 2
    assert read_model(folder.output("onnx"), tmp_path).integer_layers() == 2


def test_an_embedding_and_ignored_layers(tmp_path: Path) -> None:
    _, after = applied("quantize.weight_only", tmp_path, Tokens, bits=4, ignore=["head"])
    kinds = {name for name, module in after.graph.named_modules() if isinstance(module, PackedLayer)}
    assert kinds == {"table", "hidden", "score"} and isinstance(after.graph.get_submodule("head"), nn.Linear)


@pytest.mark.parametrize(
    ("net", "options", "reason", "way_out"),
    [
        (Mlp, {"group_size": 24}, "layers.1 has 64 inputs", "use group_size=8"),
        (Regression, {"ignore": ["*"]}, "ignore leaves no layer", "ignore fewer"),
        (Mlp, {"ignore": ["nothing"]}, "matches no layer", "name some of"),
    ],
)
def test_what_does_not_fit_is_refused_by_plan_and_engine(
    net: type[nn.Module], options: dict[str, Any], reason: str, way_out: str, tmp_path: Path
) -> None:
    foreseen = planned(net, [{"kind": "quantize.weight_only", **options}])
    assert reason in foreseen.problems[0].detail and way_out in foreseen.problems[0].detail
    with pytest.raises(PithError) as refused:
        applied("quantize.weight_only", tmp_path, net, **options)
    assert reason in refused.value.problem.detail and way_out in refused.value.problem.detail


class _Outliers(nn.Module):
    """One weight of each channel is huge, and sees what is always zero: what counts lies below the first level."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.head = nn.Linear(128, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1)
        out: Tensor = self.head(self.first(torch.cat([x, 0 * x], 1)))
        return out


def _spoilt(net: nn.Module) -> None:
    with torch.no_grad():
        net.first.weight[:, 64:] = 100 * torch.randn(16, 64)  # type: ignore[index, union-attr, operator]
        net.first.bias.zero_(), net.head.bias.zero_()  # type: ignore[operator, union-attr]


def test_a_model_of_which_nothing_would_be_left_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.built

    def spoilt(kind: type[nn.Module], seed: int = 0) -> nn.Module:
        net = made(kind, seed)
        _spoilt(net)
        return net

    monkeypatch.setattr(tiny, "built", spoilt)
    with pytest.raises(PithError) as refused:
        applied("quantize.weight_only", tmp_path, _Outliers, bits=2)
    said = refused.value.problem.detail
    assert "hardly more signal than noise" in said and "use 4 bits" in said
