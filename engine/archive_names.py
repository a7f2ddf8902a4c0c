"""Names inside an uploaded archive: which are plain, which are litter, and which would be one file twice."""

import unicodedata
from typing import Final

_MOST_BYTES, _MOST_PART, _MOST_DEPTH = 1024, 255, 32
_LITTER: Final = frozenset({".DS_Store", "Thumbs.db", "desktop.ini", "__MACOSX", ".git", ".ipynb_checkpoints"})


class NameFault(Exception):
    """A name that is not taken, as a phrase."""


class Names:
    """The names met so far. A name is given back in Unicode's composed form, without ``./`` at its start."""

    def __init__(self) -> None:
        self._files: set[str] = set()
        self._folders: set[str] = set()

    def folder(self, name: str) -> str:
        """The name of a folder; empty for the top.

        Raises:
            NameFault: it leads out of the archive, is not printable, too long, or also the name of a file.
        """
        plain = _plain(name.removesuffix("/"))
        self._add_folders(plain.split("/") if plain else [])
        return plain

    def file(self, name: str) -> str:
        """The name of a file.

        Raises:
            NameFault: as ``folder``, and where there is a file or folder of that name already.
        """
        plain = _plain(name)
        if not plain:
            raise NameFault("a file without a name")
        if plain in self._files:
            raise NameFault(f"two files with the name {plain!r}")
        if plain in self._folders:
            raise NameFault(f"a file and a folder with the name {plain!r}")
        self._add_folders(plain.split("/")[:-1])
        self._files.add(plain)
        return plain

    def _add_folders(self, parts: list[str]) -> None:
        path = ""
        for part in parts:
            path = f"{path}/{part}" if path else part
            if path in self._files:
                raise NameFault(f"a file and a folder with the name {path!r}")
            self._folders.add(path)


def is_litter(name: str) -> bool:
    """Whether a system left this file behind: nobody means to send it."""
    parts = name.split("/")
    return bool(_LITTER & set(parts)) or parts[-1].startswith("._")


def _plain(name: str) -> str:
    parts = unicodedata.normalize("NFC", name).split("/")
    while parts and parts[0] == ".":
        parts = parts[1:]
    wrong = not name.isprintable() or "\\" in name or ":" in name or {"", ".", ".."} & set(parts)
    if name and (wrong or len(name.encode("utf-8", "replace")) > _MOST_BYTES or len(parts) > _MOST_DEPTH):
        raise NameFault(f"a member with the name {name[:80]!r}")
    if any(len(part.encode("utf-8", "replace")) > _MOST_PART for part in parts):
        raise NameFault(f"a member with the name {name[:80]!r}, which is too long")
    return "/".join(parts)
