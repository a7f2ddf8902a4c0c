"""What is learnt of an ONNX graph before any job."""

import numpy as np
from onnx import ModelProto

from engine.onnx_model.ports import Port
from engine.onnx_model.probe import Probed
from engine.onnx_model.refusals import shown, unsupported
from engine.onnx_model.weights import array_of, integer_layers, layer_facts, layers, parameters, shapes, total_macs
from pith.facts import Estimate, HeadFacts, ModelFacts, TensorFacts

_PROCESS_BYTES = 400 << 20
_PASSING = frozenset({"Add", "Softmax", "LogSoftmax", "Sigmoid", "Tanh", "Identity", "DequantizeLinear"})
_PASSING_TOO = frozenset({"QuantizeLinear", "Cast", "Mul", "Reshape", "Flatten", "Squeeze"})


def dtype_of(proto: ModelProto) -> str:
    """The kind of number of the weights.

    Raises:
        PithError: ``model_unsupported`` for other floating point than float32, and for weights that are not finite.
    """
    kinds: dict[str, int] = {}
    for layer in layers(proto.graph):
        array = array_of(layer.weight)
        kind = str(array.dtype)
        kinds[kind] = kinds.get(kind, 0) + array.size
        if (array.dtype.kind == "f" and array.dtype != np.float32) or kind == "bfloat16":
            unsupported(f"{kind} numbers", "export model.float(), with float32 inputs")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            unsupported(f"weights that are not finite ({shown(layer.name)})", "export a model that has not diverged")
    return max(kinds, key=kinds.__getitem__, default="float32")


def facts_of(proto: ModelProto, inputs: tuple[Port, ...], probed: Probed, opset: int, kind: str) -> ModelFacts:
    """What was learnt of a checked graph; ``opset`` and ``kind`` as they arrived."""
    sizes = {port.name: port.sizes(1, probed.dynamic) for port in inputs}
    known = shapes(proto, sizes)
    weights = parameters(proto.graph)
    found = tuple(layer_facts(proto.graph, known))
    numbers = sum(int(np.prod(size)) for name, size in known.items() if name not in weights)
    return ModelFacts(
        format="onnx",
        trainable=False,
        inputs=tuple(_tensor(port) for port in inputs),
        outputs=tuple(_tensor(port) for port in probed.outputs),
        dtype=kind,
        opset=opset,
        parameters=sum(int(np.prod(tensor.dims)) for tensor in weights.values()),
        macs=total_macs(proto.graph, known),
        head=_head(proto, probed.outputs[0]),
        layers=found,
        estimate=Estimate(
            inference_seconds=probed.seconds,
            training_seconds=None,
            fixed_bytes=2 * proto.ByteSize() + _PROCESS_BYTES,
            sample_bytes=4 * numbers,
        ),
        finished_layers=integer_layers(proto.graph),
        notes=_notes(proto, probed),
    )


def _notes(proto: ModelProto, probed: Probed) -> tuple[str, ...]:
    integers = integer_layers(proto.graph)
    said_ = f"{integers} layers already hold integers, so it cannot be quantized again." if integers else None
    return tuple(note for note in (probed.note, said_) if note)


def _tensor(port: Port) -> TensorFacts:
    return TensorFacts(name=port.name, shape=(None, *port.shape[1:]), dtype=port.dtype)


def _head(proto: ModelProto, output: Port) -> HeadFacts | None:
    """The layer behind the first output, when only operators that keep its width lie between."""
    made = {name: node for node in proto.graph.node for name in node.output}
    owners = {layer.node.output[0]: layer for layer in layers(proto.graph)}
    name = output.name
    for _ in range(len(proto.graph.node)):
        if name in owners:
            return HeadFacts(name=owners[name].name, outputs=output.shape[-1]) if output.shape[-1] else None
        node = made.get(name)
        if node is None or node.op_type not in _PASSING | _PASSING_TOO or not node.input:
            return None
        name = next((one for one in node.input if one in made), "")
    return None
