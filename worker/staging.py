"""The job folder: filled before the job's process starts, and removed when it has ended."""

import contextlib
import logging
from pathlib import Path

from engine.jobdir import EngineJob, IntakeJob, JobDir, Original
from pith.errors import PithError
from pith.ids import JobId
from pith.job import FINAL, JobSpec
from pith.notes import foreseen
from pith.worker import WorkerDevice
from store import paths
from store.attempts import Claim
from store.blobs import Blobs
from store.inputs import Inputs, Upload
from store.jobs import Jobs
from worker.removal import remove
from worker.settings import WorkerSettings

_log = logging.getLogger(__name__)


def device_for(claim: Claim, own: WorkerDevice) -> WorkerDevice:
    """What this job computes on, of a worker with this device. A check of an upload computes nothing."""
    spec = claim.job.spec
    return own if isinstance(spec, JobSpec) and spec.device != "cpu" else "cpu"


def stage(claim: Claim, blobs: Blobs, folder: JobDir, options: WorkerSettings, device: WorkerDevice = "cpu") -> None:
    """Fill the folder. What earlier attempts left, if a worker was lost with them, goes.

    Raises:
        PithError: ``blob_missing`` or ``storage_full``.
    """
    _remove(folder.root.parent)
    folder.root.mkdir(parents=True)
    folder.root.chmod(0o700)
    folder.scratch.mkdir(parents=True)
    if isinstance(claim.inputs, Upload):
        _stage_upload(claim, claim.inputs, blobs, folder)
    else:
        _stage_inputs(claim, claim.inputs, blobs, folder)
        folder.spec.write_text(_engine_job(claim, claim.inputs, options, device).model_dump_json())


def _stage_upload(claim: Claim, upload: Upload, blobs: Blobs, folder: JobDir) -> None:
    if upload.digest is not None:
        blobs.link_to(upload.digest, folder.upload)
    asked = IntakeJob(
        job=claim.job.id,
        resource=upload.resource,
        file_name=upload.file_name,
        digest=upload.digest,
        architecture=upload.architecture,
        declared=upload.declared,
    )
    folder.intake.write_text(asked.model_dump_json())


def _stage_inputs(claim: Claim, inputs: Inputs, blobs: Blobs, folder: JobDir) -> None:
    for own in (inputs.model, inputs.dataset):
        for name, digest in own.parts.items() if own else ():
            blobs.link_to(digest, folder.input(name))
    for id, other in inputs.others.items():
        for name, digest in other.parts.items():
            target = folder.other_input(id, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            blobs.link_to(digest, target)
    for file, digest in claim.checkpoint.items():
        folder.checkpoint.mkdir(parents=True, exist_ok=True)
        blobs.link_to(digest, folder.checkpoint / file)
    if claim.original is not None and claim.original.report is not None:
        blobs.link_to(claim.original.report, folder.original)


def _engine_job(claim: Claim, inputs: Inputs, options: WorkerSettings, device: WorkerDevice) -> EngineJob:
    assert isinstance(claim.job.spec, JobSpec)
    return EngineJob(
        job=claim.job.id,
        spec=claim.job.spec,
        model_digest=inputs.model.digest,
        model_bytes=inputs.model.size_bytes,
        dataset_digest=inputs.dataset and inputs.dataset.digest,
        model_preprocessing=inputs.model_preprocessing,
        foreseen=foreseen(inputs.asked),
        device="cuda" if device_for(claim, device) == "gpu" else "cpu",
        threads=options.threads,
        processes=options.job_processes,
        pieces=claim.pieces,
        checkpoint_seconds=options.checkpoint_seconds,
        forked_from=claim.job.forked_from,
        original=_original(claim),
    )


def _original(claim: Claim) -> Original | None:
    if (found := claim.original) is None:
        return None
    return Original(job=found.job, status=found.status, artifacts=dict(found.artifacts))


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
        return error.code in ("not_found", "gone")
