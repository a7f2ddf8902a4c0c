"""The members of a ``.pt2`` archive: an allow-list, because each other one that torch knows can hold code."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NoReturn

from engine.pt2.limits import Limits
from engine.pt2.pickles import pickled_archive, pickled_file
from engine.pt2.sample_inputs import check_sample_inputs
from engine.zip_index import STORED, Member, ZipFault, fault_start, read_chunks, read_index
from pith.errors import PithError

PROGRAM = "models/model.json"
WEIGHTS, WEIGHTS_CONFIG = "data/weights/", "data/weights/model_weights_config.json"
CONSTANTS, CONSTANTS_CONFIG = "data/constants/", "data/constants/model_constants_config.json"
SAMPLE_INPUTS = "data/sample_inputs/model.pt"
FORMAT, VERSION, BYTE_ORDER = "archive_format", "archive_version", "byteorder"
_REQUIRED = (FORMAT, VERSION, PROGRAM, WEIGHTS_CONFIG, CONSTANTS_CONFIG)
_KNOWN = frozenset(
    {*_REQUIRED, BYTE_ORDER, SAMPLE_INPUTS, "version", ".data/version", ".data/serialization_id"}
    | {".format_version", ".storage_alignment"}
)
_OLD_LAYOUT = "serialized_exported_program.json"
_TENSOR = re.compile(r"data/(?:weights/weight_|constants/tensor_)[0-9]{1,9}")
_OTHER_PROGRAM = re.compile(
    r"models/[^/]+\.json|data/sample_inputs/[^/]+\.pt|data/\w+/\w+_(?:weights|constants)_config\.json"
)


class Archive:
    """An open archive whose members are all known. Members are read by their name without the top folder."""

    def __init__(self, file: BinaryIO, members: dict[str, Member]) -> None:
        self._file = file
        self.members = members

    def read(self, name: str, most: int) -> bytes:
        size = self.members[name].size
        if size > most:
            raise PithError("model_too_large", what=f"The size of {name}", value=size, limit=most)
        return b"".join(self.chunks(name))

    def chunks(self, name: str) -> Iterator[bytes]:
        yield from read_chunks(self._file, self.members[name])

    def sizes(self, folder: str) -> Mapping[str, int]:
        """Bytes of each member of a folder."""
        found = {name.removeprefix(folder): member for name, member in self.members.items() if name.startswith(folder)}
        return {name: member.size for name, member in found.items()}


def open_archive(path: Path, file: BinaryIO, limits: Limits) -> Archive:
    """The archive, once its directory was found sound.

    Raises:
        ZipFault: the zip is damaged or tricky.
        PithError: it is sound and is no ``.pt2``, or holds members that could run code.
    """
    members = read_index(file, limits.members)
    if found := pickled_archive(file, members.values()):
        raise PithError("model_pickled", found=found)
    if _OLD_LAYOUT in members:
        raise PithError(
            "model_unsafe",
            found="the archive layout of PyTorch 2.7, which is made of pickles",
            way_out="save it again with torch.export.save of PyTorch 2.11 or later",
        )
    total = sum(member.size for member in members.values())
    if total > limits.total:
        raise PithError("model_too_large", what="The size of all members", value=total, limit=limits.total)
    inner = _without_top(members)
    for name, member in inner.items():
        _check_member(name, member)
    for name in _REQUIRED:
        if name not in inner:
            raise PithError("model_malformed", where="its members", reason=f"{name} is missing")
    if SAMPLE_INPUTS in inner:
        check_sample_inputs(file, inner[SAMPLE_INPUTS])
    archive = Archive(file, inner)
    _check_format(archive)
    return archive


def refuse(fault: ZipFault, path: Path) -> NoReturn:
    """Turn what is wrong with a zip into an error of the table."""
    match fault.kind:
        case "not_an_archive":
            if found := pickled_file(path):
                raise PithError("model_pickled", found=found) from fault
            raise PithError("model_not_an_archive", start=fault_start(path)) from fault
        case "truncated":
            raise PithError("model_truncated", reason=fault.reason) from fault
        case "too_large":
            raise PithError("model_too_large", what=fault.reason, value=fault.value, limit=fault.limit) from fault
        case "tricky":
            raise PithError(
                "model_unsafe", found=fault.reason, way_out="send the file as torch.export.save wrote it"
            ) from fault


def _without_top(members: dict[str, Member]) -> dict[str, Member]:
    top = next(iter(members), "").partition("/")[0] + "/"
    for name in members:
        if not name.startswith(top):
            raise PithError(
                "model_malformed", where="its members", reason=f"{name!r} lies outside of the folder {top!r}"
            )
    return {name.removeprefix(top): member for name, member in members.items()}


def _check_member(name: str, member: Member) -> None:
    if member.method != STORED:
        raise PithError(
            "model_unsafe",
            found=f"the compressed member {name!r}",
            way_out="send the file as torch.export.save wrote it",
        )
    if name in _KNOWN or _TENSOR.fullmatch(name):
        return
    if _OTHER_PROGRAM.fullmatch(name):
        raise PithError(
            "model_unsupported", found=f"a program besides 'model' ({name!r})", way_out="save one program in one file"
        )
    raise PithError(
        "model_unsafe",
        found=f"the member {name!r}",
        way_out="save the exported program alone, with torch.export.save of PyTorch 2.11 or later",
    )


def _check_format(archive: Archive) -> None:
    for name, wanted in ((FORMAT, b"pt2"), (VERSION, b"0"), (BYTE_ORDER, b"little")):
        if name in archive.members and (found := archive.read(name, 64)) != wanted:
            raise PithError(
                "model_unsupported",
                found=f"{found!r} as its {name.replace('_', ' ')}",
                way_out="save it with torch.export.save of PyTorch 2.11 or later, on a little-endian machine",
            )
