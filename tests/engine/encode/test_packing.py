"""Whatever is packed comes out again, bit for bit, and small."""

import functools
import lzma
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import numpy_helper

from engine.encode.packing import Packed, pack
from pith.packed.container import MOST_RATIO, unpack
from pith.packed.tensors import BITS
from pith.packed.wire import Tensor, with_initializers
from tests.engine.encode.graphs import SKELETON, entropy_bytes, parsed, sparse_picture_weights, tensors

RANDOM = np.random.default_rng(0)
PICTURES = sparse_picture_weights()
SPECIAL = np.array([0.0, -0.0, np.nan, np.inf, -np.inf, 1e-45, 3.4e38, 1 / 3], np.float32)


@st.composite
def _tensor(draw: st.DrawFn) -> Tensor:
    """Of any dtype and shape; bytes of few or of many kinds, so that every form is met."""
    kind = draw(st.sampled_from(sorted(BITS)))
    shape = tuple(draw(st.lists(st.integers(0, 9), max_size=4)))
    count = int(np.prod(shape, dtype=np.int64))
    size = -(-count * BITS[kind] // 8)
    random = np.random.default_rng(draw(st.integers(0, 1000)))
    alphabet = random.integers(0, 256, (draw(st.sampled_from([1, 2, 5, 40])), max(1, BITS[kind] // 8)), dtype=np.uint8)
    chosen = alphabet[random.integers(0, len(alphabet), size)]
    data = chosen.ravel()[:size] if draw(st.booleans()) else random.integers(0, 256, size, dtype=np.uint8)
    if BITS[kind] == 4 and count % 2 and size:
        data[-1] &= 15
    return Tensor("", kind, shape, data.tobytes())


@settings(max_examples=60, deadline=None)
@given(st.lists(_tensor(), max_size=5))
def test_any_tensors_come_back(drawn: list[Tensor]) -> None:
    named = [Tensor(str(index), each.kind, each.shape, each.data) for index, each in enumerate(drawn)]
    packed = pack(SKELETON, named)
    found = unpack(packed.data)
    assert found.tensors == tuple(named)
    assert found.model == packed.model == with_initializers(SKELETON, named)


CASES: dict[str, tuple[NDArray[Any], str]] = {
    "sparse codebook": (PICTURES, "context modelling"),
    "dense float32": (RANDOM.standard_normal((40, 30)).astype(np.float32), "lzma"),
    "few numbers": (RANDOM.standard_normal(9).astype(np.float32), "bytes"),
    "numbers without neighbours": (RANDOM.choice([1, 5, 9], (30, 30), p=[0.5, 0.3, 0.2]).astype(np.int8), "order-0"),
    "a repeated filter": (np.tile(RANDOM.integers(-99, 99, (1, 999)), (9, 1)).astype(np.int8), "lzma"),
    "nothing but zeros": (np.zeros((100, 100), np.float32), "context modelling"),
    "special numbers": (RANDOM.choice(SPECIAL, (20, 20)), ""),
    "large integers": (RANDOM.integers(-(2**63), 2**63 - 1, (5, 5)), "bytes"),
    "one wide row": (RANDOM.integers(0, 3, (1, 70_000)).astype(np.uint8), "order-0"),
}


@functools.cache
def packed_case(case: str) -> Packed:
    return pack(SKELETON, tensors(CASES[case][0]))


@pytest.mark.parametrize("case", CASES)
def test_each_coder_wins_where_it_should(case: str) -> None:
    (array, winner), packed = CASES[case], packed_case(case)
    (name,) = packed.won
    assert name.startswith(winner)
    (back,) = parsed(unpack(packed.data).model).graph.initializer
    assert numpy_helper.to_array(back).tobytes() == array.tobytes()


def test_contexts_go_below_the_entropy_and_below_xz() -> None:
    overhead = len(pack(SKELETON, []).data)
    size = len(packed_case("sparse codebook").data) - overhead
    indices = np.unique(PICTURES, return_inverse=True)[1].astype(np.uint8).tobytes()
    assert size < 0.9 * entropy_bytes(PICTURES)
    assert size < 0.9 * len(lzma.compress(indices, preset=9 | lzma.PRESET_EXTREME))


def test_a_graph_costs_little() -> None:
    assert len(pack(SKELETON, []).data) < 100


def test_the_same_comes_out_of_the_same() -> None:
    given = tensors(PICTURES[:16], np.linspace(-1, 1, 64).astype(np.float32))
    assert pack(SKELETON, given).data == pack(SKELETON, given).data


def test_a_step_times_integers_costs_the_integers() -> None:
    integers = RANDOM.integers(-60, 60, 400)
    biases = integers.astype(np.float32) * np.float32(0.0173)
    assert len(pack(SKELETON, tensors(biases)).data) < 100 + entropy_bytes(integers) * 1.15 + 4


def test_vectors_share_a_codebook() -> None:
    values = RANDOM.standard_normal(32).astype(np.float16).astype(np.float32)
    vectors = [RANDOM.choice(values, size) for size in (300, 100, 60)]
    together = len(pack(SKELETON, tensors(*vectors)).data)
    assert together < 100 + sum(entropy_bytes(each) for each in vectors) * 1.1 + 64 + 3 * 12


def test_a_column_that_no_row_feeds_costs_less() -> None:
    """A neuron without weights has none behind it either; the second layer is told by the first."""
    alive = RANDOM.random(200) < 0.4
    first = (alive[:, None] & (RANDOM.random((200, 150)) < 0.15)).astype(np.int8)
    second = (alive[None] & (RANDOM.random((60, 200)) < 0.15)).astype(np.int8)
    both = len(pack(SKELETON, tensors(first, second)).data)
    strange = len(pack(SKELETON, tensors(first[:199], second)).data)
    assert both < strange - 10


def test_a_file_that_would_grow_too_much_is_padded() -> None:
    packed = pack(SKELETON, tensors(np.zeros((800, 800), np.float32)))
    assert len(packed.data.rstrip(b"\0")) * MOST_RATIO + (1 << 20) < len(packed.model)
    assert len(packed.data) * MOST_RATIO + (1 << 20) >= len(packed.model)
    assert unpack(packed.data).model == packed.model
