"""One intake, from the uploaded file to ``learnt.json`` and the canonical files beside it."""

from pathlib import Path

import torch

from engine.events import EventStream
from engine.intake.model import check_model
from engine.jobdir import IntakeJob, JobDir
from pith.intake import LearntDataset, LearntModel


def intake(root: Path) -> None:
    """Check the upload in this folder (``engine.jobdir`` draws it); what was learnt is written last.

    Raises:
        PithError: why the upload is refused.
    """
    folder, job = JobDir(root), JobDir(root).read_intake()
    folder.scratch.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(job.threads)
    events = EventStream(folder.events)
    try:
        learnt = _check(folder, job, events)
    finally:
        events.close()
    folder.learnt.write_text(learnt.model_dump_json(), encoding="utf-8")


def _check(folder: JobDir, job: IntakeJob, events: EventStream) -> LearntModel | LearntDataset:
    return check_model(folder, job, events)
