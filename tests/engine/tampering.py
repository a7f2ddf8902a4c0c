"""Take a good ``.pt2`` apart and put it together wrong."""

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROGRAM = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLE_INPUTS = "data/sample_inputs/model.pt"

Members = dict[str, bytes]


def read_members(data: bytes) -> Members:
    """The members of an archive by their names without the top folder."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: Members, method: int = zipfile.ZIP_STORED, top: str = "top/") -> None:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(top + name, data)


def edited(members: Members, name: str, edit: Callable[[Any], object]) -> Members:
    """The members with one JSON value changed in place by ``edit``."""
    value = json.loads(members[name])
    edit(value)
    return {**members, name: json.dumps(value).encode()}


def renamed(members: Members, name: str, old: str, new: str) -> Members:
    """The members with one JSON text replaced wherever it stands."""
    text = members[name].decode()
    assert json.dumps(old) in text
    return {**members, name: text.replace(json.dumps(old), json.dumps(new)).encode()}
