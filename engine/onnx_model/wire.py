"""The protocol buffer's own bytes, walked before any library parses them: counts, nesting and extents are bounded.

Parsing makes objects a hundred times larger than the two bytes that an empty message takes.
"""

from collections import Counter
from functools import cache
from mmap import mmap
from typing import NamedTuple

import onnx
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from engine.onnx_model.limits import OnnxLimits
from engine.onnx_model.refusals import malformed, too_large
from pith.errors import PithError

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_PACKED_TYPES = frozenset(
    {FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
    | {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_ENUM, FieldDescriptor.CPPTYPE_BOOL}
)


class _Shape(NamedTuple):
    """Fields of one kind of message: those that are messages again, those that are packed integers, and texts."""

    name: str
    messages: dict[int, Descriptor]
    packed: frozenset[int]
    texts: frozenset[int]


def scan(data: mmap, limits: OnnxLimits) -> None:
    """Refuse what is no sound protocol buffer, or one that would grow out of bounds.

    Raises:
        PithError: ``model_truncated``, ``model_malformed`` or ``model_too_large``.
    """
    _Scan(data, limits).run()


class _Scan:
    """One walk. ``open`` holds the messages that are not yet at their end."""

    def __init__(self, data: mmap, limits: OnnxLimits) -> None:
        self.data, self.limits = data, limits
        self.fields = self.packed = 0
        self.seen: Counter[str] = Counter()

    def run(self) -> None:
        at, open_ = 0, [(len(self.data), _shape(onnx.ModelProto.DESCRIPTOR))]
        while open_:
            end, shape = open_[-1]
            if at == end:
                open_.pop()
                continue
            at, inner = self._field(at, end, shape)
            if inner is not None:
                open_.append(inner)
                if len(open_) > self.limits.depth:
                    too_large("The nesting of its messages", len(open_), self.limits.depth)

    def _field(self, at: int, end: int, shape: _Shape) -> tuple[int, tuple[int, _Shape] | None]:
        """Where the walk goes on, and the message that starts there if one does."""
        self.fields += 1
        if self.fields > self.limits.fields:
            too_large("The number of its fields", self.fields, self.limits.fields)
        key, at = self._varint(at, end)
        number, kind = key >> 3, key & 7
        if not number or kind not in (_VARINT, _BYTES, *_FIXED):
            malformed(shape.name, f"byte {at} starts no field; it may be damaged, or no ONNX file")
        if kind == _VARINT:
            return self._varint(at, end)[1], None
        length, at = (_FIXED[kind], at) if kind in _FIXED else self._varint(at, end)
        if length > end - at:
            raise PithError("model_truncated", reason=f"a field wants {length} bytes where {end - at} are left")
        if kind == _BYTES and number in shape.messages:
            inner = _shape(shape.messages[number])
            self._count(inner.name)
            return at, (at + length, inner)
        if kind == _BYTES and number in shape.packed:
            self.packed += length
            if self.packed > self.limits.packed:
                too_large("The size of its packed integers", self.packed, self.limits.packed)
        if kind == _BYTES and number in shape.texts:
            self._text(at, at + length, shape)
        return at + length, None

    def _text(self, start: int, end: int, shape: _Shape) -> None:
        try:
            self.data[start:end].decode("utf-8")
        except UnicodeDecodeError:
            malformed(shape.name, f"the text at byte {start} is no UTF-8")

    def _count(self, name: str) -> None:
        self.seen[name] += 1
        limit = {"NodeProto": self.limits.nodes, "TensorProto": self.limits.tensors}.get(name)
        if limit is not None and self.seen[name] > limit:
            what = "operators" if name == "NodeProto" else "tensors"
            too_large(f"The number of {what}", self.seen[name], limit)

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        value = shift = 0
        while at < end and shift < 70:
            byte = self.data[at]
            value |= (byte & 0x7F) << shift
            at += 1
            if byte < 0x80:
                return value, at
            shift += 7
        raise PithError("model_truncated", reason="a number has no end")


@cache
def _shape(descriptor: Descriptor) -> _Shape:
    messages = {field.number: field.message_type for field in descriptor.fields if field.message_type is not None}
    packed = {field.number for field in descriptor.fields if field.cpp_type in _PACKED_TYPES}
    texts = {field.number for field in descriptor.fields if field.type == FieldDescriptor.TYPE_STRING}
    return _Shape(descriptor.name, messages, frozenset(packed), frozenset(texts))
