"""Good ONNX files, changed at random: each is read or refused with a code of its own, and this process lives.

What broke the libraries was found in the child: see the codes that the examples name.
"""

import os
import random
from pathlib import Path

import onnx
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from engine.onnx_model import OnnxLimits, read_onnx
from pith.errors import PithError
from tests.engine import onnx_files as files
from tests.engine.tiny import Cnn, Mlp

CASES = int(os.environ.get("PITH_FUZZ_ONNX", "60"))
LIMITS = OnnxLimits(seconds=20, memory=2 << 30)


def samples() -> list[bytes]:
    folded = files.model(files.nested(3))
    return [
        files.model().SerializeToString(),
        files.exported_bytes(Mlp, 17, None),
        files.exported_bytes(Cnn, 13, 1),
        folded.SerializeToString(),
    ]


def flipped(data: bytes, dice: random.Random) -> bytes:
    """Bits turned where the structure is: the raw bytes of weights are most of a file and least of interest."""
    changed = bytearray(data)
    for _ in range(dice.choice([1, 1, 2, 5, 20])):
        at = dice.randrange(len(changed))
        if dice.random() < 0.5:
            changed[at] ^= 1 << dice.randrange(8)
        else:
            changed[at] = dice.choice([0, 1, 0x7F, 0x80, 0xFF, dice.randrange(256)])
    if dice.random() < 0.2:
        at = dice.randrange(len(changed))
        del changed[at : at + dice.randrange(50)]
    return bytes(changed)


_NUMBERS = (-(2**63), -1, 0, 1, 2, 7, 64, 2**31, 2**40, 2**63 - 1)


def rewired(data: bytes, dice: random.Random) -> bytes:
    """Sound protocol buffers that say other things: names, operators, attributes, sizes, kinds of number."""
    proto = onnx.load_from_string(data)
    for _ in range(dice.choice([1, 1, 2, 4])):
        dice.choice((_operator, _wire, _attribute, _size, _kind, _lost, _port))(proto, dice)
    return bytes(proto.SerializeToString())


def _operator(proto: ModelProto, dice: random.Random) -> None:
    names = [schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""]
    if proto.graph.node:
        dice.choice(proto.graph.node).op_type = dice.choice(names)


def _wire(proto: ModelProto, dice: random.Random) -> None:
    node = dice.choice(proto.graph.node) if proto.graph.node else None
    names = [tensor.name for tensor in proto.graph.initializer] + [
        name for one in proto.graph.node for name in one.output
    ]
    if node is not None and node.input:
        node.input[dice.randrange(len(node.input))] = dice.choice([*names, "", "nobody"])


def _attribute(proto: ModelProto, dice: random.Random) -> None:
    found = [one for node in proto.graph.node for one in node.attribute]
    if not found:
        return
    one = dice.choice(found)
    if one.ints:
        one.ints[dice.randrange(len(one.ints))] = dice.choice(_NUMBERS)
    elif one.HasField("i"):
        one.i = dice.choice(_NUMBERS)
    elif one.HasField("f"):
        one.f = dice.choice([0.0, -1.0, 1e38, float("nan")])
    else:
        one.type = dice.randrange(14)


def _size(proto: ModelProto, dice: random.Random) -> None:
    if proto.graph.initializer:
        tensor = dice.choice(proto.graph.initializer)
        if tensor.dims:
            tensor.dims[dice.randrange(len(tensor.dims))] = dice.choice(_NUMBERS)
        if tensor.data_type == onnx.TensorProto.INT64 and tensor.raw_data:
            tensor.raw_data = b"".join(
                dice.choice(_NUMBERS).to_bytes(8, "little", signed=True) for _ in range(len(tensor.raw_data) // 8)
            )


def _kind(proto: ModelProto, dice: random.Random) -> None:
    if proto.graph.initializer:
        dice.choice(proto.graph.initializer).data_type = dice.randrange(26)


def _lost(proto: ModelProto, dice: random.Random) -> None:
    part = dice.choice((proto.graph.node, proto.graph.initializer, proto.graph.input, proto.graph.output))
    if part:
        del part[dice.randrange(len(part))]


def _port(proto: ModelProto, dice: random.Random) -> None:
    ports = [*proto.graph.input, *proto.graph.output]
    dims = [dim for value in ports for dim in value.type.tensor_type.shape.dim]
    if dims:
        dice.choice(dims).dim_value = dice.choice(_NUMBERS)


@given(seed=st.integers(0, 2**32))
@example(seed=0)
@settings(
    max_examples=CASES, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_changed_file_is_read_or_refused(seed: int, tmp_path: Path) -> None:
    dice = random.Random(seed)
    data = dice.choice(samples())
    made = (flipped if dice.random() < 0.4 else rewired)(data, dice)
    target = tmp_path / "model.onnx"
    target.unlink(missing_ok=True)
    try:
        found = read_onnx(files.write(tmp_path, made), target, limits=LIMITS)
    except PithError as error:
        assert error.code.startswith("model_"), (seed, error)
        assert error.problem.detail.isprintable() and not target.exists(), (seed, error)
    else:
        assert found.path.stat().st_size and read_onnx(target, tmp_path / "again.onnx").facts.inputs, seed
