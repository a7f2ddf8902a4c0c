"""How much a job's process has written: the sum of the files in its folder, looked at now and then while it runs.

Not counted: files that it has unlinked and keeps open; each of those is bounded by the limit of one file.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

LOOK_SECONDS = 1.0
_ENTRY_BYTES = 4096  # what a name costs the file system, roughly: empty files fill a disk too
_SHARE = 20


class Footprint:
    """Looks at most every LOOK_SECONDS, and spends no more than a twentieth of the time on it."""

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._next = time.monotonic()

    def too_large(self) -> bool:
        """Whether the files were found to be more than the limit, just now."""
        started = time.monotonic()
        if started < self._next:
            return False
        total = 0
        for size in _sizes(self._folder):
            total += size
            if total > self._limit:
                return True
        ended = time.monotonic()
        self._next = ended + max(LOOK_SECONDS, _SHARE * (ended - started))
        return False


def _sizes(root: Path) -> Iterator[int]:
    """Bytes on the disk of every entry below the folder; links are not followed."""
    waiting = [os.fspath(root)]
    while waiting:
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:  # it may be gone by now
            for entry in entries:
                facts = entry.stat(follow_symlinks=False)
                yield facts.st_blocks * 512 + _ENTRY_BYTES
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
