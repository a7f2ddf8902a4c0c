"""Training that rounds: its gradients are the papers', its result is what was trained, and it resumes exactly."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from safetensors.numpy import load_file
from torch import nn

import engine.reload
from engine.checkpoint import Checkpoints
from engine.fusion import fold_norms
from engine.measure import sqnr_db
from engine.quantize.placing import Scale
from engine.quantize.rounding import LearnedRounding, RoundedLayer
from engine.run import run
from engine.session import open_session, run_session
from pith.errors import PithError
from tests.engine.conformance import applied
from tests.engine.quantize.optimized import optimized
from tests.engine.tiny import Cnn, Mlp, Regression, Tokens, arrays, job_folder, lifted

STEP: dict[str, Any] = {"kind": "quantize.qat", "epochs": 2, "learning_rate": 1e-3}


def test_the_scale_has_the_gradient_of_lsq() -> None:
    """Equation 3 of arXiv 1902.08153, with the gradient scale of its section 2.2."""
    scale, zero = 0.1, 3
    rounding = LearnedRounding(Scale(scale, zero), learns=True)
    x = torch.tensor([0.234, -5.0, 100.0, 1.0], requires_grad=True)
    weights = torch.tensor([1.0, 2.0, 3.0, 4.0])
    (rounding(x) * weights).sum().backward()
    inside = [round(v / scale) - v / scale for v in (0.234, 1.0)]
    by_hand = 1.0 * inside[0] + 2.0 * -zero + 3.0 * (255 - zero) + 4.0 * inside[1]
    factor = 1 / math.sqrt(4 * 255)
    assert float(rounding.change.grad) == pytest.approx(by_hand * factor * scale, rel=1e-4)  # d scale / d change
    assert x.grad.tolist() == [1.0, 0.0, 0.0, 4.0]


@pytest.mark.parametrize("per_channel", [True, False])
def test_a_rounded_weight_is_on_its_grid_and_passes_the_gradient_straight_through(per_channel: bool) -> None:
    layer = nn.Linear(5, 3)
    rounded = RoundedLayer(layer, per_channel, 127)
    weight = layer.weight.detach()
    scale = weight.abs().amax(1, keepdim=True) / 127 if per_channel else weight.abs().max() / 127
    assert torch.allclose(rounded.rounded(), torch.round(weight / scale) * scale, atol=1e-6)
    x = torch.randn(4, 5)
    rounded(x).sum().backward()
    assert torch.allclose(layer.weight.grad, x.sum(0).expand(3, 5), atol=1e-5)


@pytest.mark.parametrize("net", [Cnn, Mlp, Regression])
def test_the_file_computes_what_was_trained_in_integers(net: type[nn.Module], tmp_path: Path) -> None:
    before, after = applied("quantize.qat", tmp_path, net, epochs=4, learning_rate=3e-3)
    x = arrays(net)["x_test"]
    with torch.no_grad():
        here = after.graph(torch.from_numpy(x)).numpy()
    assert sqnr_db(run_session(open_session(after.finished, 1), (x,))[0], here) > 60
    assert sqnr_db(before.graph(torch.from_numpy(x)).detach().numpy(), here) < 30, "it has learned something"
    kinds = optimized(after.finished, tmp_path)
    assert "QGemm" in kinds and not {"Conv", "Gemm"} & set(kinds)
    assert after.integer_layers() == len(list(before.layers()))


def test_it_learns_and_its_scales_do(tmp_path: Path) -> None:
    _, still = applied("quantize.qat", tmp_path / "still", Cnn, epochs=1, learning_rate=1e-12)
    _, after = applied("quantize.qat", tmp_path / "after", Cnn, epochs=8, learning_rate=1e-2)
    data = arrays()
    given = run_session(open_session(after.finished, 1), (data["x_test"],))[0]
    assert float((given.argmax(1) == data["y_test"]).mean()) > 0.9
    one, other = _scales(still.finished), _scales(after.finished)
    assert one.keys() == other.keys() and sum(one[name] != other[name] for name in one) > len(one) / 2


def _scales(path: Path) -> dict[str, float]:
    arrays_ = {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}
    nodes = [node for node in onnx.load(path).graph.node if node.op_type == "QuantizeLinear"]
    return {node.input[0]: float(numpy_helper.to_array(arrays_[node.input[1]])) for node in nodes}


class _Stopped(Exception):
    pass


@pytest.mark.parametrize("net", [Cnn, Tokens])
def test_it_resumes_to_the_same_bits(net: type[nn.Module], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = job_folder(tmp_path / "whole", [STEP], net=net, outputs=["safetensors", "onnx"])
    run(whole.root, engine.reload.main)
    cut = job_folder(tmp_path / "cut", [STEP], net=net, outputs=["safetensors", "onnx"], checkpoint_seconds=0)
    save, count = Checkpoints.save, iter(range(100))

    def stopping(self: Checkpoints, *given: Any, **named: Any) -> None:
        save(self, *given, **named)
        if next(count) == 2:
            raise _Stopped

    monkeypatch.setattr(Checkpoints, "save", stopping)
    with pytest.raises(_Stopped):
        run(cut.root, engine.reload.main)
    run(cut.root, engine.reload.main)
    one, other = (load_file(folder.output("safetensors")) for folder in (whole, cut))
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    x = tuple(array for name, array in arrays(net).items() if name.startswith("x_test"))
    first, second = (run_session(open_session(folder.output("onnx"), 1), x)[0] for folder in (whole, cut))
    assert np.array_equal(first, second)


def test_a_folded_bias_is_trained_too() -> None:
    model = lifted(Cnn)
    fold_norms(model.graph)
    assert all(parameter.requires_grad for parameter in model.graph.parameters())


def test_zeros_of_a_sparse_model_stay(tmp_path: Path) -> None:
    recipe = [{"kind": "prune.magnitude", "sparsity": 0.6}, STEP]
    folder = job_folder(tmp_path, recipe, net=Mlp, outputs=["safetensors"])
    run(folder.root, engine.reload.main)
    weight = load_file(folder.output("safetensors"))["layers.1.weight"]
    assert weight.dtype == np.int8 and (weight == 0).mean() > 0.55


def test_label_smoothing_is_refused_without_classes(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="technique_inapplicable"):
        applied("quantize.qat", tmp_path, Regression, label_smoothing=0.1)
