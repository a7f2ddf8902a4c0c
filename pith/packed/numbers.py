"""Reading numbers and stretches out of bytes that anybody may have written: every length is checked before it is used.

Not covered: what the bytes mean.
"""

from pith.errors import PithError


def malformed(reason: str) -> PithError:
    return PithError("packed_malformed", reason=reason)


def varint(number: int) -> bytes:
    """A number from 0 on, seven bits a byte, the lowest first, as protocol buffers write it."""
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes((*found, number))


def folded(number: int) -> int:
    """0, -1, 1, -2, … as 0, 1, 2, 3, …"""
    return number * 2 if number >= 0 else -number * 2 - 1


def unfolded(number: int) -> int:
    return -(number + 1) // 2 if number & 1 else number // 2


class Reader:
    """A place in some bytes.

    Raises:
        PithError: ``packed_malformed`` where the bytes end too early or a number is too large.
    """

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data, self.at = data, at

    @property
    def left(self) -> int:
        return len(self.data) - self.at

    def byte(self) -> int:
        return self.take(1)[0]

    def take(self, count: int) -> bytes:
        if count > self.left:
            raise malformed(f"{count} bytes are wanted where {self.left} are left")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, limit: int) -> int:
        """A varint of no more than ``limit``."""
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise malformed("a number has no end")
        if value > limit:
            raise malformed(f"a number is {value}, and {limit} is the most that it can be")
        return value
