"""Stretches of plain bytes, kept as they are or compressed by what Python itself brings: deflate and LZMA.

A section is its length, the number of its coder, the length of what follows, and that.
"""

import lzma
import zlib
from typing import Any

from pith.packed.dictionary import DICTIONARY
from pith.packed.numbers import Reader, malformed, varint

STORED, DEFLATE = 0, 1
LZMA_CODERS: dict[int, tuple[int, int, int]] = {2: (3, 0, 0), 3: (0, 0, 0), 4: (4, 0, 0), 5: (0, 2, 2)}
"""Literal context, literal position and position bits, by the number of the coder."""
_SMALLEST_WINDOW, _LARGEST_WINDOW = 1 << 12, 1 << 26


def filters(coder: int, size: int) -> list[dict[str, Any]]:
    """LZMA's settings; the window follows from the ``size`` of what is packed."""
    window = min(max(size, _SMALLEST_WINDOW), _LARGEST_WINDOW)
    lc, lp, pb = LZMA_CODERS[coder]
    extreme = 9 | lzma.PRESET_EXTREME
    return [{"id": lzma.FILTER_LZMA1, "preset": extreme, "dict_size": window, "lc": lc, "lp": lp, "pb": pb}]


def section(coder: int, size: int, coded: bytes) -> bytes:
    return varint(size) + bytes((coder,)) + varint(len(coded)) + coded


def read_section(reader: Reader, limit: int) -> bytes:
    """The next section's bytes, no more than ``limit``.

    Raises:
        PithError: ``packed_malformed``.
    """
    size, coder = reader.number(limit), reader.byte()
    found = expand(coder, reader.take(reader.number(reader.left)), size)
    if len(found) != size:
        raise malformed(f"a part has {len(found)} bytes and should have {size}")
    return found


def expand(coder: int, coded: bytes, size: int) -> bytes:
    """No more than ``size`` bytes.

    Raises:
        PithError: ``packed_malformed``.
    """
    try:
        if coder == STORED:
            return coded
        if not size:
            return b""
        if coder == DEFLATE:
            return zlib.decompressobj(-zlib.MAX_WBITS, DICTIONARY).decompress(coded, size)
        if coder in LZMA_CODERS:
            return lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=filters(coder, size)).decompress(coded, size)
    except (zlib.error, lzma.LZMAError, EOFError) as error:
        raise malformed("a compressed part is damaged") from error
    raise malformed(f"{coder} is no coder")
