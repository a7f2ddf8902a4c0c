"""Write a clean ``.pt2`` out of what passed in an untrusted one."""

import contextlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from engine.pt2 import archive as layout
from engine.pt2.archive import Archive, open_archive, refuse
from engine.pt2.bounded_json import parse
from engine.pt2.checks import Check, Wrong
from engine.pt2.limits import Limits
from engine.pt2.payload import BOOL, payload_config
from engine.pt2.program import program
from engine.zip_index import ZipFault
from pith.errors import PithError

_TOP = "model/"
# Sample inputs are a pickle, so none are written; torch takes an empty member for none.
_FIXED = {
    layout.SAMPLE_INPUTS: b"",
    layout.FORMAT: b"pt2",
    layout.VERSION: b"0",
    layout.BYTE_ORDER: b"little",
    ".data/version": b"6\n",
}


def clean(source: Path, target: Path, limits: Limits = Limits()) -> None:
    """Write at ``target`` a ``.pt2`` that is safe to load and runs the same program as ``source``.

    It has no sample inputs, guards, stack traces or custom metadata, and lies on the CPU. ``target`` comes into being
    whole or not at all.

    Raises:
        PithError: ``model_not_an_archive``, ``model_truncated``, ``model_pickled``, ``model_unsafe``,
            ``model_too_large``, ``model_unsupported`` or ``model_malformed``.
    """
    try:
        with source.open("rb") as file, _whole(target) as beside:
            _rewrite(open_archive(source, file, limits), beside, limits)
    except ZipFault as fault:
        refuse(fault, source)


@contextlib.contextmanager
def _whole(target: Path) -> Iterator[Path]:
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=".clean-", suffix=".pt2")
    os.close(handle)
    beside = Path(name)
    try:
        yield beside
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)


def _rewrite(archive: Archive, target: Path, limits: Limits) -> None:
    weights = _checked(archive, layout.WEIGHTS_CONFIG, payload_config("weight_", archive.sizes(layout.WEIGHTS)), limits)
    constants = _checked(
        archive, layout.CONSTANTS_CONFIG, payload_config("tensor_", archive.sizes(layout.CONSTANTS)), limits
    )
    model = _checked(archive, layout.PROGRAM, program(limits), limits)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as out:
        _copy_tensors(archive, out, layout.WEIGHTS, weights)
        _copy_tensors(archive, out, layout.CONSTANTS, constants)
        for name, value in ((layout.WEIGHTS_CONFIG, weights), (layout.CONSTANTS_CONFIG, constants)):
            out.writestr(_TOP + name, json.dumps(value, allow_nan=False))
        out.writestr(_TOP + layout.PROGRAM, json.dumps(model, allow_nan=False))
        for name, data in _FIXED.items():
            out.writestr(_TOP + name, data)


def _checked(archive: Archive, name: str, check: Check, limits: Limits) -> Any:
    try:
        return check(parse(archive.read(name, limits.json), limits.depth))
    except Wrong as wrong:
        where = f"{name}, {wrong.where}" if wrong.path else name
        raise PithError("model_malformed", where=where, reason=wrong.reason) from wrong


def _copy_tensors(archive: Archive, out: zipfile.ZipFile, folder: str, config: dict[str, Any]) -> None:
    entries = config["config"].values()
    truths = {entry["path_name"] for entry in entries if entry["tensor_meta"]["dtype"] == BOOL}
    for path in dict.fromkeys(entry["path_name"] for entry in entries):
        name = folder + path
        with out.open(_TOP + name, "w", force_zip64=archive.members[name].size >= 1 << 31) as member:
            for chunk in archive.chunks(name):
                if path in truths and chunk.translate(None, b"\0\1"):
                    raise PithError("model_malformed", where=name, reason="it holds truth values other than 0 and 1")
                member.write(chunk)
