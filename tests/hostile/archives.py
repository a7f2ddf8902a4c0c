"""Archives that lead out of their folder, unfold without end, or are read in two ways."""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from tests.hostile.case import Canary, Hostile, into

ARCHIVES: list[Hostile] = []
SCHEMA = {"task": "image-classification"}
case = into(ARCHIVES, "dataset", schema=SCHEMA)
UNSAFE, DAMAGED, LARGE = "archive_unsafe", "archive_damaged", "archive_too_large"
UNKNOWN = "dataset_format_unknown"


def picture(color: int = 0) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (color, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def good() -> dict[str, bytes]:
    """Two classes of six pictures."""
    return {f"{name}/{index}.png": picture(index * 20) for name in ("cat", "dog") for index in range(6)}


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> None:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, data in files.items():
            archive.writestr(name, data)


def tarred(path: Path, files: dict[str, bytes], *others: tarfile.TarInfo, **options: str) -> None:
    with tarfile.open(path, "w", **options) as tar:  # type: ignore[call-overload]
        for member in others:
            tar.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def _zip_with(name: str) -> Callable[[Path, Canary], None]:
    return lambda path, canary: zipped(path, {**good(), name: picture()})


def _tar_with(name: str) -> Callable[[Path, Canary], None]:
    return lambda path, canary: tarred(path, {**good(), name: picture()})


for _what, _name in {
    "a way up": "../../evil.png",
    "a way up from inside": "cat/../../../evil.png",
    "an absolute path": "/tmp/evil.png",
    "a backslash": "cat\\..\\evil.png",
    "a drive": "C:/evil.png",
    "an escape in its name": "cat/\x1b[2Jevil.png",
    "a name from right to left": "cat/\u202egnp.live",
    "a newline in its name": "cat/a\nb.png",
    "a very long name": "cat/" + "x" * 300 + ".png",
    "a path of forty folders": "a/" * 40 + "x.png",
}.items():
    case(f"zip: {_what}", "data.zip", UNSAFE)(_zip_with(_name))
    case(f"tar: {_what}", "data.tar", UNSAFE)(_tar_with(_name))


@case("zip: NUL in a name", "data.zip", UNSAFE)
def nul(path: Path, canary: Canary) -> None:
    zipped(path, {**good(), "cat/aXb.png": picture()})
    path.write_bytes(path.read_bytes().replace(b"cat/aXb.png", b"cat/a\0b.png"))


@case("zip: two names that normalize to one", "data.zip", UNSAFE, words="two files")
def normalized(path: Path, canary: Canary) -> None:
    zipped(path, {**good(), "cat/\u00e9.png": picture(), "cat/e\u0301.png": picture(1)})


@case("tar: two names that normalize to one", "data.tar", UNSAFE, words="two files")
def tar_normalized(path: Path, canary: Canary) -> None:
    tarred(path, {**good(), "cat/\u00e9.png": picture(), "cat/e\u0301.png": picture(1)})


@case("zip: one name twice", "data.zip", UNSAFE, words="two")
def twice(path: Path, canary: Canary) -> None:
    zipped(path, good())
    with warnings.catch_warnings(), zipfile.ZipFile(path, "a") as archive:
        warnings.simplefilter("ignore")
        archive.writestr("cat/0.png", picture(99))


@case("tar: one name twice", "data.tar", UNSAFE, words="two")
def tar_twice(path: Path, canary: Canary) -> None:
    tarred(path, {**good(), "./cat/0.png": picture(99)})


@case("zip: a file that is also a folder", "data.zip", UNSAFE)
def file_and_folder(path: Path, canary: Canary) -> None:
    zipped(path, {"cat": b"x", **good()})


@case("zip: a symbolic link", "data.zip", UNSAFE, words="link")
def symlink(path: Path, canary: Canary) -> None:
    zipped(path, good())
    with zipfile.ZipFile(path, "a") as archive:
        link = zipfile.ZipInfo("cat/link.png")
        link.create_system, link.external_attr = 3, 0o120777 << 16
        archive.writestr(link, "/etc/passwd")


def _special(kind: bytes, target: str = "") -> Callable[[Path, Canary], None]:
    def build(path: Path, canary: Canary) -> None:
        member = tarfile.TarInfo("cat/special.png")
        member.type, member.linkname = kind, target
        tarred(path, good(), member)

    return build


for _what, _kind, _target in (
    ("a symbolic link", tarfile.SYMTYPE, "/etc/passwd"),
    ("a hard link", tarfile.LNKTYPE, "../../upload"),
    ("a character device", tarfile.CHRTYPE, ""),
    ("a block device", tarfile.BLKTYPE, ""),
    ("a pipe", tarfile.FIFOTYPE, ""),
):
    case(f"tar: {_what}", "data.tar", UNSAFE)(_special(_kind, _target))


@case("tar: a link to a folder, and a file through it", "data.tar", UNSAFE, words="link")
def through_a_link(path: Path, canary: Canary) -> None:
    link = tarfile.TarInfo("cat")
    link.type, link.linkname = tarfile.SYMTYPE, "/tmp"
    tarred(path, {"cat/evil.png": picture()}, link)


@case("tar: a sparse file of a terabyte", "data.tar", UNSAFE, DAMAGED)
def sparse(path: Path, canary: Canary) -> None:
    member = tarfile.TarInfo("cat/huge.png")
    member.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": str(1 << 40)}
    tarred(path, good(), member)


@case("tar: a header of a gigabyte", "data.tar", UNSAFE, words="header")
def large_header(path: Path, canary: Canary) -> None:
    member = tarfile.TarInfo("././@PaxHeader")
    member.type, member.size = tarfile.XHDTYPE, 1 << 30
    path.write_bytes(member.tobuf() + bytes(4096))


@case("tar: a size below zero", "data.tar", DAMAGED, UNSAFE, LARGE)
def negative_size(path: Path, canary: Canary) -> None:
    member = tarfile.TarInfo("cat/0.png")
    block = bytearray(member.tobuf(tarfile.GNU_FORMAT))
    block[124:136] = b"\xff" * 12
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    path.write_bytes(bytes(block) + bytes(4096))


@case("tar: a wrong checksum", "data.tar", DAMAGED)
def wrong_checksum(path: Path, canary: Canary) -> None:
    tarred(path, good())
    data = bytearray(path.read_bytes())
    data[1] ^= 1
    path.write_bytes(bytes(data))


@case("tar: half a file", "data.tar", DAMAGED)
def half_tar(path: Path, canary: Canary) -> None:
    tarred(path, good())
    path.write_bytes(path.read_bytes()[: 512 + 20])


ZEROS = 100 << 20  # packed once: streams one after another are one stream


def _tar_of(size: int) -> bytes:
    member = tarfile.TarInfo("cat/zeros.png")
    member.size = size
    return member.tobuf()


@case("gz: 400 MB of zeros", "data.tar.gz", LARGE, words="ratio")
def gz_bomb(path: Path, canary: Canary) -> None:
    path.write_bytes(gzip.compress(_tar_of(4 * ZEROS)) + gzip.compress(bytes(ZEROS), 1) * 4)


@case("xz: 400 MB of zeros", "data.tar.xz", LARGE, words="ratio")
def xz_bomb(path: Path, canary: Canary) -> None:
    path.write_bytes(lzma.compress(_tar_of(4 * ZEROS)) + lzma.compress(bytes(ZEROS), preset=0) * 4)


@case("bz2: 400 MB of zeros", "data.tar.bz2", LARGE, words="ratio")
def bz2_bomb(path: Path, canary: Canary) -> None:
    path.write_bytes(bz2.compress(_tar_of(4 * ZEROS)) + bz2.compress(bytes(ZEROS)) * 4)


@case("xz: a dictionary of four gigabytes", "data.tar.xz", DAMAGED, LARGE)
def xz_memory(path: Path, canary: Canary) -> None:
    small = lzma.compress(_tar_of(0), format=lzma.FORMAT_XZ, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 4096}])
    path.write_bytes(_with_dictionary(small, 40))


