"""Small uploads of every format, built in memory, and the check of one."""

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import soundfile
from PIL import Image

from engine.data.canonical import Canonical, open_canonical
from engine.data.intake import check_dataset
from engine.jobdir import JobDir
from pith.dataset import DatasetSchema
from pith.intake import LearntDataset

COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}
PITCHES = {"high": 1200.0, "low": 300.0}


def check(root: Path, data: bytes, schema: dict[str, Any] | None = None, name: str = "upload") -> LearntDataset:
    """What the check of these bytes leaves; its files are in ``root``."""
    folder = JobDir(root)
    folder.out.mkdir(parents=True)
    folder.upload.write_bytes(data)
    return check_dataset(folder.upload, name, None if schema is None else DatasetSchema.model_validate(schema), folder)


def canonical(root: Path) -> Canonical:
    return open_canonical(JobDir(root).part("dataset.arrow"), JobDir(root).part("dataset.json"))


def staged(root: Path) -> JobDir:
    """The folder of a job that has what the check in ``root`` left as its dataset."""
    folder = JobDir(root / "job")
    folder.scratch.mkdir(parents=True)
    for name in ("dataset.arrow", "dataset.json"):
        folder.input(name).write_bytes(JobDir(root).part(name).read_bytes())
    return folder


def picture(colour: tuple[int, int, int], form: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, form)
    return buffer.getvalue()


def sound(pitch: float, form: str = "WAV", rate: int = 8000, seconds: float = 0.25) -> bytes:
    buffer = io.BytesIO()
    time = np.arange(int(rate * seconds)) / rate
    soundfile.write(buffer, 0.5 * np.sin(2 * np.pi * pitch * time), rate, format=form)
    return buffer.getvalue()


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(files: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def npz(**arrays: Any) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def json_lines(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def arrow_file(table: pa.Table, stream: bool = False) -> bytes:
    buffer = io.BytesIO()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def pictures_in_folders(each: int = 5, above: str = "", form: str = "PNG") -> dict[str, bytes]:
    suffix = {"PNG": "png", "JPEG": "jpg", "WEBP": "webp", "BMP": "bmp", "GIF": "gif"}[form]
    return {
        f"{above}{name}/{index}.{suffix}": picture(colour, form)
        for name, colour in COLOURS.items()
        for index in range(each)
    }
