"""Running an ONNX file, with the same settings wherever the engine does it."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from engine.data import Rows
from engine.pieces import ran_out

Arrays = tuple[NDArray[Any], ...]

BATCH = 256


def open_session(model: Path | bytes, threads: int) -> onnxruntime.InferenceSession:
    """A file, or what one holds. On the CPU, one graph at a time, threads that sleep when idle."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(
        model if isinstance(model, bytes) else str(model), options, providers=["CPUExecutionProvider"]
    )


def run_session(session: onnxruntime.InferenceSession, x: Arrays) -> Arrays:
    """All outputs for one array an input, in the file's own order of inputs."""
    names = [value.name for value in session.get_inputs()]
    return tuple(session.run(None, dict(zip(names, x, strict=True))))


def in_pieces(session: onnxruntime.InferenceSession, x: Arrays) -> Iterator[tuple[Arrays, Arrays]]:
    """The inputs and their outputs: of all samples together or, where memory runs out, of each half by itself."""
    try:
        found = run_session(session, x)
    except Exception as error:  # the runtime's errors have no common kind
        half = len(x[0]) // 2
        if not half or not ran_out(error):
            raise
    else:
        yield x, found
        return
    for rows in (slice(half), slice(half, None)):
        yield from in_pieces(session, tuple(each[rows] for each in x))


def outputs(
    session: onnxruntime.InferenceSession, x: Sequence[Rows], dtypes: Sequence[np.dtype[Any]]
) -> Iterator[Arrays]:
    """The outputs for all samples, a batch at a time, or less where memory runs out."""
    for start in range(0, len(x[0]), BATCH):
        for _, found in in_pieces(session, cast(x, slice(start, start + BATCH), dtypes)):
            yield found


def cast(x: Sequence[Rows], rows: slice | NDArray[np.integer], dtypes: Sequence[np.dtype[Any]]) -> Arrays:
    """These samples as the model takes them."""
    return tuple(np.array(array[rows], dtype=dtype, order="C") for array, dtype in zip(x, dtypes, strict=True))
