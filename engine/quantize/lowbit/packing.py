"""Whole numbers of 1 to 8 bits in bytes, without a bit lost but at the end.

A number is cut into fields whose widths divide a byte (3 bits: one of 2 and one of 1), lowest first; equal fields of
different numbers share a byte. So a few shifts and remainders take them out again, in any runtime.
"""

import torch
from torch import Tensor
from torch.nn import functional


def fields(bits: int) -> tuple[int, ...]:
    """Widths that divide a byte and sum to ``bits``, widest first."""
    return tuple(width for width in (8, 4, 2, 1) if bits & width)


def field_bytes(width: int, count: int) -> int:
    """How many bytes a field of ``count`` numbers takes."""
    return -(-count // (8 // width))


def pack(numbers: Tensor, bits: int) -> Tensor:
    """The bytes of a flat uint8 tensor. In each field, byte ``i`` of ``m`` holds the numbers ``i``, ``i + m``, …"""
    parts, low = [], 0
    for width in fields(bits):
        part = (numbers >> low) & ((1 << width) - 1)
        slots, size = 8 // width, field_bytes(width, numbers.numel())
        table = functional.pad(part, (0, slots * size - part.numel())).reshape(slots, size)
        shifted = [table[slot] << (slot * width) for slot in range(slots)]
        parts.append(torch.stack(shifted).sum(0, dtype=torch.uint8))
        low += width
    return torch.cat(parts)


def unpack(packed: Tensor, bits: int, count: int) -> Tensor:
    """What ``pack`` was given; made of few operators, which export."""
    numbers, low, start = None, 0, 0
    for width in fields(bits):
        size = field_bytes(width, count)
        field = _field(packed if bits == width else packed[start : start + size], width)
        field = field[:count] if field.numel() > count else field
        numbers = field if numbers is None else numbers + (field << low)
        low, start = low + width, start + size
    assert numbers is not None
    return numbers


def _field(part: Tensor, width: int) -> Tensor:
    if width == 8:
        return part
    shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=part.device)
    return ((part >> shifts.unsqueeze(1)) & ((1 << width) - 1)).flatten()
