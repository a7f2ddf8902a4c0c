"""Files on their way up and down: read with progress, written aside and checked. Opens no connection."""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pith.errors import PithError

Progress = Callable[[int, int], None]
"""Called with the bytes moved so far and the bytes in all."""

PIECE = 1 << 20


class Outgoing:
    """A file being sent. ``digest`` is that of the bytes that were read."""

    def __init__(self, path: Path, progress: Progress | None = None) -> None:
        with _told(path):
            self._file = path.open("rb")
            self.size = os.fstat(self._file.fileno()).st_size
        self._path = path
        self._progress = progress
        self._hash = hashlib.sha256()
        self._straight = True

    @property
    def digest(self) -> str:
        return f"sha256:{self._hash.hexdigest()}"

    def close(self) -> None:
        self._file.close()

    def whole_digest(self) -> str:
        """The digest of all bytes of the file, read again unless they were read once, from beginning to end."""
        if self._straight:
            return self.digest
        with _told(self._path):
            self._file.seek(0)
            return f"sha256:{hashlib.file_digest(self._file, 'sha256').hexdigest()}"

    def pieces(self, start: int = 0) -> Iterator[bytes]:
        """From an offset on; a second time, too."""
        sent = start
        self._straight, self._hash = start == 0, hashlib.sha256()
        with _told(self._path):
            self._file.seek(start)
            while piece := self._file.read(min(PIECE, self.size - sent)):
                self._hash.update(piece)
                sent += len(piece)
                yield piece
                if self._progress:
                    self._progress(sent, self.size)
        if sent != self.size:
            raise PithError(
                "file_unreadable", path=str(self._path), reason=f"it shrank from {self.size} to {sent} bytes"
            )


def receive(
    pieces: Iterable[bytes], to: Path, *, name: str, digest: str, total: int, progress: Progress | None
) -> Path:
    """Write ``pieces`` beside ``to``, check them against ``digest``, and only then move them there.

    Raises:
        PithError: ``download_damaged`` or ``file_unreadable``.
    """
    seen, count = hashlib.sha256(), 0
    with _aside(to) as aside:
        with aside.open("xb") as out:
            for piece in pieces:
                out.write(piece)
                seen.update(piece)
                count += len(piece)
                if progress:
                    progress(count, total)
        if (actual := f"sha256:{seen.hexdigest()}") != digest:
            raise PithError("download_damaged", name=name, actual=actual, expected=digest)
        aside.replace(to)
    return to


def target(to: Path, name: str) -> Path:
    """Where a download called ``name`` goes: into ``to`` if it is a folder, else to ``to`` itself.

    Raises:
        PithError: ``file_unreadable`` for a name that would leave the folder.
    """
    if not to.is_dir():
        return to
    if name in {"", ".", ".."} or Path(name).name != name:
        raise PithError("file_unreadable", path=name, reason="it is no name for a file")
    return to / name


@contextmanager
def _aside(to: Path) -> Iterator[Path]:
    aside = to.with_name(f".{to.name}.{secrets.token_hex(4)}.part")
    try:
        with _told(to):
            yield aside
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def _told(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as fault:
        raise PithError("file_unreadable", path=str(path), reason=fault.strerror or str(fault)) from fault
