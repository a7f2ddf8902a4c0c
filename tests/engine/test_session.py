"""Running an ONNX file where there is too little memory for a whole batch."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from engine.session import in_pieces, open_session, run_session

ROOT = Path(__file__).parents[2]
WIDE = 500_000
LIMITED = """
import json, resource, sys
from pathlib import Path
import numpy as np
from engine.quantize.calibrate import calibrate
from engine.session import open_session, outputs
from tests.engine.scarce import limit

path = Path(sys.argv[1])
x = np.arange(64, dtype=np.float32)[:, None]
limit(96_000_000)
if sys.argv[2] == "measure":
    found = [float(each) for given in outputs(open_session(path, 1), (x,), (x.dtype,)) for each in given[0]]
else:
    found = calibrate(path, ["wide"], lambda: [(x,)], "minmax", 99.0)["wide"].scale
print(json.dumps(found))
"""


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    """Each sample is small, and so is its output; between them it is 2 MB."""
    shape = helper.make_tensor("shape", TensorProto.INT64, [2], [1, WIDE])
    given = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 1])
    result = helper.make_tensor_value_info("most", TensorProto.FLOAT, ["batch"])
    nodes = [
        helper.make_node("Expand", ["x", "shape"], ["wide"]),
        helper.make_node("ReduceMax", ["wide"], ["most"], axes=[1], keepdims=0),
    ]
    graph = helper.make_graph(nodes, "wide", [given], [result], [shape])
    path = tmp_path / "wide.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize(("what", "expected"), [("measure", list(range(64))), ("calibrate", pytest.approx(63 / 255))])
def test_a_batch_that_has_no_room_is_run_in_halves(wide: Path, what: str, expected: object) -> None:
    command = (sys.executable, "-c", LIMITED, str(wide), what)
    done = subprocess.run(command, cwd=ROOT, env={"OMP_NUM_THREADS": "1", "PATH": ""}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert json.loads(done.stdout) == expected
    assert "Failed to allocate" in done.stderr, "the whole had no room"


def test_another_error_is_no_reason_to_try_halves(wide: Path) -> None:
    session = open_session(wide, 1)
    with pytest.raises(Exception, match="INVALID_ARGUMENT"):
        list(in_pieces(session, (np.zeros((4, 1), np.int64),)))
    [(given, _)] = in_pieces(session, (np.zeros((4, 1), np.float32),))
    assert len(given[0]) == 4 and len(run_session(session, given)[0]) == 4
