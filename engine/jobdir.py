"""The folder that one run of the engine reads and writes. Imports no torch: the worker stages it.

<job dir>/
    job.json              EngineJob
    model.pt2             the model, as it was uploaded
    dataset.npz           the dataset, if the spec names one
    teachers/<id>.pt2     teachers other than the baseline
    out/                  all that the engine writes
        events.jsonl      one EngineEvent a line, appended as it happens
        error.json        Problem, when it failed
        report.json       Report, when it succeeded
        report.html
        model.onnx        the outputs that the spec asks for
        model.pt2
        model.safetensors
        checkpoint/       state to resume from; copied here to resume
        scratch/          working files, of no value afterwards
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pith.artifact import Digest, OutputFormat
from pith.base import Frozen
from pith.ids import JobId, ModelId
from pith.job import JobSpec


class EngineJob(Frozen):
    """What ``job.json`` says."""

    job: JobId | None = None
    spec: JobSpec
    model_digest: Digest
    dataset_digest: Digest | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, le=1024)
    checkpoint_seconds: float = Field(60.0, ge=0, description="Training lost at most when the run is cut off.")


class JobDir:
    """The one place that knows the names above."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.spec = root / "job.json"
        self.model = root / "model.pt2"
        self.dataset = root / "dataset.npz"
        self.out = root / "out"
        self.events = self.out / "events.jsonl"
        self.error = self.out / "error.json"
        self.report_json = self.out / "report.json"
        self.report_html = self.out / "report.html"
        self.checkpoint = self.out / "checkpoint"
        self.scratch = self.out / "scratch"

    def teacher(self, model: ModelId) -> Path:
        return self.root / "teachers" / f"{model}.pt2"

    def output(self, form: OutputFormat) -> Path:
        return self.out / f"model.{form}"

    def read(self) -> EngineJob:
        return EngineJob.model_validate_json(self.spec.read_bytes())