def _with_dictionary(packed: bytes, code: int) -> bytes:
    """The stream with another dictionary size in its first block header, whose CRC is made anew."""
    size = (packed[12] + 1) * 4
    header = bytearray(packed[12 : 12 + size - 4])
    at = header.index(bytes([0x21, 0x01])) + 2
    header[at] = code
    crc = struct.pack("<I", zlib.crc32(bytes(header)))
    return packed[:12] + bytes(header) + crc + packed[12 + size :]


@case("gz: half a stream", "data.tar.gz", DAMAGED)
def half_gz(path: Path, canary: Canary) -> None:
    tarred(path, good())
    data = gzip.compress(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])


@case("zip: 400 MB of zeros", "data.zip", LARGE, words="ratio")
def zip_bomb(path: Path, canary: Canary) -> None:
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("cat/zeros.png", "w") as member,
    ):
        for _ in range(400):
            member.write(bytes(1 << 20))


@case("zip: zips in zips in zips", "data.zip", UNKNOWN, "dataset_sample_unreadable", UNSAFE)
def nested(path: Path, canary: Canary) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(10 << 20))
    for _ in range(5):
        outer = io.BytesIO()
        with zipfile.ZipFile(outer, "w", zipfile.ZIP_DEFLATED) as archive:
            for index in range(16):
                archive.writestr(f"{index}.zip", inner.getvalue())
        inner = outer
    path.write_bytes(inner.getvalue())


