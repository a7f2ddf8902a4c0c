"""Running an ONNX file, with the same settings wherever the engine does it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.export import INPUT

BATCH = 256


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """On the CPU, one graph at a time, threads that sleep when idle."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_session(session: onnxruntime.InferenceSession, x: NDArray[np.generic]) -> NDArray[np.float32]:
    output: NDArray[np.float32] = session.run(None, {INPUT: x})[0]
    return output


def outputs(
    session: onnxruntime.InferenceSession, x: NDArray[Any], dtype: np.dtype[Any]
) -> Iterator[NDArray[np.float32]]:
    """The outputs for all samples, a batch at a time."""
    for start in range(0, len(x), BATCH):
        yield run_session(session, np.ascontiguousarray(x[start : start + BATCH], dtype=dtype))
