"""Pictures, sounds and shards that are something else, or unfold to more than they hold."""

import io
import json
import pickle
import struct
import wave
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.hostile.archives import good, picture, tarred, zipped
from tests.hostile.case import Canary, Hostile, Payload, into

MEDIA: list[Hostile] = []
picture_case = into(MEDIA, "dataset", schema={"task": "image-classification"})
sound_case = into(MEDIA, "dataset", schema={"task": "audio-classification"})
shard_case = into(MEDIA, "dataset", schema={"task": "image-classification"})
SAMPLE, LARGE, FORMAT = "dataset_sample_unreadable", "dataset_too_large", "dataset_format_unknown"
READ = (SAMPLE, "dataset_unreadable")


def with_picture(path: Path, data: bytes) -> None:
    zipped(path, {**good(), "dog/bad.png": data})


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, data: bytes, *extra: bytes) -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(extra) + _chunk(b"IDAT", zlib.compress(data)) + _chunk(b"IEND", b"")


def jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(buffer, "JPEG")
    return buffer.getvalue()


@picture_case("png: 50,000 by 50,000 in a few kilobytes", "data.zip", *READ, LARGE)
def png_bomb(path: Path, canary: Canary) -> None:
    with_picture(path, png(50_000, 50_000, bytes(8 << 20)))


@picture_case("png: two thousand million pixels wide", "data.zip", *READ, LARGE)
def png_wide(path: Path, canary: Canary) -> None:
    with_picture(path, png(2**31 - 1, 2**31 - 1, b""))


@picture_case("png: a text that unfolds", "data.zip", *READ, LARGE)
def png_text(path: Path, canary: Canary) -> None:
    texts = [_chunk(b"zTXt", b"Comment%d\0\0" % index + zlib.compress(bytes(64 << 20))) for index in range(3)]
    with_picture(path, png(8, 8, bytes(200), *texts))


@picture_case("png: half a picture", "data.zip", *READ)
def half_png(path: Path, canary: Canary) -> None:
    with_picture(path, picture()[:40])


@picture_case("jpeg: half a picture", "data.zip", *READ)
def half_jpeg(path: Path, canary: Canary) -> None:
    with_picture(path, jpeg()[: len(jpeg()) // 2])


@picture_case("jpeg: sizes that lie", "data.zip", *READ, LARGE)
def lying_jpeg(path: Path, canary: Canary) -> None:
    data = jpeg()
    at = data.index(b"\xff\xc0") + 5
    with_picture(path, data[:at] + b"\xff\xff\xff\xff" + data[at + 4 :])


IMPOSTORS = {
    "an SVG with a script": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "a PostScript program": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n(/tmp/x) (w) file closefile\n",
    "a PDF": b"%PDF-1.7\n1 0 obj<<>>endobj\n",
    "HTML": b"<!doctype html><title>Not found</title>",
    "an ELF program": b"\x7fELF\x02\x01\x01" + bytes(57),
    "nothing": b"",
    "NUL bytes": bytes(512),
    "a Windows metafile": b"\xd7\xcd\xc6\x9a" + bytes(40),
    "a FITS file": b"SIMPLE  =                    T" + b" " * 2850,
    "ImageMagick's script": b"push graphic-context\nfill 'url(https://example.org/x.png\"|touch /tmp/x\")'\n",
}


def _posing(data: bytes) -> Callable[[Path, Canary], None]:
    return lambda path, canary: with_picture(path, data)


for _what, _data in IMPOSTORS.items():
    picture_case(f"picture: {_what} called .png", "data.zip", *READ)(_posing(_data))


@picture_case("picture: a TIFF called .png", "data.zip", *READ)
def tiff(path: Path, canary: Canary) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "TIFF")
    with_picture(path, buffer.getvalue())


@picture_case("picture: a pickle called .png", "data.zip", "dataset_pickled")
def pickled_picture(path: Path, canary: Canary) -> None:
    with_picture(path, pickle.dumps(Payload(canary)))


@picture_case("folders: a pickle in each class", "data.zip", FORMAT, "dataset_pickled", "dataset_unreadable")
def pickles(path: Path, canary: Canary) -> None:
    data = pickle.dumps(Payload(canary))
    zipped(path, {"cat/0.pkl": data, "dog/0.pickle": data})


def wav(channels: int = 1, rate: int = 8000, samples: bytes = bytes(1600)) -> bytes:
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples)
    return buffer.getvalue()


