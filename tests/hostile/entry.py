"""What the fork server of these tests runs: many checks one after another in one process, each in its own folder."""

import signal
from pathlib import Path

from engine.main import main

ENTRY = f"{__name__}:check_all"
CODE = "code"
SECONDS = 100


def check_all(root: Path, sandbox: tuple[str, ...] = ()) -> int:
    """Check every folder below; how each ended is written beside it. One that dies takes those behind it along."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    for folder in sorted(path for path in root.iterdir() if (path / "intake.json").exists()):
        signal.alarm(SECONDS)
        (folder / CODE).write_text(str(main(folder, sandbox)))
    return 0
