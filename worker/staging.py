"""The job folder: filled before the job's process starts, and removed when it has ended."""

import contextlib
import logging
from pathlib import Path

from engine.jobdir import EngineJob, JobDir
from pith.errors import PithError
from pith.ids import JobId
from pith.job import FINAL
from store import paths
from store.blobs import Blobs
from store.jobs import Claim, Jobs
from worker.removal import remove
from worker.settings import WorkerSettings

_log = logging.getLogger(__name__)


def stage(claim: Claim, blobs: Blobs, folder: JobDir, options: WorkerSettings) -> None:
    """Fill the folder. What earlier attempts left, if a worker was lost with them, goes.

    Raises:
        PithError: ``blob_missing`` or ``storage_full``.
    """
    _remove(folder.root.parent)
    folder.root.mkdir(parents=True)
    folder.root.chmod(0o700)
    folder.scratch.mkdir(parents=True)
    blobs.link_to(claim.model, folder.model)
    if claim.dataset is not None:
        blobs.link_to(claim.dataset, folder.dataset)
    for teacher, digest in claim.teachers.items():
        target = folder.teacher(teacher)
        target.parent.mkdir(exist_ok=True)
        blobs.link_to(digest, target)
    folder.spec.write_text(_engine_job(claim, options).model_dump_json())


def _engine_job(claim: Claim, options: WorkerSettings) -> EngineJob:
    return EngineJob(
        job=claim.job.id,
        spec=claim.job.spec,
        model_digest=claim.model,
        dataset_digest=claim.dataset,
        device=options.device,
        threads=options.threads,
    )


def clear(folder: JobDir) -> None:
    _remove(folder.root)
    with contextlib.suppress(OSError):
        folder.root.parent.rmdir()


def sweep(data_dir: Path, jobs: Jobs) -> None:
    """Remove the folders of jobs that have ended: those of lost workers. Others may be somebody's, now."""
    root = paths.all_work(data_dir)
    for folder in root.iterdir() if root.is_dir() else ():
        if _has_ended(folder.name, jobs):
            _remove(folder)


def _remove(folder: Path) -> None:
    try:
        remove(folder)
    except OSError as error:
        _log.warning("%s could not be removed: %s", folder, error)


def _has_ended(id: JobId, jobs: Jobs) -> bool:
    try:
        return jobs.get(id).status in FINAL
    except PithError as error:
        return error.code == "not_found"
