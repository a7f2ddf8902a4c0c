"""The protocol buffer of an ONNX file, as far as weights need it: they are taken out of one place and put back there.

Done on bytes, without the ONNX library, so that what comes back is what went in whatever version reads it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pith.packed.numbers import Reader, malformed, varint

_GRAPH, _INITIALIZER = 7, 5
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST = 1 << 32


@dataclass(frozen=True)
class Tensor:
    """An initializer; ``kind`` is ONNX's number of its dtype, ``data`` its little-endian numbers in row-major order."""

    name: str
    kind: int
    shape: tuple[int, ...]
    data: bytes


def with_initializers(skeleton: bytes, tensors: list[Tensor]) -> bytes:
    """The model file of a ``skeleton``, a model without these initializers: they come last among its own.

    Raises:
        PithError: ``packed_malformed``.
    """
    parts: list[bytes] = []
    graphs = 0
    for number, start, inside, end in _fields(skeleton):
        if number == _GRAPH:
            graphs += 1
            graph = _graph(skeleton[inside:end], tensors)
            parts += [_key(_GRAPH, _BYTES), varint(len(graph)), graph]
        else:
            parts.append(skeleton[start:end])
    if graphs != 1:
        raise malformed(f"it holds {graphs} graphs")
    return b"".join(parts)


def _graph(graph: bytes, tensors: list[Tensor]) -> bytes:
    place = len(graph)
    for number, start, _, _ in _fields(graph):
        if number > _INITIALIZER:
            place = start
            break
    messages = [message(tensor) for tensor in tensors]
    written = [part for one in messages for part in (_key(_INITIALIZER, _BYTES), varint(len(one)), one)]
    return b"".join((graph[:place], *written, graph[place:]))


def message(tensor: Tensor) -> bytes:
    """A TensorProto, its fields in the order of their numbers."""
    name = tensor.name.encode()
    dims = b"".join(b"\x08" + varint(size) for size in tensor.shape)
    head = dims + b"\x10" + varint(tensor.kind) + b"\x42" + varint(len(name)) + name
    return b"".join((head, b"\x4a", varint(len(tensor.data)), tensor.data))


def _key(number: int, kind: int) -> bytes:
    return varint(number << 3 | kind)


def _fields(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """Each field's number, and where it starts, where its content starts and where it ends."""
    reader = Reader(data)
    while reader.left:
        start = reader.at
        key = reader.number(_LONGEST)
        kind = key & 7
        if kind == _VARINT:
            inside = reader.at
            reader.number((1 << 70) - 1)
        elif kind in (_FIXED64, _FIXED32):
            inside = reader.at
            reader.take(8 if kind == _FIXED64 else 4)
        elif kind == _BYTES:
            length = reader.number(_LONGEST)
            inside = reader.at
            reader.take(length)
        else:
            raise malformed("its graph is no protocol buffer")
        yield key >> 3, start, inside, reader.at
