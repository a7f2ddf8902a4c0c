"""Running a graph to learn what it really gives, and whether any number of samples goes through it at once."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper

from engine.onnx_model.canonical import BATCH
from engine.onnx_model.ports import NUMBERS, Port, declare_outputs, example, free_batch
from engine.onnx_model.refusals import malformed, said, shown, unsupported
from engine.session import open_session, run_session
from pith.errors import PithError

# Tried for dynamic sizes besides the batch, in this order.
SIZES = (8, 16, 32, 64, 128, 224, 256, 4, 2, 1)
_RUN_IT = "run it in onnxruntime, mend it and export it again"
Arrays = tuple[NDArray[Any], ...]


class Probed(NamedTuple):
    """What running told. ``examples`` are the sizes of inputs and then outputs for two samples."""

    outputs: tuple[Port, ...]
    examples: tuple[tuple[int, ...], ...]
    dynamic: dict[str, int]
    seconds: float
    note: str | None


def probe(proto: ModelProto, inputs: tuple[Port, ...], path: Path) -> Probed:
    """Give the graph a dynamic batch, write it to ``path`` and run it.

    Raises:
        PithError: ``model_fixed_batch``, ``model_unsupported`` or ``model_malformed``.
    """
    declared = [_symbols(value) for value in proto.graph.output]
    note = None
    fixed = {port.shape[0] for port in inputs}
    if fixed == {None}:
        free_batch(proto.graph)
        onnx.save(proto, path)
    else:
        note = _freed(proto, inputs, path)
    session = opened(path)
    dynamic, two = _first_run(session, inputs)
    _check_repeatable(session, inputs, dynamic, two)
    one, three = (_run(session, inputs, batch, dynamic) for batch in (1, 3))
    outputs = tuple(
        _output(value.name, names, arrays)
        for value, names, arrays in zip(proto.graph.output, declared, zip(one, two, three, strict=True), strict=True)
    )
    declare_outputs(proto.graph, outputs)
    onnx.save(proto, path)
    examples = tuple(port.sizes(2, dynamic) for port in inputs) + tuple(array.shape for array in two)
    return Probed(outputs, examples, dynamic, _seconds(session, inputs, dynamic), note)


def opened(path: Path) -> onnxruntime.InferenceSession:
    """A session, or what the runtime has against the file."""
    try:
        return open_session(path, 1)
    except Exception as error:  # onnxruntime raises many kinds
        text = said(error)
        if "NOT_IMPLEMENTED" in str(error) or "Could not find an implementation" in text:
            unsupported(f"an operator that the runtime lacks ({text})", "export it with another opset_version")
        malformed("its graph", text)


def _run(
    session: onnxruntime.InferenceSession, inputs: tuple[Port, ...], batch: int, dynamic: dict[str, int]
) -> Arrays:
    """Outputs for that many samples; the same seed gives the first samples again."""
    given = tuple(example(port, batch, dynamic, seed) for seed, port in enumerate(inputs))
    return _tensors(run_session(session, given))


def _tensors(given: Arrays) -> Arrays:
    if not all(isinstance(array, np.ndarray) for array in given):
        unsupported("an output that is no tensor", "return tensors alone")
    return given


def _first_run(session: onnxruntime.InferenceSession, inputs: tuple[Port, ...]) -> tuple[dict[str, int], Arrays]:
    """Sizes for what is dynamic with which two samples run, and their outputs."""
    symbols = {
        symbol for port in inputs for size, symbol in zip(port.shape[1:], port.symbols[1:], strict=True) if size is None
    }
    problems: list[str] = []
    for size in SIZES if symbols else SIZES[:1]:
        dynamic = dict.fromkeys(symbols, size)
        try:
            return dynamic, _run(session, inputs, 2, dynamic)
        except PithError:
            raise
        except Exception as error:  # onnxruntime raises many kinds
            problems.append(said(error))
    return unsupported(f"a graph that does not run on two samples ({problems[0]})", _RUN_IT)


def _check_repeatable(
    session: onnxruntime.InferenceSession, inputs: tuple[Port, ...], dynamic: dict[str, int], before: Arrays
) -> None:
    again = _run(session, inputs, 2, dynamic)
    for one, other in zip(before, again, strict=True):
        if one.shape != other.shape or not np.array_equal(one, other, equal_nan=one.dtype.kind == "f"):
            unsupported(
                "outputs that differ from run to run", "export the model in eval mode, without random operators"
            )


def _output(name: str, symbols: list[str], arrays: Arrays) -> Port:
    """What an output is, from its values for one, two and three samples."""
    kind = str(arrays[0].dtype)
    if kind not in NUMBERS.values():
        unsupported(f"{kind} numbers in the output {shown(name)}", "export model.float(), with float32 outputs")
    for batch, array in enumerate(arrays, start=1):
        if not array.ndim or array.shape[0] != batch:
            unsupported(
                f"the output {shown(name)} of the shape {array.shape} for {batch} samples, whose first dimension is "
                "not the batch",
                "return one row a sample",
            )
    if len({array.ndim for array in arrays}) > 1:
        unsupported(f"the output {shown(name)} of a changing number of dimensions", "return one row a sample")
    known = symbols if len(symbols) == arrays[0].ndim else [""] * arrays[0].ndim
    same = [len(set(sizes)) == 1 for sizes in zip(*(array.shape for array in arrays), strict=True)]
    shape = tuple(
        size if index and same[index] and not known[index] else None for index, size in enumerate(arrays[0].shape)
    )
    names = tuple(BATCH if not index else known[index] or f"{name}.{index}" for index in range(len(shape)))
    return Port(name, kind, shape, names)


def _symbols(value: onnx.ValueInfoProto) -> list[str]:
    """A name where the file says that a size is dynamic; nothing where it gives one."""
    return [
        "" if dim.dim_value > 0 else dim.dim_param or f"{value.name}.{index}"
        for index, dim in enumerate(value.type.tensor_type.shape.dim)
    ]


def _seconds(session: onnxruntime.InferenceSession, inputs: tuple[Port, ...], dynamic: dict[str, int]) -> float:
    given = tuple(example(port, 1, dynamic, seed) for seed, port in enumerate(inputs))
    times = []
    for _ in range(3):
        started = time.perf_counter()
        run_session(session, given)
        times.append(time.perf_counter() - started)
    return min(times)


def _freed(proto: ModelProto, inputs: tuple[Port, ...], path: Path) -> str:
    """Make a fixed batch dynamic where running proves that each sample keeps its answer."""
    batch = next(port.shape[0] for port in inputs if port.shape[0] is not None)
    if any(port.shape[0] != batch for port in inputs):
        raise PithError("model_fixed_batch", batch=batch)
    onnx.save(proto, path)
    session = opened(path)
    dynamic, blocks = _blocks(session, inputs, batch)
    tolerance = 0.05 if any(node.op_type == "DynamicQuantizeLinear" for node in proto.graph.node) else 1e-4
    for candidate in _candidates(proto, batch):
        free_batch(candidate.graph)
        onnx.save(candidate, path)
        if _same(path, inputs, batch, dynamic, blocks, tolerance):
            proto.CopyFrom(candidate)
            return f"It was exported for a batch of {batch}; the batch was made dynamic, with the same outputs."
    raise PithError("model_fixed_batch", batch=batch)


def _blocks(
    session: onnxruntime.InferenceSession, inputs: tuple[Port, ...], batch: int
) -> tuple[dict[str, int], list[Arrays]]:
    symbols = {s for port in inputs for size, s in zip(port.shape[1:], port.symbols[1:], strict=True) if size is None}
    dynamic = dict.fromkeys(symbols, SIZES[0])
    given = [example(port, 2 * batch, dynamic, seed) for seed, port in enumerate(inputs)]
    try:
        halves = [tuple(array[at : at + batch] for array in given) for at in (0, batch)]
        return dynamic, [_tensors(run_session(session, half)) for half in halves]
    except PithError:
        raise
    except Exception as error:  # onnxruntime raises many kinds
        return unsupported(f"a graph that does not run ({said(error)})", _RUN_IT)


def _same(
    path: Path, inputs: tuple[Port, ...], batch: int, dynamic: dict[str, int], blocks: list[Arrays], tolerance: float
) -> bool:
    try:
        found = _run(open_session(path, 1), inputs, 2 * batch, dynamic)
    except Exception:  # onnxruntime raises many kinds; this way of freeing the batch does not work
        return False
    return all(
        all(array.ndim and array.shape[0] == batch for array in parts)
        and mine.shape == (2 * batch, *parts[0].shape[1:])
        and np.allclose(
            mine, np.concatenate(parts), rtol=tolerance, atol=tolerance * float(np.abs(mine).max(initial=0))
        )
        for mine, parts in zip(found, zip(*blocks, strict=True), strict=True)
    )


def _candidates(proto: ModelProto, batch: int) -> Iterator[ModelProto]:
    """The graph as it is, and with the batch taken out of the shapes that its operators reshape to."""
    first = ModelProto()
    first.CopyFrom(proto)
    yield first
    yield _reshaped(proto, batch)


def _reshaped(proto: ModelProto, batch: int) -> ModelProto:
    changed = ModelProto()
    changed.CopyFrom(proto)
    weights = {tensor.name: tensor for tensor in changed.graph.initializer}
    for index, node in enumerate(changed.graph.node):
        tensor = weights.get(node.input[1]) if node.op_type in ("Reshape", "Expand") and len(node.input) > 1 else None
        if tensor is None or tensor.data_type != TensorProto.INT64:
            continue
        shape = numpy_helper.to_array(tensor).copy()
        if shape.ndim != 1 or not shape.size or shape[0] != batch:
            continue
        if node.op_type == "Expand":
            shape[0] = 1
        else:
            shape[0] = 0 if -1 in shape[1:] else -1
        name = f"{tensor.name}.free.{index}"
        changed.graph.initializer.append(numpy_helper.from_array(shape, name))
        node.input[1] = name
    return changed
