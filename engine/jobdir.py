"""The folder that one run of the engine reads and writes. Imports no torch: the worker stages it.

<job dir>/
    job.json              EngineJob
    model.pt2             the model's canonical file, or
    model.onnx            the same of a model that came as ONNX
    dataset.arrow         the dataset's canonical rows, if the spec names one
    dataset.json          its facts (DatasetFacts)
    tokenizer.json        the model's tokenizer, if it brought one
    others/<id>/          the same files of each model and dataset that steps name
    original.json         the report of the job that this one replays, if it has one
    stop                  made while the run goes on: save a checkpoint and end
    out/                  all that the engine writes
        events.jsonl      one EngineEvent a line, appended as it happens
        error.json        Problem, when it failed
        report.json       Report, when it succeeded
        report.html
        model.onnx        the outputs that the spec asks for
        model.pt2
        model.safetensors
        model.pith          the encoded model, if a step encodes it
        preprocessing.json  how samples became inputs (FittedPreprocessing), unless they were tensors
        tokenizer.json    the tokenizer of texts
        checkpoint/       state to resume from; copied here to resume
        steps/            what each step has left, if the spec asks for it: position-0.json, graph-0.pt2, step-0.onnx, …
        scratch/          working files, of no value afterwards

and for an intake:

<job dir>/
    intake.json           IntakeJob
    upload                the uploaded file, if there is one
    out/
        events.jsonl, error.json, scratch/
        learnt.json       LearntModel or LearntDataset, when it was accepted
        <part>            the canonical files that it names
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from pith.artifact import Digest, ResultFormat
from pith.base import Frozen
from pith.dataset import DatasetSchema, Preprocessing
from pith.ids import DatasetId, JobId, ModelId
from pith.intake import Architecture, PartName
from pith.job import ForkedFrom, JobSpec, JobStatus
from pith.notes import Foreseen


class Original(Frozen):
    """The job whose spec this one runs again; ``artifacts`` by name, but for its report."""

    job: JobId
    status: JobStatus | Literal["deleted"]
    artifacts: dict[str, Digest] = Field(default_factory=dict)


class EngineJob(Frozen):
    """What ``job.json`` says."""

    job: JobId | None = None
    spec: JobSpec
    model_digest: Digest
    model_bytes: int | None = Field(None, ge=0, description="Of the model's file as it was uploaded.")
    dataset_digest: Digest | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    threads: int = Field(1, ge=1, le=1024)
    processes: int = Field(1, ge=1, le=64, description="That train together.")
    pieces: int = Field(1, ge=1, description="That each batch of a training is cut into at least, to save memory.")
    model_preprocessing: Preprocessing | None = Field(None, description="What the model's facts ask for.")
    foreseen: Foreseen = Field(Foreseen(), description="Notes of the plan, for the report.")
    checkpoint_seconds: float = Field(60.0, ge=0, description="Training lost at most when the run is cut off.")
    forked_from: ForkedFrom | None = None
    original: Original | None = None


class IntakeJob(Frozen):
    """What ``intake.json`` says. ``digest`` is null for an architecture that comes without weights."""

    job: JobId | None = None
    resource: Literal["model", "dataset"]
    file_name: str
    digest: Digest | None
    architecture: Architecture | None = None
    declared: DatasetSchema | None = None


class JobDir:
    """The one place that knows the names above. ``out`` is another folder to write into."""

    def __init__(self, root: Path, out: Path | None = None) -> None:
        self.root = root
        self.spec = root / "job.json"
        self.intake = root / "intake.json"
        self.upload = root / "upload"
        self.model = root / "model.pt2"
        self.original = root / "original.json"
        self.stop = root / "stop"
        self.out = out or root / "out"
        self.events = self.out / "events.jsonl"
        self.error = self.out / "error.json"
        self.report_json = self.out / "report.json"
        self.report_html = self.out / "report.html"
        self.checkpoint = self.out / "checkpoint"
        self.steps = self.out / "steps"
        self.scratch = self.out / "scratch"
        self.meeting = self.scratch / "meeting"
        self.preprocessing = self.out / "preprocessing.json"
        self.learnt = self.out / "learnt.json"

    def aside(self, rank: int) -> "JobDir":
        """For a process that trains with the one that leads: the same inputs, and a place for its working files."""
        return JobDir(self.root, self.scratch / f"process-{rank}")

    def given_model(self) -> Path:
        """The model that was staged: an ONNX file, or else a ``.pt2``."""
        onnx = self.model.with_suffix(".onnx")
        return onnx if onnx.exists() else self.model

    def other(self, id: ModelId | DatasetId) -> "JobDir":
        """The inputs of a model or dataset that a step names, under the same names as the job's own."""
        return JobDir(self.root / "others" / id)

    def input(self, name: PartName) -> Path:
        """Where the worker stages a canonical file of the job's model or dataset."""
        return self.root / name

    def other_input(self, id: ModelId | DatasetId, name: PartName) -> Path:
        """Where it stages those of what a step names."""
        return self.other(id).input(name)

    def output(self, form: ResultFormat) -> Path:
        return self.out / f"model.{form}"

    def part(self, name: PartName) -> Path:
        return self.out / name

    def read(self) -> EngineJob:
        return EngineJob.model_validate_json(self.spec.read_bytes())

    def read_intake(self) -> IntakeJob:
        return IntakeJob.model_validate_json(self.intake.read_bytes())