def sounds() -> dict[str, bytes]:
    return {f"{name}/{index}.wav": wav() for name in ("yes", "no") for index in range(4)}


def with_sound(path: Path, data: bytes, name: str = "yes/bad.wav") -> None:
    tarred(path, {**sounds(), name: data})


def _patched(data: bytes, at: int, value: bytes) -> bytes:
    return data[:at] + value + data[at + len(value) :]


FULL = b"\xff\xff\xff\xff"
BAD_SOUNDS = {
    "zero channels": _patched(wav(), 22, b"\0\0"),
    "65,535 channels": _patched(wav(), 22, b"\xff\xff"),
    "no sample rate": _patched(wav(), 24, bytes(4)),
    "four thousand million samples a second": _patched(wav(), 24, FULL),
    "an unknown codec": _patched(wav(), 20, b"\x99\x99"),
    "no data": wav()[:36],
    "half a header": wav()[:20],
    "nothing": b"",
    "HTML": b"<!doctype html>",
}


def _sounding(data: bytes) -> Callable[[Path, Canary], None]:
    return lambda path, canary: with_sound(path, data)


for _what, _data in BAD_SOUNDS.items():
    sound_case(f"wav: {_what}", "data.tar", *READ)(_sounding(_data))


@sound_case("flac: 64 thousand million samples", "data.tar", *READ, LARGE)
def long_flac(path: Path, canary: Canary) -> None:
    info = struct.pack(">HH", 4096, 4096) + bytes(6) + bytes.fromhex("0ac442ffffffffff") + bytes(16)
    with_sound(path, b"fLaC\x80" + len(info).to_bytes(3, "big") + info + bytes(64), "yes/bad.flac")


@sound_case("sound: a pickle called .wav", "data.tar", "dataset_pickled")
def pickled_sound(path: Path, canary: Canary) -> None:
    with_sound(path, pickle.dumps(Payload(canary)))


def shard(**more: bytes) -> dict[str, bytes]:
    files = {}
    for index in range(6):
        files[f"{index:04}.png"] = picture(index * 20)
        files[f"{index:04}.cls"] = b"%d" % (index % 2)
    return {**files, **{f"0006.{extension.replace('_', '.')}": data for extension, data in more.items()}}


@shard_case("webdataset: a .pyd member", "shard-000000.tar", "dataset_pickled", unsafe=None)
def pyd(path: Path, canary: Canary) -> None:
    tarred(path, shard(pyd=pickle.dumps(Payload(canary)), cls=b"1"))


@shard_case("webdataset: a .pickle member", "shard-000000.tar", "dataset_pickled")
def pickle_member(path: Path, canary: Canary) -> None:
    tarred(path, shard(pickle=pickle.dumps(Payload(canary)), cls=b"1"))


@shard_case("webdataset: a .pth member", "shard-000000.tar", "dataset_pickled")
def pth_member(path: Path, canary: Canary) -> None:
    tarred(path, shard(pth=pickle.dumps(Payload(canary)), cls=b"1"))


@shard_case("webdataset: JSON nested a hundred thousand deep", "shard-000000.tar", *READ, FORMAT)
def nested_json(path: Path, canary: Canary) -> None:
    tarred(path, shard(png=picture(), json=b"[" * 100_000 + b"]" * 100_000, cls=b"1"))


@shard_case("webdataset: a file of objects", "shard-000000.tar", "dataset_pickled", "dataset_unsafe", *READ, FORMAT)
def npy_member(path: Path, canary: Canary) -> None:
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    header += b" " * (118 - len(header) - 1) + b"\n"
    data = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + pickle.dumps([Payload(canary)])
    tarred(path, {f"000{index}.{kind}": value for index in range(4) for kind, value in (("npy", data), ("cls", b"1"))})


@shard_case(
    "a Hugging Face data set with a script",
    "data.zip",
    "dataset_unsafe",
    "dataset_format_unknown",
    "archive_unsafe",
    "dataset_unreadable",
)
def loading_script(path: Path, canary: Canary) -> None:
    zipped(path, {"evil.py": canary.source.encode(), "dataset_infos.json": json.dumps({"default": {}}).encode()})
