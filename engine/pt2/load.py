"""Load an untrusted ``.pt2``: clean it, then hand the clean file to torch."""

import re
import tempfile
from pathlib import Path

import torch
from torch.export.pt2_archive._package import load_pt2

from engine.pt2.limits import Limits
from engine.pt2.rewrite import clean
from pith.errors import PithError

_ESCAPES = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[^\x20-\x7e]+")


def load(source: Path, scratch: Path, limits: Limits = Limits()) -> torch.export.ExportedProgram:
    """The program in ``source``; the clean copy lives in ``scratch`` only while it is read.

    ``load_pt2`` is what ``torch.export.load`` calls first. Its fallback to the pickles of torch 2.7 is left out.

    Raises:
        PithError: as ``clean``; ``model_malformed`` also for what torch refuses.
        MemoryError, RuntimeError: there is too little memory, which is no fault of the file.
    """
    with tempfile.TemporaryDirectory(dir=scratch, prefix="load-") as folder:
        target = Path(folder) / "model.pt2"
        clean(source, target, limits)
        try:
            program: torch.export.ExportedProgram = load_pt2(str(target)).exported_programs["model"]
            program.module()
        except Exception as error:
            if _is_shortage(error):
                raise
            raise PithError("model_malformed", where="its program", reason=_reason(error)) from error
    return program


def _is_shortage(error: Exception) -> bool:
    return isinstance(error, MemoryError) or "can't allocate memory" in str(error)


def _reason(error: BaseException) -> str:
    """The last line of the innermost cause, without escapes."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = [line for line in _ESCAPES.sub(" ", str(error).replace("\n", "\0")).split("\0") if line.strip()]
    return f"{type(error).__name__}: {(lines or ['no reason'])[0].strip()[:200]}".rstrip(".")
