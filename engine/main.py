"""The engine as a process: ``python -m engine.main JOB_DIR``. Its exit code says how it ended; files say why."""

import contextlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from pydantic import ValidationError

from engine.checkpoint import Drained
from engine.group import form
from engine.intake.run import intake
from engine.jobdir import JobDir
from engine.pieces import ran_out
from engine.position import DRAINED
from engine.reload import Forked, Reload, in_subprocess
from engine.run import follow, run
from engine.together import together
from pith.errors import PithError

SUCCEEDED, FAILED = 0, 1


def main(root: Path, sandbox: tuple[str, ...] = ()) -> int:
    """Run the job or the intake; 0 leaves ``out/report.json`` or ``out/learnt.json``, 1 leaves ``out/error.json``,
    and 75 (EX_TEMPFAIL) a checkpoint, as the file ``stop`` has asked for.

    ``sandbox`` names the protections around this process. Where there are any, no program may be started, and the
    outputs are reloaded by a child forked right here: torch must not have computed anything in this process yet.
    """
    folder = JobDir(root)
    folder.scratch.mkdir(parents=True, exist_ok=True)
    if (size := _processes(folder)) == 1:
        return _ended(folder, lambda: _work(root, sandbox))
    folder.meeting.unlink(missing_ok=True)

    def part(rank: int) -> int:
        return _ended(folder.aside(rank) if rank else folder, lambda: _take_part(root, sandbox, rank, size))

    return together(size, part)


def _processes(folder: JobDir) -> int:
    """How many are to train this job together; a job that trains nothing is one process's."""
    with contextlib.suppress(OSError, ValidationError):  # an intake; or told by the run itself
        job = folder.read()
        return job.processes if job.spec.trains() else 1
    return 1


def _take_part(root: Path, sandbox: tuple[str, ...], rank: int, size: int) -> None:
    meeting = JobDir(root).meeting
    if rank:
        follow(root, form(rank, size, meeting))
        return
    reload: Reload = Forked() if sandbox else in_subprocess
    run(root, reload, sandbox, form(rank, size, meeting))


def _ended(folder: JobDir, work: Callable[[], None]) -> int:
    try:
        work()
    except Drained:
        return DRAINED
    except Exception as error:
        folder.out.mkdir(parents=True, exist_ok=True)
        folder.error.write_text(as_error(error).problem.model_dump_json())
        traceback.print_exc()
        return FAILED
    return SUCCEEDED


def _work(root: Path, sandbox: tuple[str, ...]) -> None:
    if JobDir(root).intake.exists():
        intake(root, sandbox)
        return
    reload: Reload = Forked() if sandbox else in_subprocess
    run(root, reload, sandbox)


def as_error(error: BaseException) -> PithError:
    """The error of the table that an exception stands for."""
    if isinstance(error, PithError):
        return error
    text = str(error).splitlines()[0][:300] if str(error) else ""
    if ran_out(error):
        return PithError("out_of_memory", limit="its memory limit")
    if isinstance(error, OSError) and error.errno == 28:
        return PithError("storage_full", needed="The job's files: some")
    return PithError("engine_fault", error=f"{type(error).__name__}: {text}")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
