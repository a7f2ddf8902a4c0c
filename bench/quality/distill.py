"""A narrow student trained alone, by softened scores, and by each distillation: the same student, epochs, order of
samples and seeds.

``python -m bench.quality.distill CASE [--seeds N] [--images N] [--epochs N] [--only NAME …] [--rows FILE] [--check]``
prints a table in Markdown. ``CASE`` is ``mnist`` (LeNet-5, a student of a quarter of its width) or ``cifar``
(ResNet-20, a student of half its width; lossy pictures). Training reads ``--images`` of the training pictures. Options
are chosen with ``--check``, which measures on training pictures that no model saw; without it the test split is
measured, once for each student. ``--rows`` keeps finished runs, from which an interrupted measurement goes on.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.quality.cifar import Pictures, mixed, pictures
from bench.real_data import SHARED
from bench.real_weights import WEIGHTS
from engine.architectures.build import build
from engine.architectures.export import program
from engine.context import Context
from engine.data import Split
from engine.data.intake import stage_dataset
from engine.distill.student import student_of
from engine.jobdir import EngineJob, JobDir
from engine.judge import judge
from engine.model import Model
from engine.registry import technique
from engine.run import open_job
from engine.weights import fit, read_tensors
from pith.dataset import DatasetSchema, Shares
from pith.job import JobSpec
from pith.students import Narrower

IDS = {"model": "mdl_" + "0" * 26, "dataset": "dts_" + "0" * 26}
ALONE = "alone (labels)"
CHECKED = 5000
METHODS: dict[str, dict[str, Any]] = {
    ALONE: {"kind": "finetune.full"},
    "logits (Hinton's KD)": {"kind": "distill.logits"},
    "decoupled": {"kind": "distill.decoupled"},
    "hint": {"kind": "distill.hint"},
    "attention": {"kind": "distill.attention"},
    "relation": {"kind": "distill.relation"},
    "contrastive": {"kind": "distill.contrastive"},
    "adversarial": {"kind": "distill.adversarial"},
    "hint, without KD": {"kind": "distill.hint", "logits_weight": 0, "hard_label_weight": 1},
    "attention, without KD": {"kind": "distill.attention", "logits_weight": 0, "hard_label_weight": 1},
    "relation, without KD": {"kind": "distill.relation", "logits_weight": 0, "hard_label_weight": 1},
    "contrastive, without KD": {"kind": "distill.contrastive", "logits_weight": 0, "hard_label_weight": 1},
    "adversarial, without KD": {"kind": "distill.adversarial", "logits_weight": 0, "hard_label_weight": 1},
}


@dataclass(frozen=True)
class Case:
    """``teaching`` trains the teacher on the first ``taught`` pictures, ``training`` the student on ``images``."""

    network: str
    arguments: dict[str, Any]
    weights: str | None
    taught: int
    teaching: dict[str, Any]
    images: int
    training: dict[str, Any]
    student: dict[str, Any]


CASES = {
    "mnist": Case(
        network="pith/lenet_5",
        arguments={},
        weights=None,
        taught=20_000,
        teaching={"epochs": 4, "learning_rate": 1e-3, "batch_size": 128},
        images=2_000,
        training={"epochs": 15, "learning_rate": 2e-3, "batch_size": 32},
        student={"width": 0.25, "init": "fresh", "round_to": 1},
    ),
    "cifar": Case(
        network="pith/resnet20",
        arguments={},
        weights="resnet20-12fca82f.th",
        taught=10_000,
        teaching={"epochs": 2, "learning_rate": 1e-3, "batch_size": 128},
        images=4_000,
        training={"epochs": 25, "learning_rate": 2e-3, "batch_size": 64},
        student={"width": 0.5, "init": "fresh"},
    ),
}


def main() -> None:
    asked = _arguments()
    case = CASES[asked.case]
    torch.set_num_threads(1)
    images, epochs = asked.images or case.images, asked.epochs or case.training["epochs"]
    with tempfile.TemporaryDirectory() as place:
        rows = asked.rows or Path(place) / "rows.jsonl"
        desk = Desk(Path(place), asked.case, case, images, asked.check)
        for seed in range(asked.seeds):
            for name in asked.only or METHODS:
                key = f"{asked.case} {images} {epochs} {'check' if asked.check else 'test'} {seed} {name}"
                if key not in _read(rows):
                    run = {**METHODS[name], **case.training, "epochs": epochs, **json.loads(asked.options)}
                    started = time.perf_counter()
                    accuracy = desk.student(run, seed)
                    _add(rows, key, accuracy, time.perf_counter() - started)
        teacher = desk.teacher_accuracy()
        print("\n".join(_table(asked, images, epochs, teacher, _read(rows))))


class Desk:
    """A job folder for each run, with the trained teacher and the pictures in it."""

    def __init__(self, root: Path, name: str, case: Case, images: int, check: bool) -> None:
        self.root, self.case, self.runs = root, case, 0
        train, test = _mnist() if name == "mnist" else _cifar()
        count = max(case.taught, images)
        self.judged = (train[0][count : count + CHECKED], train[1][count : count + CHECKED]) if check else test
        self.lesson = root / "lesson.npz"
        np.savez(self.lesson, x_train=train[0][:images], y_train=train[1][:images])
        self.teacher = root / "teacher.pt2"
        self._teach((train[0][: case.taught], train[1][: case.taught]))

    def _teach(self, pictures: Pictures) -> None:
        built = build(self.case.network, self.case.arguments)
        if self.case.weights is not None:
            fit(built.module, read_tensors(WEIGHTS / self.case.weights).tensors, built.name)
        torch.export.save(program(built), self.teacher)
        own = self.root / "own.npz"
        np.savez(own, x_train=pictures[0], y_train=pictures[1])
        ctx = self._context({"kind": "finetune.full", **self.case.teaching}, 0, own)
        taught = technique("finetune.full")(ctx.baseline.copy(), ctx.config, ctx)
        ctx.events.close()
        torch.export.save(taught.program(), self.teacher)

    def _context(self, step: Mapping[str, Any], seed: int, data: Path) -> Context:
        folder = JobDir(self.root / f"run-{self.runs}")
        self.runs += 1
        folder.scratch.mkdir(parents=True)
        folder.model.write_bytes(self.teacher.read_bytes())
        stage_dataset(data, "data.npz", DatasetSchema(shares=Shares(test=0)), folder)
        spec = JobSpec.model_validate({**IDS, "recipe": [dict(step)], "seed": seed})
        return open_job(folder, EngineJob(spec=spec, model_digest="sha256:" + "0" * 64))

    def student(self, step: Mapping[str, Any], seed: int) -> float:
        """The accuracy of a student that was trained so."""
        alone = step["kind"] == "finetune.full"
        ctx = self._context(step if alone else {**step, "student": self.case.student}, seed, self.lesson)
        model = ctx.baseline.copy()
        if alone:
            model = student_of(model, Narrower(**self.case.student), ctx.baseline, ctx)
        trained = technique(str(step["kind"]))(model, ctx.config, ctx)
        ctx.events.close()
        return self._accuracy(trained, ctx)

    def teacher_accuracy(self) -> float:
        ctx = self._context({"kind": "finetune.full"}, 0, self.lesson)
        ctx.events.close()
        return self._accuracy(ctx.baseline, ctx)

    def _accuracy(self, model: Model, ctx: Context) -> float:
        return judge(model, Split((self.judged[0],), self.judged[1]), ctx.objective(), torch.device("cpu"))


def _mnist() -> tuple[Pictures, Pictures]:
    with np.load(SHARED / "mnist" / "mnist.npz") as data:
        found = [data[name] for name in ("x_train", "y_train", "x_test", "y_test")]
    scaled = [(x[:, None].astype(np.float32) / 255 - 0.1307) / 0.3081 for x in found[::2]]
    return (scaled[0].astype(np.float32), found[1].astype(np.int64)), (
        scaled[1].astype(np.float32),
        found[3].astype(np.int64),
    )


def _cifar() -> tuple[Pictures, Pictures]:
    train = mixed("train", 10_000 + 10_000 + CHECKED)
    return pictures("train", train), pictures("test")


def _read(rows: Path) -> dict[str, dict[str, Any]]:
    lines = rows.read_text().splitlines() if rows.exists() else []
    return {row["key"]: row for row in map(json.loads, lines)}


def _add(rows: Path, key: str, accuracy: float, seconds: float) -> None:
    with rows.open("a") as file:
        file.write(json.dumps({"key": key, "accuracy": accuracy, "seconds": round(seconds, 1)}) + "\n")


def _table(
    asked: argparse.Namespace, images: int, epochs: int, teacher: float, rows: Mapping[str, Any]
) -> Iterator[str]:
    where = "held-out training pictures" if asked.check else "test split"
    yield f"{asked.case}: {images:,} pictures, {epochs} epochs, {asked.seeds} seeds, {where}; teacher {teacher:.2%}"
    yield ""
    yield "| trained | accuracy, % (mean ± deviation) | against alone | against KD | s a run |"
    yield "|---|---|---|---|---|"
    head = f"{asked.case} {images} {epochs} {'check' if asked.check else 'test'}"
    found = {
        name: [rows[key] for seed in range(asked.seeds) if (key := f"{head} {seed} {name}") in rows] for name in METHODS
    }
    means = {name: 100 * statistics.fmean(row["accuracy"] for row in each) for name, each in found.items() if each}
    for name, mean in means.items():
        accuracies = [100 * row["accuracy"] for row in found[name]]
        spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
        against = [mean - means[other] if other in means else float("nan") for other in list(METHODS)[:2]]
        seconds = statistics.fmean(row["seconds"] for row in found[name])
        yield f"| {name} | {mean:.2f} ± {spread:.2f} | {against[0]:+.2f} | {against[1]:+.2f} | {seconds:.0f} |"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.distill", description=__doc__)
    parser.add_argument("case", choices=list(CASES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=list(METHODS), default=())
    parser.add_argument("--rows", type=Path, help="where finished runs are kept")
    parser.add_argument(
        "--options", default="{}", help="more options of the step, as JSON, to choose among with --check"
    )
    parser.add_argument("--check", action="store_true", help="measure on held-out training pictures")
    return parser.parse_args()


if __name__ == "__main__":
    main()
