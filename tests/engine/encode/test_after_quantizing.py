"""Whatever a quantization leaves in the ONNX file, ``encode.entropy`` keeps: integers, scales, scalars."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from engine.encode import entropy
from engine.export import write_onnx
from engine.registry import technique
from engine.session import open_session, run_session
from pith.packed.container import unpack
from pith.recipe import step_classes
from pith.techniques.encode.entropy import EncodeEntropy
from tests.engine.conformance import asked, opened
from tests.engine.tiny import Cnn, inputs_of

# As little training as there is: what is asked here is how numbers are kept, not which.
OPTIONS: dict[str, dict[str, Any]] = {
    "quantize.qat": {"epochs": 1},
    "quantize.adaround": {"iterations": 2},
    "quantize.mixed": {"iterations": 2},
}
CASES = [(kind, OPTIONS.get(kind, {})) for kind in sorted(step_classes()) if kind.startswith("quantize.")]
CASES += [("quantize.static", {"granularity": "tensor"})]


@pytest.mark.parametrize(("kind", "options"), CASES, ids=[f"{kind} {options}" for kind, options in CASES])
def test_what_is_packed_after_it_comes_out_again(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    ctx = opened(asked(kind, tmp_path, Cnn, **options))
    quantized = technique(kind)(ctx.baseline.copy(), ctx.spec.recipe[0], ctx)
    write_onnx(quantized, tmp_path / "before.onnx")
    after = entropy.apply(quantized, EncodeEntropy(), ctx)
    ctx.events.close()
    assert after.packed is not None and after.finished is not None
    found = unpack(after.packed.read_bytes()).model
    assert found == after.finished.read_bytes()
    assert _numbers(onnx.ModelProto.FromString(found)) == _numbers(onnx.load(tmp_path / "before.onnx"))
    inputs = tuple(each.numpy() for each in inputs_of(Cnn))
    before, now = (run_session(open_session(path, 1), inputs) for path in (tmp_path / "before.onnx", after.finished))
    assert all(np.array_equal(one, other) for one, other in zip(before, now, strict=True))


def _numbers(proto: onnx.ModelProto) -> list[tuple[int, tuple[int, ...], bytes]]:
    """Dtype, shape and numbers of every initializer, whatever it is called; -0 is 0."""
    return sorted(
        (tensor.data_type, tuple(tensor.dims), bytes(_positive(numpy_helper.to_array(tensor)).tobytes()))
        for tensor in proto.graph.initializer
    )


def _positive(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return array + np.float32(0) if array.dtype == np.float32 else array
