"""Files are tried in forked children, many in one: a crash or a hang ends a child, and the next goes on behind it."""

import json
import os
import random
import resource
import shutil
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from engine.intake.run import intake
from engine.jobdir import IntakeJob, JobDir
from engine.main import as_error
from pith.errors import PithError
from tests.fuzz.mutate import mutate
from tests.fuzz.seeds import SEEDS, Seed, seed

BATCH = 40
SECONDS = 120
MEMORY = 4 << 30
_DIGEST = "sha256:" + "0" * 64
_DEFECTS = frozenset({"engine_fault", "internal"})


class Outcome(NamedTuple):
    """What became of one file: ``code`` is ``accepted`` or an error's; ``defect`` says what must never happen."""

    number: int
    kind: str
    code: str
    defect: str = ""


def changed(kinds: list[str], number: int, index: int) -> tuple[str, Seed]:
    """The file of that index in the run of that seed."""
    dice = random.Random(f"{number}:{index}")
    name = dice.choice(kinds)
    good = seed(name)
    others = seed(dice.choice(list(SEEDS))).data
    return name, good._replace(data=mutate(name, good.data, others, dice))


def outcomes(kinds: list[str], number: int, count: int, scratch: Path) -> Iterator[Outcome]:
    """Every file's outcome, in order."""
    for name in SEEDS:
        seed(name)
    at = 0
    while at < count:
        found = _tried(kinds, number, range(at, min(at + BATCH, count)), scratch)
        yield from found
        at += len(found)


def _tried(kinds: list[str], number: int, indices: range, scratch: Path) -> list[Outcome]:
    """A child's outcomes; when it died, the last one says of what."""
    said = scratch / "said"
    said.write_text("")
    child = os.fork()
    if not child:
        _work(kinds, number, indices, scratch, said)
    status = os.waitpid(child, 0)[1]
    found = [Outcome(*json.loads(line)) for line in said.read_text().splitlines()]
    if len(found) < len(indices):
        index = indices[len(found)]
        found.append(Outcome(index, changed(kinds, number, index)[0], "died", _death(status)))
    return found


def _death(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code == -signal.SIGALRM:
        return f"it took longer than {SECONDS} seconds"
    return (
        f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}: code out of the file may have run"
    )


def _work(kinds: list[str], number: int, indices: range, scratch: Path, said: Path) -> NoReturn:
    code = 1
    try:
        _bound()
        with said.open("a") as file:
            for index in indices:
                signal.alarm(SECONDS)
                name, one = changed(kinds, number, index)
                print(json.dumps(Outcome(index, name, *_checked(one, scratch / "job"))), file=file, flush=True)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


def _bound() -> None:
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    if not sys.flags.verbose:
        os.dup2(quiet, 2)


def _checked(one: Seed, root: Path) -> tuple[str, str]:
    """The code and the defect of one file's check."""
    shutil.rmtree(root, ignore_errors=True)
    folder = staged(one, root)
    try:
        intake(root)
    except Exception as raised:
        error = as_error(raised)
        defect = _defect(folder, raised, error)
        return error.code, defect
    return "accepted", "" if folder.learnt.exists() else "accepted without learnt.json"


def staged(one: Seed, root: Path) -> JobDir:
    """A job folder with that file as its upload."""
    folder = JobDir(root)
    folder.out.mkdir(parents=True)
    folder.upload.write_bytes(one.data)
    described = {"architecture" if one.kind == "model" else "declared": one.declared}
    job = {"resource": one.kind, "file_name": one.file_name, "digest": _DIGEST, **described}
    folder.intake.write_text(IntakeJob.model_validate(job).model_dump_json())
    return folder


def _defect(folder: JobDir, raised: Exception, error: PithError) -> str:
    detail = error.problem.detail
    if error.code in _DEFECTS:
        return "".join(traceback.format_exception(raised))[-2500:]
    if not detail.isprintable() or str(folder.root) in detail or "Traceback" in detail:
        return f"a sentence that says too much: {detail!r}"
    if folder.learnt.exists():
        return "refused, and learnt.json is there"
    return ""
