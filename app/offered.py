"""The example: two files that come with the service (``app/example``), brought in as if somebody had uploaded them."""

import hashlib
import threading
from pathlib import Path
from typing import TypeVar

from app.service import Service
from pith.example import Example
from pith.job import JobSpec
from pith.resources import Dataset, Model
from store.blob_writer import poured
from store.dispatch import dispatch
from store.resources import Resources

R = TypeVar("R", Model, Dataset)
FOLDER = Path(__file__).parent / "example"
NAMES = {"model.pt2": "example digits.pt2", "dataset.npz": "example digits.npz"}
TAG = "example"
_ONE_AT_A_TIME = threading.Lock()


def brought_in(service: Service) -> Example:
    """Once: what is there already, and was not rejected, is taken again. Only two machines that are asked in the same
    moment would each bring it in.

    Raises:
        PithError: ``storage_full``, ``quota_exceeded``.
    """
    with _ONE_AT_A_TIME:
        model = _one(service, service.models, FOLDER / "model.pt2")
        dataset = _one(service, service.datasets, FOLDER / "dataset.npz")
    return Example(model=model, dataset=dataset, spec=job_spec(model, dataset))


def _one(service: Service, of: Resources[R], file: Path) -> R:
    digest = f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"
    for found in of.of_bytes({digest}):
        if found.status != "rejected":
            return of.get(found.id)
    service.uploads.room(service.settings.max_upload_bytes).check(file.stat().st_size)
    stored = poured(file, service.blobs.writer)
    made = of.create(NAMES[file.name], *stored, tagged=(TAG,))
    if service.queue is not None:
        dispatch(service.jobs, service.queue, made.check)
    return made


def job_spec(model: Model, dataset: Dataset) -> JobSpec:
    return JobSpec.model_validate(
        {
            "model": model.id,
            "dataset": dataset.id,
            "recipe": [
                {"kind": "prune.channel", "pruning_ratio": 0.5, "iterations": 2, "recovery": {"epochs": 2}},
                {"kind": "distill.logits", "teacher": "baseline", "temperature": 4, "epochs": 4},
                {"kind": "quantize.static"},
            ],
            "constraints": {"max_metric_drop": 0.02, "min_compression_ratio": 4},
        }
    )
