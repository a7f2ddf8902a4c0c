"""What a machine can do to all its processes at once: a wall clock that jumps, and a small disk that is full."""

import os
import shutil
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")


class Clock:
    """Of the processes that have its ``environment``; without a C compiler it cannot jump."""

    def __init__(self, folder: Path) -> None:
        self._offset = folder / "clock"
        self._offset.write_bytes(bytes(8))
        self._library = folder / "clock.so"
        compiler = shutil.which("cc")
        if compiler is not None:
            command = [compiler, "-shared", "-fPIC", "-O2", "-o", self._library, SOURCE, "-ldl"]
            subprocess.run(command, check=True)

    @property
    def can_jump(self) -> bool:
        return self._library.exists()

    @property
    def environment(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self._library), "CHAOS_CLOCK": str(self._offset)} if self.can_jump else {}

    def jump_to(self, seconds: float) -> None:
        """So far from the true time, at once and for all."""
        with self._offset.open("r+b") as file:
            file.write(int(seconds * 1e9).to_bytes(8, "little", signed=True))


class SmallDisk:
    """A file system of its own in that folder, where this process may mount one; else a folder that is never full."""

    def __init__(self, folder: Path, size: str = "32m") -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        mount = shutil.which("mount")
        self.can_fill = (
            mount is not None
            and os.geteuid() == 0
            and subprocess.run(
                [mount, "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], stderr=subprocess.DEVNULL
            ).returncode
            == 0
        )

    def fill(self) -> None:
        """To the last byte, until ``empty``."""
        with (self.folder / "filler").open("wb", buffering=0) as file:
            try:
                while file.write(bytes(4096)) == 4096:
                    pass
            except OSError:
                return

    def empty(self) -> None:
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        if self.can_fill:
            subprocess.run(["umount", "--lazy", self.folder], check=True)
