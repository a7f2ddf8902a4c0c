"""Small ONNX files and tensors for the packed file."""

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper

from pith.packed.wire import Tensor

SKELETON: bytes = helper.make_model(
    helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "model",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, ["batch", 4])],
    ),
    opset_imports=[helper.make_opsetid("", 20)],
    ir_version=10,
).SerializeToString(deterministic=True)


def tensor(array: NDArray[Any], index: int = 0) -> Tensor:
    kind = int(helper.np_dtype_to_tensor_dtype(array.dtype))
    return Tensor(str(index), kind, array.shape, array.tobytes())


def tensors(*arrays: NDArray[Any]) -> list[Tensor]:
    return [tensor(array, index) for index, array in enumerate(arrays)]


def sparse_picture_weights(seed: int = 0) -> NDArray[np.float32]:
    """(64, 256) for pictures of 16 by 16, of which the border is dead, as pruning leaves them; 8 values and zero."""
    random = np.random.default_rng(seed)
    alive = np.zeros((16, 16))
    alive[4:12, 4:12] = 0.3
    chosen = random.random((64, 256)) < alive.ravel() * random.uniform(0.2, 1.5, (64, 1))
    values = np.array([-0.5, -0.25, -0.125, -0.0625, 0.0625, 0.125, 0.25, 0.5], np.float32)
    return np.where(chosen, random.choice(values, (64, 256)), np.float32(0)).astype(np.float32)


def entropy_bytes(array: NDArray[Any]) -> float:
    """The order-0 entropy of its values."""
    counts = np.unique(array, return_counts=True)[1]
    return float(-(counts * np.log2(counts / counts.sum())).sum() / 8)


def parsed(data: bytes) -> onnx.ModelProto:
    return onnx.ModelProto.FromString(data)
