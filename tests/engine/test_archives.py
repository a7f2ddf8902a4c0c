"""Archives: good ones of every kind unpack to what went in, and each trick is refused with nothing left behind."""

import bz2
import gzip
import io
import lzma
import stat
import struct
import tarfile
import unicodedata
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from engine.archives import ArchiveLimits, archive_kind, entries, extract
from pith.errors import PithError

FILES = {"a.txt": b"first", "deep/er/b.bin": bytes(range(256)) * 40, "empty": b"", "deep/é.txt": b"accent"}
LONG = "x" * 120 + "/" + "y" * 150 + "/file"


def _tar(members: dict[str, bytes], edit: Callable[[tarfile.TarInfo], None] = lambda _: None, form: int = 1) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=form) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            edit(info)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _zip(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


GOOD: dict[str, Callable[[], bytes]] = {
    "zip": lambda: _zip(FILES),
    "zip stored, with folders": lambda: _zip({"deep/": b"", **FILES}, zipfile.ZIP_STORED),
    "tar as GNU writes it": lambda: _tar(FILES, form=tarfile.GNU_FORMAT),
    "tar as POSIX says": lambda: _tar(FILES, form=tarfile.PAX_FORMAT),
    "tar from the top": lambda: _tar({f"./{name}": data for name, data in FILES.items()}),
    "tar.gz": lambda: gzip.compress(_tar(FILES)),
    "tar.gz in two parts": lambda: gzip.compress(_tar(FILES)[:700]) + gzip.compress(_tar(FILES)[700:]),
    "tar.bz2": lambda: bz2.compress(_tar(FILES)),
    "tar.xz": lambda: lzma.compress(_tar(FILES)),
    "with what systems leave behind": lambda: _zip({**FILES, "__MACOSX/._a.txt": b"x", "deep/.DS_Store": b"x"}),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_good_archive_unpacks(name: str, tmp_path: Path) -> None:
    path = tmp_path / "upload"
    path.write_bytes(GOOD[name]())
    names = extract(path, tmp_path / "out")
    assert sorted(names) == sorted(FILES)
    assert {one: (tmp_path / "out" / one).read_bytes() for one in names} == FILES


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_names(form: int, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(_tar({LONG: b"data", "short": b""}, form=form))
    assert extract(tmp_path / "upload", tmp_path / "out") == [LONG, "short"]


def test_entries_may_be_skipped_unread(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(gzip.compress(_tar(FILES)))
    assert [entry.name for entry in entries(tmp_path / "upload")] == list(FILES)


def _typed(kind: bytes) -> Callable[[], bytes]:
    def edit(info: tarfile.TarInfo) -> None:
        info.type, info.linkname = kind, "/etc/passwd"

    return lambda: _tar({"evil": b""}, edit)


def _zip_link() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        info = zipfile.ZipInfo("evil")
        info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    return buffer.getvalue()


def _twice() -> bytes:
    data = _zip({"a": b"one", "b": b"two"}, zipfile.ZIP_STORED)
    return data.replace(b"b", b"a")


def _overlapping() -> bytes:
    """Both entries of the directory lead to the first member."""
    data = bytearray(_zip({"a": b"data", "b": b"data"}, zipfile.ZIP_STORED))
    second = data.rindex(b"PK\x01\x02")
    data[second + 42 : second + 46] = struct.pack("<L", 0)
    return bytes(data)


def _huge_header() -> bytes:
    info = tarfile.TarInfo("pax")
    info.type, info.size = tarfile.XHDTYPE, 1 << 40
    return info.tobuf(tarfile.GNU_FORMAT)


def _sparse() -> bytes:
    def edit(info: tarfile.TarInfo) -> None:
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.name": "x"}

    return _tar({"a": b"data"}, edit, tarfile.PAX_FORMAT)


def _broken_tar() -> bytes:
    data = bytearray(_tar(FILES))
    data[5] ^= 1
    return bytes(data)


COMPOSED, APART = unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é")

BAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "a zip that climbs out": (lambda: _zip({"../evil": b"x"}), "archive_unsafe"),
    "a zip with an absolute name": (lambda: _zip({"/tmp/evil": b"x"}), "archive_unsafe"),
    "a zip with a backslash": (lambda: _zip({"..\\evil": b"x"}), "archive_unsafe"),
    "a zip with a link": (_zip_link, "archive_unsafe"),
    "a zip with one name twice": (_twice, "archive_unsafe"),
    "a zip with members that overlap": (_overlapping, "archive_unsafe"),
    "a zip with one name in two forms": (lambda: _zip({COMPOSED: b"1", APART: b"2"}), "archive_unsafe"),
    "a zip with a file that is a folder": (lambda: _zip({"a": b"1", "a/b": b"2"}), "archive_unsafe"),
    "a zip with a folder that is a file": (lambda: _zip({"a/b": b"1", "a": b"2"}), "archive_unsafe"),
    "a zip with a nameless folder": (lambda: _zip({"a//b": b"1"}), "archive_unsafe"),
    "a tar that climbs out": (lambda: _tar({"a/../../evil": b"x"}), "archive_unsafe"),
    "a tar with an absolute name": (lambda: _tar({"/tmp/evil": b"x"}), "archive_unsafe"),
    "a tar with a link": (_typed(tarfile.SYMTYPE), "archive_unsafe"),
    "a tar with a hard link": (_typed(tarfile.LNKTYPE), "archive_unsafe"),
    "a tar with a device": (_typed(tarfile.CHRTYPE), "archive_unsafe"),
    "a tar with a pipe": (_typed(tarfile.FIFOTYPE), "archive_unsafe"),
    "a tar with a control character": (lambda: _tar({"a\x1b[2J": b"x"}), "archive_unsafe"),
    "a tar with one name twice": (lambda: _tar({"a": b"1", "./a": b"2"}), "archive_unsafe"),
    "a tar with a header of a terabyte": (_huge_header, "archive_unsafe"),
    "a tar with a sparse file": (_sparse, "archive_unsafe"),
    "a tar with a wrong checksum": (_broken_tar, "archive_damaged"),
    "a tar that ends early": (lambda: _tar(FILES)[:2000], "archive_damaged"),
    "a gz that ends early": (lambda: gzip.compress(_tar(FILES))[:-40], "archive_damaged"),
    "an xz that ends early": (lambda: lzma.compress(_tar(FILES))[:-40], "archive_damaged"),
    "a gz with a wrong byte": (lambda: gzip.compress(_tar(FILES), 0)[:99] + b"!" + bytes(999), "archive_damaged"),
    "a zip that ends early": (lambda: _zip(FILES)[:-10], "archive_damaged"),
    "a name that is too deep": (lambda: _zip({"a/" * 40 + "b": b"x"}), "archive_unsafe"),
    "a name that is too long": (lambda: _tar({"n" * 300: b"x"}), "archive_unsafe"),
    "nothing": (lambda: b"", "archive_damaged"),
    "a text": (lambda: b"hello" * 200, "archive_damaged"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_archive_is_refused_and_leaves_nothing(name: str, tmp_path: Path) -> None:
    make, code = BAD[name]
    path, work = tmp_path / "upload", tmp_path / "work"
    path.write_bytes(make())
    work.mkdir()
    with pytest.raises(PithError) as caught:
        extract(path, work / "out")
    assert caught.value.code == code, caught.value
    assert list(work.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == [path, work]
    assert not Path("/tmp/evil").exists()


SMALL = ArchiveLimits(members=3, total=1 << 20, file=1 << 19, ratio=10, ratio_from=1 << 16)
LARGE: dict[str, Callable[[], bytes]] = {
    "too many in a zip": lambda: _zip({str(index): b"" for index in range(4)}),
    "too many in a tar": lambda: _tar({str(index): b"" for index in range(4)}),
    "a large file in a zip": lambda: _zip({"a": bytes((1 << 19) + 1)}, zipfile.ZIP_STORED),
    "a large file in a tar": lambda: _tar({"a": bytes((1 << 19) + 1)}),
    "a bomb in a zip": lambda: _zip({"a": bytes(1 << 18)}),
    "a bomb of several": lambda: _zip({str(index): bytes(1 << 16) for index in range(3)}),
    "a bomb in a tar.gz": lambda: gzip.compress(_tar({"a": bytes(1 << 18)})),
    "a bomb in a tar.xz": lambda: lzma.compress(_tar({"a": bytes(1 << 18)})),
    "a bomb in a tar.bz2": lambda: bz2.compress(_tar({"a": bytes(1 << 18)})),
    "more than the total": lambda: _tar({str(index): bytes(1 << 19) for index in range(3)}),
}


@pytest.mark.parametrize("name", LARGE)
def test_too_much_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(LARGE[name]())
    with pytest.raises(PithError) as caught:
        extract(tmp_path / "upload", tmp_path / "out", SMALL)
    assert caught.value.code == "archive_too_large"
    assert not (tmp_path / "out").exists()


def test_a_zip_that_unpacks_to_more_than_it_says(tmp_path: Path) -> None:
    data = _zip({"a": bytes(5000)})
    (tmp_path / "upload").write_bytes(data.replace(struct.pack("<L", 5000), struct.pack("<L", 50)))
    with pytest.raises(PithError) as caught:
        extract(tmp_path / "upload", tmp_path / "out")
    assert caught.value.code == "archive_unsafe"


def test_kinds(tmp_path: Path) -> None:
    for data, kind in ((_zip(FILES), "zip"), (_tar(FILES), "tar"), (gzip.compress(b""), "tar.gz"), (b"text", None)):
        (tmp_path / "upload").write_bytes(data)
        assert archive_kind(tmp_path / "upload") == kind
