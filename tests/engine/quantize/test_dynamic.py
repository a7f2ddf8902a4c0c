"""Dynamic quantization: embeddings are kept as integers, in the graph as in the file."""

from pathlib import Path

import onnx
import torch
from onnx import numpy_helper

from engine.quantize.integers import IntegerTable
from tests.engine.conformance import applied
from tests.engine.tiny import Tokens


def test_the_table_of_an_embedding_is_stored_as_integers(tmp_path: Path) -> None:
    before, after = applied("quantize.dynamic", tmp_path, Tokens)
    table = after.graph.get_submodule("table")
    assert isinstance(table, IntegerTable) and table.weight.dtype is torch.uint8
    ids = torch.arange(20)
    wanted = before.graph.get_submodule("table")(ids).detach()
    step = float(table.weight_scale)
    assert 0 < step < 0.05 and float((table(ids) - wanted).abs().max()) <= 0.51 * step
    assert after.finished is not None
    held = {each.name: numpy_helper.to_array(each) for each in onnx.load(after.finished).graph.initializer}
    assert (held["table.weight_quantized"] == table.weight.numpy()).all()
    assert not any(array.shape == (20, 16) and array.dtype.kind == "f" for array in held.values())