def _raw_zip(
    entries: list[tuple[bytes, int]], body: bytes, size: int, packed: int, crc: int, count: int | None = None
) -> bytes:
    """Directory entries by name and place of the local header, all of the same sizes."""
    directory = b"".join(
        struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, crc, packed, size, len(name), 0, 0, 0, 0, 0, at)
        + name
        for name, at in entries
    )
    number = len(entries) if count is None else count
    return body + directory + struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, number, number, len(directory), len(body), 0)


@case("zip: a thousand members that are the same bytes", "data.zip", UNSAFE, DAMAGED)
def overlapping(path: Path, canary: Canary) -> None:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("cat/0.png", bytes(10 << 20))
        one = archive.infolist()[0]
    body = buffer.getvalue()[: buffer.getvalue().index(b"PK\x01\x02")]
    entries = [(b"cat/%d.png" % index, 0) for index in range(1000)]
    path.write_bytes(_raw_zip(entries, body, one.file_size, one.compress_size, one.CRC))


@case("zip: more members than there are", "data.zip", DAMAGED, LARGE, UNSAFE)
def lying_count(path: Path, canary: Canary) -> None:
    path.write_bytes(_raw_zip([(b"cat/0.png", 0)], b"PK\x03\x04" + bytes(40), 1, 1, 0, count=65_000))


@case("zip: encrypted", "data.zip", UNSAFE, words="encrypted")
def encrypted(path: Path, canary: Canary) -> None:
    zipped(path, good())
    data = bytearray(path.read_bytes())
    for magic, at in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := data.find(magic, start + 1)) >= 0:
            data[start + at] |= 1
    path.write_bytes(bytes(data))


@case("zip: a member that unpacks to more than it says", "data.zip", UNSAFE, DAMAGED)
def understated(path: Path, canary: Canary) -> None:
    zipped(path, {**good(), "cat/zeros.png": bytes(1 << 20)})
    data = path.read_bytes()
    path.write_bytes(data.replace(struct.pack("<L", 1 << 20), struct.pack("<L", 100)))


@case("zip: a wrong checksum", "data.zip", DAMAGED, UNSAFE)
def zip_checksum(path: Path, canary: Canary) -> None:
    zipped(path, good(), zipfile.ZIP_STORED)
    data = path.read_bytes()
    path.write_bytes(data.replace(picture(20), picture(20)[:-9] + b"\1" + picture(20)[-8:]))


@case("zip: half a file", "data.zip", DAMAGED)
def half_zip(path: Path, canary: Canary) -> None:
    zipped(path, good())
    path.write_bytes(path.read_bytes()[:-30])


@case("zip: nothing in it", "data.zip", "dataset_empty", words="the archive has no files")
def empty_zip(path: Path, canary: Canary) -> None:
    zipped(path, {})


@case("tar: nothing in it", "data.tar", DAMAGED, UNKNOWN)
def empty_tar(path: Path, canary: Canary) -> None:
    tarred(path, {})
