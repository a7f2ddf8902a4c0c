"""Writing models: what is in the files, and what is said when one cannot be written."""

from pathlib import Path

import onnx
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from engine.export import write_onnx, write_pt2, write_safetensors
from engine.model import read_model
from pith.errors import PithError
from tests.engine.tiny import CLASSES, Cnn, Transformer, built, lifted


@pytest.mark.parametrize("net", [Cnn, Transformer])
def test_the_onnx_file_is_whole_and_names_its_ends(net: type[nn.Module], tmp_path: Path) -> None:
    write_onnx(lifted(net), tmp_path / "model.onnx")
    proto = onnx.load(tmp_path / "model.onnx", load_external_data=False)
    onnx.checker.check_model(proto, full_check=True)
    shape = proto.graph.input[0].type.tensor_type.shape.dim
    assert [value.name for value in (*proto.graph.input, *proto.graph.output)] == ["input", "output"]
    assert shape[0].dim_param == "batch" and [dim.dim_value for dim in shape[1:]] == [1, 8, 8]
    assert not any(tensor.external_data for tensor in proto.graph.initializer)
    assert b".py" not in (tmp_path / "model.onnx").read_bytes(), "no trace of the machine that exported it"


def test_the_pt2_reads_back_as_an_upload_would(tmp_path: Path) -> None:
    model = lifted(Cnn)
    write_pt2(model, tmp_path / "model.pt2")
    again = read_model(tmp_path / "model.pt2", tmp_path)
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(again.graph(x), model.graph(x))


def test_safetensors_holds_every_weight_by_its_name_and_the_shape_of_the_input(tmp_path: Path) -> None:
    model = lifted(Cnn)
    write_safetensors(model, tmp_path / "model.safetensors")
    with safe_open(tmp_path / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(model.graph.state_dict())
        assert file.metadata()["inputs"] == '{"x": ["batch", 1, 8, 8]}'
        assert file.metadata()["outputs"] == '{"output": ["batch", 4]}'


class _NoOnnx(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = torch.linalg.svd(x.squeeze(1))[1]
        return out[:, :CLASSES]


def test_an_operator_that_onnx_does_not_know_is_named(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="export_failed") as caught:
        write_onnx(lifted(_NoOnnx), tmp_path / "model.onnx")
    assert "linalg_svd" in caught.value.problem.detail and not (tmp_path / "model.onnx").exists()


class _Counts(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, :CLASSES] + torch.arange(CLASSES, device=x.device)


def test_tensors_that_the_graph_makes_itself_move_with_it() -> None:
    model = lifted(_Counts)
    x = torch.randn(3, 1, 8, 8)
    wanted = model.graph(x)
    assert model.place(torch.device("meta"))(x.to("meta")).device.type == "meta"
    assert torch.equal(model.at_rest()(x), wanted)


def test_other_floating_point_than_32_bits_is_refused(tmp_path: Path) -> None:
    program = torch.export.export(
        built(Cnn).double(), (torch.randn(2, 1, 8, 8).double(),), dynamic_shapes=({0: torch.export.Dim("batch")},)
    )
    torch.export.save(program, tmp_path / "model.pt2")
    with pytest.raises(PithError, match="model_unsupported") as caught:
        read_model(tmp_path / "model.pt2", tmp_path)
    assert "float64" in caught.value.problem.detail and "model.float()" in caught.value.problem.detail


def test_the_way_out_of_a_pickled_model_works_when_pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = PithError("model_pickled", found="it").problem.detail
    monkeypatch.chdir(tmp_path)
    code = said[said.index("torch.export.save") :].rstrip(".")
    exec(code, {"torch": torch, "model": built(Cnn), "example": torch.randn(2, 1, 8, 8)})  # our own sentence
    assert read_model(tmp_path / "model.pt2", tmp_path).signature.inputs[0].shape[0] is None


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = lifted(Cnn)
    with torch.no_grad():
        model.graph.get_submodule("head").weight[0, 0] = float("nan")
    write_pt2(model, tmp_path / "model.pt2")
    with pytest.raises(PithError, match="weights that are not finite"):
        read_model(tmp_path / "model.pt2", tmp_path)
