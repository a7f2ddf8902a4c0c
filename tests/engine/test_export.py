"""Writing models: what is in the files, and what is said when one cannot be written."""

from pathlib import Path

import onnx
import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional

from engine.export import write_onnx, write_pt2, write_safetensors
from engine.model import read_model
from pith.errors import PithError
from tests.engine.tiny import CLASSES, Cnn, Tokens, Transformer, built, lifted


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


class _Free(nn.Module):
    """A signal of any length, twice as long and two longer at the end, and one of another length."""

    def forward(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        return functional.pad(torch.cat([x, x], 2), (0, 2)), y * 2


def _sizes(value: onnx.ValueInfoProto) -> list[int | str]:
    return [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]


def test_free_sizes_have_names_that_say_what_they_are(tmp_path: Path) -> None:
    write_onnx(lifted(Tokens), tmp_path / "tokens.onnx")
    proto = onnx.load(tmp_path / "tokens.onnx")
    assert [_sizes(value) for value in proto.graph.input] == [["batch", "length"]] * 2
    sizes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("first", min=3, max=99)}
    others = {0: sizes[0], 2: torch.export.Dim("other", min=3, max=99)}
    example = (torch.randn(2, 3, 7), torch.randn(2, 3, 9))
    program = torch.export.export(_Free(), example, dynamic_shapes=(sizes, others))
    torch.export.save(program, tmp_path / "free.pt2")
    write_onnx(read_model(tmp_path / "free.pt2", tmp_path), tmp_path / "free.onnx")
    proto = onnx.load(tmp_path / "free.onnx")
    onnx.checker.check_model(proto, full_check=True)
    assert [_sizes(value) for value in proto.graph.input] == [["batch", 3, "dim_2"], ["batch", 3, "y_dim_2"]]
    first, second = (_sizes(value) for value in proto.graph.output)
    assert first[:2] == ["batch", 3] and str(first[2]).replace(" ", "") == "2*dim_2+2"
    assert second == ["batch", 3, "y_dim_2"]


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
