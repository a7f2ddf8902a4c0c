"""Processes of this machine, read from /proc: Linux only."""

from collections.abc import Callable
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """All processes below one, the nearest first."""
    found, level = [], [pid]
    while level:
        level = [child for parent in level for child in children(parent)]
        found += level
    return found


def children(pid: int) -> list[int]:
    """Of every thread: a process belongs to the thread that started it."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for tasks in lists for child in _read(tasks.read_text)]


def _read(read: Callable[[], str]) -> list[str]:
    try:
        return read().split()
    except OSError:
        return []


def is_gone(pid: int) -> bool:
    """Ended; one that its parent has not yet waited for counts too."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def environment_of(pid: int) -> list[str]:
    return _read(lambda: Path(f"/proc/{pid}/environ").read_text().replace("\0", " "))


def command_of(pid: int) -> str:
    return " ".join(_read(lambda: Path(f"/proc/{pid}/cmdline").read_text().replace("\0", " ")))
