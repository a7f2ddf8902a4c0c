"""(f) Texts, sounds and a table, each from data alone: a fresh model is trained, then compressed by the demo's recipe.

Accuracy is on the published test split, which no step sees. Peers are simple models trained by hand on the same data.
"""

import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import real_data
from engine.data.intake import stage_dataset
from engine.events import EventStream
from engine.intake.model import check_model
from engine.jobdir import EngineJob, IntakeJob, JobDir
from engine.run import run
from pith.dataset import DatasetFacts, DatasetSchema
from pith.intake import Architecture
from pith.job import JobSpec
from pith.report import Report

THREADS = 1
IDS = {"model": "mdl_" + "0" * 26, "dataset": "dts_" + "0" * 26}


@dataclass(frozen=True)
class Case:
    """``shape`` is the model's, from the dataset's facts; ``peer`` the accuracy of the simple model."""

    make: Callable[[Path], Path]
    architecture: Callable[[DatasetFacts], Architecture]
    training: dict[str, Any]
    peer: float
    schema: dict[str, Any] = field(default_factory=dict)
    augmentation: tuple[dict[str, Any], ...] = ()


def _text(facts: DatasetFacts) -> Architecture:
    arguments = {"vocab_size": facts.vocabulary, "num_classes": len(facts.classes)}
    return Architecture(name="pith/text_cnn", arguments=arguments, input_shape=_shape(facts))


def audio(facts: DatasetFacts) -> Architecture:
    arguments = {"num_classes": len(facts.classes), "width": 64, "blocks": 4, "dropout": 0.1}
    return Architecture(name="pith/ds_cnn", arguments=arguments, input_shape=_shape(facts))


def table(facts: DatasetFacts) -> Architecture:
    arguments = {"in_features": _shape(facts)[0], "out_features": len(facts.classes), "hidden": [128, 64]}
    return Architecture(name="pith/mlp", arguments=arguments)


def _shape(facts: DatasetFacts) -> tuple[int, ...]:
    assert facts.input_shape is not None
    return tuple(int(size or 0) for size in facts.input_shape)


MEL = {"kind": "audio", "sample_rate": 8000, "seconds": 0.6, "mels": 40, "window": 256, "hop": 128}
CASES = {
    "text (TREC, pith/text_cnn)": Case(
        real_data.trec,
        _text,
        {"epochs": 8, "batch_size": 64},
        0.818,
        augmentation=({"kind": "token_dropout", "probability": 0.1},),
    ),
    "audio (FSDD, pith/ds_cnn)": Case(
        real_data.fsdd,
        audio,
        {"epochs": 12, "batch_size": 64, "learning_rate": 4e-3},
        0.9433,
        {"preprocessing": MEL},
        ({"kind": "time_shift", "fraction": 0.05},),
    ),
    "table (Adult, pith/mlp)": Case(
        real_data.adult, table, {"epochs": 4, "batch_size": 256}, 0.8575, {"label": "income"}
    ),
}


def measure(name: str) -> dict[str, float]:
    case = CASES[name]
    with tempfile.TemporaryDirectory() as root:
        return _measured(case, Path(root))


@dataclass(frozen=True)
class Compressed:
    """Both jobs of a case, the second in its folder, and the seconds that the dataset's check took."""

    trained: Report
    small: Report
    folder: JobDir
    check_seconds: float


def compressed(case: Case, root: Path, **spec: Any) -> Compressed:
    """The case from its data to the compressed model; ``spec`` is said of the second job besides its recipe."""
    first, second = JobDir(root / "training"), JobDir(root / "compression")
    for folder in (first, second):
        folder.out.mkdir(parents=True)
    started = time.perf_counter()
    upload = case.make(root / "upload")
    facts = stage_dataset(upload, upload.name, DatasetSchema.model_validate(case.schema), first).facts
    checked = time.perf_counter() - started
    fresh_model(case.architecture(facts), first)
    trained = run_job(first, [{"kind": "finetune.full", **case.training}], case.augmentation, ["pt2"])
    for part in ("dataset.arrow", "dataset.json"):
        shutil.move(first.root / part, second.root / part)
    first.output("pt2").replace(second.model)
    recovery = {**case.training, "epochs": max(1, case.training["epochs"] // 3)}
    recipe = [
        {"kind": "prune.channel", "pruning_ratio": 0.5, "recovery": recovery},
        {"kind": "distill.logits", "teacher": "baseline", "temperature": 4, **recovery},
        {"kind": "quantize.static"},
    ]
    small = run_job(second, recipe, case.augmentation, ["onnx"], **spec)
    return Compressed(trained, small, second, checked)


def _measured(case: Case, root: Path) -> dict[str, float]:
    found = compressed(case, root)
    return {
        "trained": found.trained.result.get("accuracy") or 0.0,
        "peer": case.peer,
        "small": found.small.result.get("accuracy") or 0.0,
        "ratio": found.small.comparison.compression_ratio,
        "speedup": found.small.comparison.speedup,
        "check_seconds": found.check_seconds,
        "training_seconds": found.trained.seconds,
        "compression_seconds": found.small.seconds,
    }


def fresh_model(architecture: Architecture, folder: JobDir) -> None:
    desk = JobDir(folder.root / "fresh")
    desk.scratch.mkdir(parents=True)
    events = EventStream(desk.events)
    job = IntakeJob(resource="model", file_name="", digest=None, architecture=architecture)
    check_model(desk, job, events)
    events.close()
    desk.part("model.pt2").replace(folder.model)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()


def run_job(
    folder: JobDir,
    recipe: list[dict[str, Any]],
    augmentation: tuple[dict[str, Any], ...],
    outputs: list[str],
    seed: int = 0,
    **more: Any,
) -> Report:
    spec = {**IDS, "recipe": recipe, "outputs": outputs, "augmentation": list(augmentation), "seed": seed, **more}
    job = EngineJob(
        spec=JobSpec.model_validate(spec),
        model_digest=_digest(folder.model),
        model_bytes=folder.model.stat().st_size,
        device="cpu",
        threads=THREADS,
    )
    folder.spec.write_text(job.model_dump_json())
    return run(folder.root)
