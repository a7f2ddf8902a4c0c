"""Published weights by the name of their architecture, through a whole service: state dict up, pictures up, a job, its
report. The pictures are the lossy copies in ``../shared``, on which these weights were measured elsewhere."""

import tempfile
from pathlib import Path
from typing import Any

from bench.real_data import SHARED, cifar
from bench.service import running
from pith.client import Pith
from pith.dataset import DatasetSchema
from pith.intake import Architecture
from pith.job import JobSpec
from pith.report import Report

WEIGHTS = SHARED.parent / "models" / "resnet_cifar10"
# The file, the architecture, and the accuracy that was measured independently on the same pictures.
CASES = {
    "resnet20-12fca82f.th": ("pith/resnet20", 0.8103),
    "resnet56-4bfd9763.th": ("pith/resnet56", 0.8320),
}
STATIC = {"kind": "quantize.static"}


def measure() -> list[dict[str, Any]]:
    """For each file: accuracy as it came, expected, and after static quantization; seconds of its check."""
    with tempfile.TemporaryDirectory() as place:
        pictures = cifar(Path(place) / "cifar.zip", train_every=50)
        with running(Path(place), "app.up") as (url, _), Pith(url) as pith:
            schema = DatasetSchema(task="image-classification", classes=tuple("0123456789"))
            dataset = pith.datasets.ready(pith.datasets.upload(pictures, given=schema).id)
            return [_one(pith, dataset.id, name) for name in CASES]


def _one(pith: Pith, dataset: str, name: str) -> dict[str, Any]:
    architecture, expected = CASES[name]
    model = pith.models.ready(pith.models.upload(WEIGHTS / name, given=Architecture(name=architecture)).id)
    check = pith.jobs.get(model.check)
    assert check.started_at is not None and check.finished_at is not None
    spec = {"model": model.id, "dataset": dataset, "recipe": [STATIC], "outputs": ["onnx"]}
    job = pith.jobs.wait(pith.jobs.submit(JobSpec.model_validate(spec)).id)
    report: Report = pith.jobs.report(job.id)
    return {
        "name": name,
        "expected": expected,
        "check_seconds": (check.finished_at - check.started_at).total_seconds(),
        "before": report.baseline.get("accuracy"),
        "after": report.result.get("accuracy"),
        "ratio": report.comparison.compression_ratio,
        "speedup": report.comparison.speedup,
    }
