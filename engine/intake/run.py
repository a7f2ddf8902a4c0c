"""One intake, from the uploaded file to ``learnt.json`` and the canonical files beside it."""

import shutil
from pathlib import Path
from typing import get_args

import torch

from engine.data.intake import check_dataset
from engine.events import EventStream
from engine.intake.model import check_model
from engine.jobdir import IntakeJob, JobDir
from pith.intake import LearntDataset, LearntModel, PartName


def intake(root: Path, sandbox: tuple[str, ...] = ()) -> None:
    """Check the upload in this folder (``engine.jobdir`` draws it); what was learnt is written last.

    ``sandbox`` names the protections around this process, which the events tell.

    Raises:
        PithError: why the upload is refused.
    """
    folder, job = JobDir(root), JobDir(root).read_intake()
    folder.scratch.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # a check runs beside jobs, and its timings are said to be of one thread
    events = EventStream(folder.events)
    events.emit("metric", "protections around this check", sandbox=list(sandbox))
    try:
        learnt = _check(folder, job, events)
    except BaseException:
        _discard(folder)
        raise
    finally:
        events.close()
    folder.learnt.write_text(learnt.model_dump_json(), encoding="utf-8")


def _discard(folder: JobDir) -> None:
    """What was made of an upload before it was refused."""
    shutil.rmtree(folder.scratch, ignore_errors=True)
    for name in get_args(PartName):
        folder.part(name).unlink(missing_ok=True)


def _check(folder: JobDir, job: IntakeJob, events: EventStream) -> LearntModel | LearntDataset:
    if job.resource == "model":
        return check_model(folder, job, events)
    return check_dataset(folder.upload, job.file_name, job.declared, folder)
