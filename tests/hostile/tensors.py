"""Files of safetensors whose headers lie."""

import json
import struct
from pathlib import Path
from typing import Any

from tests.hostile.case import Canary, Hostile, into
from tests.hostile.weights import MLP

TENSORS: list[Hostile] = []
case = into(TENSORS, "model", architecture=MLP)
WRONG = "weights_unreadable"


def written(path: Path, header: Any, body: bytes = bytes(64), length: int | None = None) -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + body)


def entry(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@case("safetensors: a header of a terabyte", "model.safetensors", WRONG, "model_format_unknown")
def terabyte_header(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([16], 0, 64)}, length=1 << 40)


@case("safetensors: a header of 70 MB", "model.safetensors", "model_too_large", words="header")
def large_header(path: Path, canary: Canary) -> None:
    written(path, b"{" + b" " * 70_000_000 + b"}")


@case("safetensors: overlapping tensors", "model.safetensors", WRONG)
def overlapping(path: Path, canary: Canary) -> None:
    written(path, {"a": entry([16], 0, 64), "b": entry([8], 0, 32)})


@case("safetensors: an unknown type", "model.safetensors", WRONG)
def unknown_dtype(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([16], 0, 64, "OBJECT")})


@case("safetensors: a shape of 2^80 numbers", "model.safetensors", WRONG)
def huge_shape(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([1 << 40, 1 << 40], 0, 64)})


@case("safetensors: a shape whose size wraps around to zero", "model.safetensors", WRONG)
def wrapping_shape(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([1 << 32, 1 << 32], 0, 0)}, b"")


@case("safetensors: bytes behind the last tensor", "model.safetensors", WRONG)
def trailing(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([8], 0, 32)}, bytes(64))


@case("safetensors: offsets backwards", "model.safetensors", WRONG)
def backwards(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([16], 64, 0)})


@case("safetensors: negative offsets", "model.safetensors", WRONG)
def negative(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([16], -64, 0)})


@case("safetensors: JSON nested a hundred thousand deep", "model.safetensors", WRONG)
def nested(path: Path, canary: Canary) -> None:
    written(path, b'{"w":' * 100_000 + b"1" + b"}" * 100_000)


@case("safetensors: one name twice", "model.safetensors", WRONG, "weights_mismatch")
def twice(path: Path, canary: Canary) -> None:
    one = json.dumps(entry([8], 0, 32)).encode()
    written(path, b'{"w":' + one + b',"w":' + one.replace(b"[0, 32]", b"[32, 64]") + b"}")


@case("safetensors: infinity among the weights", "model.safetensors", WRONG, words="not finite")
def infinite(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([16], 0, 64)}, struct.pack("<16f", *[float("inf")] * 16))


@case("safetensors: a name that reads from right to left", "model.safetensors", WRONG, words="name")
def right_to_left(path: Path, canary: Canary) -> None:
    written(path, {"\u202ew": entry([16], 0, 64)})


@case("safetensors: a hundred thousand empty tensors", "model.safetensors", "model_too_large")
def many(path: Path, canary: Canary) -> None:
    written(path, {f"w{index}": entry([0], 0, 0) for index in range(100_001)}, b"")


@case("safetensors: no tensor at all", "model.safetensors", "weights_mismatch", WRONG)
def none(path: Path, canary: Canary) -> None:
    written(path, {}, b"")


@case("safetensors: half a file", "model.safetensors", WRONG)
def half(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([16], 0, 64)}, bytes(30))


@case("safetensors: an escape as a type", "model.safetensors", WRONG)
def escaped_dtype(path: Path, canary: Canary) -> None:
    written(path, {"w": entry([16], 0, 64, "\x1b[31m\x00")})
