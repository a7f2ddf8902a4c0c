"""Removing a folder that something untrusted has filled: however deep, whatever its modes, never through a link."""

import secrets
from collections.abc import Iterator
from pathlib import Path


def remove(root: Path) -> None:
    """Remove the folder and all in it, if it is there. Does not recurse: what lies deeper is first moved to the top.

    Raises:
        OSError: something could not be removed; the rest is gone.
    """
    folders = [root] if root.is_dir() and not root.is_symlink() else []
    while folders:
        folder = folders.pop()
        below = list(_emptied(folder, root))
        if folder == root and below:
            folders.append(root)  # once more, when it is empty
        else:
            folder.rmdir()
        folders += below


def _emptied(folder: Path, root: Path) -> Iterator[Path]:
    """Unlink the files in a folder; its folders come back, as they are called directly below the root."""
    folder.chmod(0o700)
    for entry in list(folder.iterdir()):
        if entry.is_symlink() or not entry.is_dir():
            entry.unlink()
        elif folder == root:
            yield entry
        else:
            entry.chmod(0o700)
            yield entry.rename(root / secrets.token_hex(16))
