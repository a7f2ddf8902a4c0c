"""The memory that running a model takes, in a process of its own: forked, so that it can be had inside a sandbox.

What is counted is how far the process grew beyond what it had before it opened the file: the weights, what the runtime
makes of them, and the values of one sample; besides, some hundred kilobytes of the runtime itself. Not covered: memory
of a GPU.
"""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from engine.session import Arrays, open_session, run_session

SECONDS = 30
"""That one file may take."""
_UNIT = 1024 if sys.platform == "linux" else 1


def peak_memory(files: Sequence[Path], sample: Arrays) -> list[int | None]:
    """Bytes for each of these ONNX files; None where they cannot be had."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        _measure(files, sample, writer)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        said = dict(line.split(b" ") for line in pipe.read().splitlines())
    os.waitpid(child, 0)
    return [int(said[b"%d" % index]) if b"%d" % index in said else None for index in range(len(files))]


def _measure(files: Sequence[Path], sample: Arrays, writer: int) -> None:
    """Never returns. What was free when the process forked is given back, so that nobody takes it unseen; each file
    has a process of its own, because a high-water mark begins anew with it, and does not fall."""
    try:
        _bounded(SECONDS * len(files))
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)
        for index, path in enumerate(files):
            if (child := os.fork()) == 0:
                _bounded(SECONDS)
                os.write(writer, b"%d %d\n" % (index, _growth(path, sample)))
                os._exit(0)
            os.waitpid(child, 0)
    finally:
        os._exit(0)


def _bounded(seconds: int) -> None:
    """This process ends by itself, and is silent: what the runtime prints is of no use to anybody."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(seconds)


def _growth(path: Path, sample: Arrays) -> int:
    warm = _warm()
    before = _most()
    run_session(open_session(path, 1), sample)
    grown = _most() - before
    del warm
    return grown


def _most() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _UNIT


def _warm() -> onnxruntime.InferenceSession:
    """Something that has run, so that the runtime's own code is in memory; it keeps what it has."""
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 8]) for name in ("x", "y")]
    weight = helper.make_tensor("w", TensorProto.FLOAT, [8, 8], np.ones(64, np.float32))
    graph = helper.make_graph([helper.make_node("MatMul", ["x", "w"], ["y"])], "warm", ports[:1], ports[1:], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    session.run(None, {"x": np.ones((1, 8), np.float32)})
    return session
