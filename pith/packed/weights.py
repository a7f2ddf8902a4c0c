"""The tensors of a packed file as safetensors. Four-bit integers, which that format does not have, become bytes."""

import json
from collections.abc import Iterable

from pith.packed.tensors import INT4, UINT4, integers_of
from pith.packed.wire import Tensor

_NAMES = {1: "F32", 2: "U8", 3: "I8", 4: "U16", 5: "I16", 6: "I32", 7: "I64", 9: "BOOL", 10: "F16", 11: "F64"}
_NAMES |= {12: "U32", 13: "U64", 16: "BF16", 17: "F8_E4M3", 19: "F8_E5M2"}
_ALIGNMENT = 8


def as_safetensors(tensors: Iterable[Tensor]) -> bytes:
    """A safetensors file: the length of a JSON header, the header, and the numbers behind one another."""
    header: dict[str, object] = {}
    parts: list[bytes] = []
    at = 0
    for tensor in tensors:
        kind, data = _plain(tensor)
        header[tensor.name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join((len(text).to_bytes(8, "little"), text, *parts))


def _plain(tensor: Tensor) -> tuple[str, bytes]:
    if tensor.kind not in (UINT4, INT4):
        return _NAMES[tensor.kind], tensor.data
    count = 1
    for size in tensor.shape:
        count *= size
    dtype, name = ("i1", "I8") if tensor.kind == INT4 else ("u1", "U8")
    return name, integers_of(tensor.data, tensor.kind, count).astype(dtype).tobytes()
