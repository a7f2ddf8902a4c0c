"""The packed file.

    5 bytes     PITH and the version, 1
    number      bytes of the ONNX file
    4 bytes     its CRC-32, the lowest byte first
    section     the head: the length of the skeleton, the skeleton, the number of tensors, an entry for each
    section     the bulk: small tensors, codebooks, steps and tables, in the order of the tensors
    sections    one for each tensor that has its own
    the rest    the stream: what range coding made of all the others, without the zeros at its end

The skeleton is the ONNX file without the initializers that are kept as tensors; those are called 0, 1, 2, … there.
A number is a varint of a protocol buffer. Nothing is believed: lengths are bounded by what is there, the whole by
``LIMIT`` and by ``MOST_RATIO`` times the packed bytes.
"""

import zlib
from dataclasses import dataclass

from pith.packed.numbers import Reader, malformed
from pith.packed.sections import read_section
from pith.packed.stream import StreamReader
from pith.packed.tensors import MOST_TENSORS, Coding, Entry, TensorReader, read_entry
from pith.packed.wire import Tensor, with_initializers

MAGIC = b"PITH\x01"
LIMIT = 2_000_000_000
MOST_RATIO, FREE_BYTES = 4096, 1 << 20


@dataclass(frozen=True)
class Unpacked:
    """The ONNX file, bit for bit, and the tensors of it that are kept apart from the graph."""

    model: bytes
    tensors: tuple[Tensor, ...]


def unpack(data: bytes) -> Unpacked:
    """What is in a packed file.

    Raises:
        PithError: ``packed_malformed``.
    """
    if data[: len(MAGIC)] != MAGIC:
        raise malformed("it does not start as one of version 1 does")
    reader = Reader(data, len(MAGIC))
    size = reader.number(min(LIMIT, FREE_BYTES + MOST_RATIO * len(data)))
    checksum = reader.take(4)
    skeleton, entries = _head(read_section(reader, size + FREE_BYTES), size)
    bulk = read_section(reader, size + FREE_BYTES)
    owned = [read_section(reader, 4 * entry.count + entry.size) for entry in entries if entry.coding is Coding.OWN]
    given = TensorReader(bulk, owned, StreamReader(reader.take(reader.left)))
    tensors = [given.read(entry, str(index)) for index, entry in enumerate(entries)]
    model = with_initializers(skeleton, tensors)
    if len(model) != size or zlib.crc32(model).to_bytes(4, "little") != checksum:
        raise malformed("what comes out is not what was packed")
    return Unpacked(model, tuple(tensors))


def _head(data: bytes, size: int) -> tuple[bytes, list[Entry]]:
    reader = Reader(data)
    skeleton = reader.take(reader.number(size))
    entries: list[Entry] = []
    room = size - len(skeleton)
    for _ in range(reader.number(MOST_TENSORS)):
        entries.append(read_entry(reader, room))
        room -= entries[-1].size
    return skeleton, entries
