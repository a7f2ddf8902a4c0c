"""Files that anybody may have made: the declared error and nothing else, within bounds."""

import hashlib
import math
import tracemalloc
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.encode.packing import pack
from pith.errors import PithError
from pith.packed import mixing
from pith.packed.container import MAGIC, unpack
from pith.packed.contexts import size_class
from pith.packed.dictionary import DICTIONARY
from pith.packed.numbers import Reader, folded, unfolded, varint
from pith.packed.sections import DEFLATE, section
from pith.packed.stream import shares_of
from tests.engine.encode.graphs import SKELETON, sparse_picture_weights, tensors

RANDOM = np.random.default_rng(1)
ARRAYS: list[NDArray[Any]] = [
    sparse_picture_weights()[:8],
    RANDOM.integers(-8, 8, (8, 3, 3, 3)).astype(np.int8),
    RANDOM.standard_normal(40).astype(np.float32),
    RANDOM.integers(-50, 50, 90).astype(np.float32) * np.float32(0.01),
    RANDOM.choice([1, 5, 9], (30, 30), p=[0.5, 0.3, 0.2]).astype(np.int8),
    RANDOM.standard_normal((30, 20)).astype(np.float32),
]
PACKED = pack(SKELETON, tensors(*ARRAYS))


def _refused(data: bytes) -> str:
    with pytest.raises(PithError) as refusal:
        unpack(data)
    assert refusal.value.code == "packed_malformed"
    return refusal.value.problem.detail


def test_every_shorter_file_is_refused() -> None:
    for length in (*range(0, len(PACKED.data) - 4, 97), len(PACKED.data) - 4):
        _refused(PACKED.data[:length])


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(PACKED.data) - 1), st.integers(1, 255))
def test_a_changed_byte_is_refused_or_changes_nothing(place: int, change: int) -> None:
    """Compressed parts end in bits that nobody reads."""
    data = bytearray(PACKED.data)
    data[place] ^= change
    try:
        assert unpack(bytes(data)).model == PACKED.model
    except PithError as error:
        assert error.code == "packed_malformed"


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_behind_the_first_are_refused(rest: bytes) -> None:
    _refused(MAGIC + rest)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=120), st.binary(max_size=40))
def test_any_head_is_refused(entries: bytes, rest: bytes) -> None:
    """Behind a sound skeleton, so that tensors are read."""
    head = varint(len(SKELETON)) + SKELETON + entries
    _refused(MAGIC + varint(5000) + bytes(4) + section(0, len(head), head) + section(0, len(rest), rest) + rest)


def test_a_file_that_claims_too_much_takes_no_memory() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    coded = bomb.compress(bytes(100_000_000)) + bomb.flush()
    tracemalloc.start()
    _refused(MAGIC + varint(1_900_000_000) + bytes(4) + section(0, 0, b""))
    _refused(MAGIC + varint(900_000) + bytes(4) + section(DEFLATE, 100_000_000, coded))
    _refused(MAGIC + varint(900_000) + bytes(4) + section(DEFLATE, 1_000_000, coded))
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_another_version_is_told() -> None:
    assert "version 1" in _refused(b"PITH\x02" + PACKED.data[5:])


@given(st.integers(0, 2**63 - 1))
def test_numbers_come_back(number: int) -> None:
    assert Reader(varint(number)).number(2**63) == number
    for signed in (number, -number - 1):
        assert unfolded(folded(signed)) == signed


@given(st.lists(st.integers(-(1 << 30) + 1, (1 << 30) - 1), min_size=1))
def test_classes_grow_with_the_magnitude(numbers: list[int]) -> None:
    ordered = np.array(sorted(numbers, key=abs), np.int64)
    classes = size_class(ordered)
    assert (np.diff(classes) >= 0).all() and classes.max() < 64
    assert ((classes == 0) == (ordered == 0)).all()


def test_tables_are_far_from_where_rounding_turns() -> None:
    """A machine whose logarithm differs in the last place finds the same tables."""
    exact = [256 * math.log(count + 0.4) for count in range(len(mixing.LOGARITHMS))]
    exact += [mixing.ONE / (1 + math.exp(-at / 256)) for at in range(-2560, 2561) if at]
    exact += [64 * 2 ** (step / 8) for step in range(255) if step % 8]
    assert min(abs(number % 1 - 0.5) for number in exact) > 1e-6


def test_what_the_format_rests_on_is_as_it_was() -> None:
    """Version 1 is these tables and these words: whoever changes them makes a version 2."""
    found = hashlib.sha256(DICTIONARY)
    found.update(mixing.LOGARITHMS.astype("<i8").tobytes())
    found.update(mixing.squash(np.arange(-3000, 3000)).astype("<i8").tobytes())
    found.update(shares_of(bytes(range(256))).astype("<i8").tobytes())
    assert found.hexdigest() == "be9bd1c74002a59039527311a342e6e4c02c61c3c9785af7c346ce09dad8db1c"
