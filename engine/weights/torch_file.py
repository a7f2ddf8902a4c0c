"""Files of ``torch.save`` (zip, and the older form without zip), mapped into memory and never unpickled.

Not covered: TorchScript, the tar form of torch 0.1, storages that are views of storages, big-endian files.
"""

import math
import mmap
import struct
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import torch

from engine.pt2.pickles import pickled_archive
from engine.weights.limits import WeightLimits
from engine.weights.pickle_data import ForbiddenGlobals, PickleFault, StorageRecord, TensorRecord, read_pickle
from engine.weights.refusals import forbidden, pickled, too_large, unreadable
from engine.zip_index import STORED, Member, ZipFault, read_chunks, read_index

_MAGIC: Final = 0x1950A86A20F9469CFC6C
_PROTOCOL: Final = 1001


class Span(NamedTuple):
    """Where the bytes of a storage lie in the file."""

    start: int
    size: int


class TorchFile(NamedTuple):
    """The saved value with records for tensors, and where the bytes of each storage lie."""

    value: Any
    spans: Mapping[str, Span]


def read_torch_file(path: Path, limits: WeightLimits) -> TorchFile:
    """What ``torch.save`` wrote, as data.

    Raises:
        PithError: ``model_pickled``, ``model_unsafe``, ``model_too_large`` or ``weights_unreadable``.
    """
    with path.open("rb") as file:
        zipped = file.read(4) == b"PK\x03\x04"
        try:
            return _zipped(file, limits) if zipped else _unzipped(file, limits)
        except ZipFault as fault:
            if fault.kind == "too_large":
                too_large(fault.reason, fault.value, fault.limit)
            unreadable(fault.reason)
        except ForbiddenGlobals as fault:
            forbidden(fault.names)
        except PickleFault as fault:
            unreadable(str(fault))


def tensor_of(record: TensorRecord, spans: Mapping[str, Span], mapped: mmap.mmap) -> torch.Tensor:
    """The tensor over the mapped bytes of its storage.

    Raises:
        PithError: it does not lie within them.
    """
    storage, span = record.storage, spans.get(record.storage.key)
    if span is None:
        unreadable(f"the storage {storage.key!r} is missing")
    if storage.numel * storage.dtype.itemsize != span.size:
        unreadable(f"the storage {storage.key!r} says {storage.numel} numbers and has {span.size} bytes")
    count = math.prod(record.shape)
    if not count:
        return torch.empty(record.shape, dtype=storage.dtype)
    reach = record.offset + 1 + sum((size - 1) * step for size, step in zip(record.shape, record.stride, strict=True))
    if reach > storage.numel or count > storage.numel:
        unreadable(
            f"a tensor of shape {list(record.shape)} does not lie in its storage of {storage.numel} numbers; "
            "clone() what was made by expand()"
        )
    return _mapped(storage, span, mapped).as_strided(record.shape, record.stride, record.offset)


def _mapped(storage: StorageRecord, span: Span, mapped: mmap.mmap) -> torch.Tensor:
    if span.start % storage.dtype.itemsize:
        data = bytearray(mapped[span.start : span.start + span.size])
        return torch.frombuffer(data, dtype=storage.dtype)
    return torch.frombuffer(mapped, dtype=storage.dtype, count=storage.numel, offset=span.start)


def _zipped(file: BinaryIO, limits: WeightLimits) -> TorchFile:
    index = read_index(file, limits.members)
    found = pickled_archive(file, index.values())
    if found == "TorchScript":
        pickled(found)
    members = {name.partition("/")[2]: member for name, member in index.items()}
    if "data.pkl" not in members or len(members) != len(index):
        unreadable("it is a zip, and not one that torch.save wrote")
    for name, member in members.items():
        if member.method != STORED:
            unreadable(f"its member {name!r} is compressed")
    if "byteorder" in members and _content(file, members["byteorder"], 16) != b"little":
        unreadable("its numbers are big-endian")
    value = read_pickle(BytesIO(_content(file, members["data.pkl"], limits.pickle)))
    spans = {
        name.removeprefix("data/"): Span(member.start, member.size)
        for name, member in members.items()
        if name.startswith("data/")
    }
    return TorchFile(value, spans)


def _content(file: BinaryIO, member: Member, most: int) -> bytes:
    if member.size > most:
        too_large(f"The size of {member.name}", member.size, most)
    return b"".join(read_chunks(file, member))


def _unzipped(file: BinaryIO, limits: WeightLimits) -> TorchFile:
    """Three pickles of formalities, one of the value, one of the storage keys; then each storage behind its length."""
    file.seek(0)
    head = BytesIO(file.read(limits.pickle))
    if _peek(head) != _MAGIC:
        _no_magic(head)
    if read_pickle(head) != _PROTOCOL:
        unreadable("it is of an unknown version")
    system = read_pickle(head)
    if not isinstance(system, dict) or system.get("little_endian", True) is not True:
        unreadable("its numbers are big-endian")
    value, keys = read_pickle(head), read_pickle(head)
    if not isinstance(keys, list) or len(keys) > limits.members:
        unreadable("its list of storages is none")
    return TorchFile(value, dict(_legacy_spans(file, head.tell(), value, [_key(key) for key in keys])))


def _peek(head: BytesIO) -> Any:
    try:
        return read_pickle(head)
    except PickleFault:
        return None


def _no_magic(head: BytesIO) -> None:
    data = head.getvalue()
    if data[257:262] == b"ustar":
        unreadable("it is a tar; a Hugging Face folder is sent with its config.json inside")
    unreadable(f"it starts with {data[:8]!r}" if data else "it is empty")


def _key(key: Any) -> str:
    return key.decode("ascii", "replace") if isinstance(key, bytes) else str(key)


def _legacy_spans(file: BinaryIO, at: int, value: Any, keys: list[str]) -> list[tuple[str, Span]]:
    types = {record.storage.key: record.storage.dtype for record in records(value)}
    end, spans = file.seek(0, 2), []
    for key in keys:
        file.seek(at)
        length = file.read(8)
        if len(length) < 8:
            unreadable("it ends before its last storage")
        if key not in types:
            unreadable(f"the storage {key!r} belongs to no tensor")
        size = struct.unpack("<q", length)[0] * types[key].itemsize
        if size < 0 or at + 8 + size > end:
            unreadable("it ends before its last storage")
        spans.append((key, Span(at + 8, size)))
        at += 8 + size
    return spans


def records(value: Any) -> list[TensorRecord]:
    """Every tensor in a saved value, each container looked into once."""
    found: list[TensorRecord] = []
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, TensorRecord):
            found.append(one)
        elif isinstance(one, (dict, list, tuple)) and id(one) not in seen:
            seen.add(id(one))
            waiting.extend(one.values() if isinstance(one, dict) else one)
    return found
