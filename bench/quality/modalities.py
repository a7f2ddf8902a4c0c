"""Texts, speech and a table: a fresh model is trained on each, then compressed; three seeds.

``python -m bench.quality.modalities [CASE …] [--seeds 3] [--check]`` prints a table in Markdown. Texts: a transformer
of half the layers is distilled from the trained one, and then quantized to 8 bits. Speech and the table: the recipe of
the demo; speech, whose network is small beside the file around it, is entropy-coded at the end. Options may be chosen
with ``--check``, which measures on every tenth training sample; without it the published test split is read, once at
the end of each job.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from bench import real_data
from bench.modalities import MEL, audio, fresh_model, run_job, table
from engine.data.intake import stage_dataset
from engine.jobdir import JobDir
from pith.dataset import DatasetFacts, DatasetSchema, SplitFacts
from pith.intake import Architecture
from pith.report import Report

Step = dict[str, Any]
LONGEST = 40
"""Words of a text; few of these sentences have more."""


@dataclass(frozen=True)
class Case:
    """``times`` smaller at no more than ``points`` of accuracy lost is to be reached."""

    make: Callable[[Path], Path]
    architecture: Callable[[DatasetFacts], Architecture]
    training: Step
    recipe: tuple[Step, ...]
    times: float
    points: float
    schema: dict[str, Any] = field(default_factory=dict)
    augmentation: tuple[Step, ...] = ()


def _transformer(facts: DatasetFacts) -> Architecture:
    arguments = {
        "vocab_size": facts.vocabulary,
        "num_labels": len(facts.classes),
        "hidden_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 256,
        "max_position_embeddings": LONGEST,
        "hidden_dropout_prob": 0.2,
    }
    return Architecture(name="transformers/BertForSequenceClassification", arguments=arguments, input_shape=(LONGEST,))


def _halved(training: Step) -> tuple[Step, ...]:
    """Half of the layers, distilled, 8 bits."""
    student = {"depth": 0.5}
    return (
        {"kind": "distill.logits", "student": student, "temperature": 4, **training},
        {"kind": "quantize.dynamic"},
    )


def _demo(training: Step, recovery: int, ratio: float) -> tuple[Step, ...]:
    """The demo's recipe: fewer channels in three parts, distillation from the model as it came, 8 bits."""
    recovered = {**training, "epochs": recovery}
    return (
        {"kind": "prune.channel", "pruning_ratio": ratio, "iterations": 3, "recovery": recovered},
        {"kind": "distill.logits", "teacher": "baseline", "temperature": 4, **training, "epochs": 2 * recovery},
        {"kind": "quantize.static"},
    )


WORDS = {"preprocessing": {"kind": "text", "tokenizer": "words", "length": LONGEST}}
DROPPED = ({"kind": "token_dropout", "probability": 0.1},)
TEXT = {"epochs": 10, "batch_size": 64, "learning_rate": 5e-4}
SPEECH = {"epochs": 12, "batch_size": 64, "learning_rate": 4e-3}
TABLE = {"epochs": 4, "batch_size": 256}
CASES = {
    "trec": Case(real_data.trec, _transformer, TEXT, _halved(TEXT), 4, 1.5, WORDS, DROPPED),
    "sst2": Case(real_data.sst2, _transformer, TEXT, _halved(TEXT), 4, 1.5, WORDS, DROPPED),
    "fsdd": Case(
        real_data.fsdd,
        audio,
        SPEECH,
        (*_demo(SPEECH, 8, 0.5), {"kind": "encode.entropy"}),
        8,
        1.0,
        {"preprocessing": MEL},
        ({"kind": "time_shift", "fraction": 0.05},),
    ),
    "adult": Case(real_data.adult, table, TABLE, _demo(TABLE, 2, 0.7), 8, 1.0, {"label": "income"}),
}


def measure(name: str, seed: int, check: bool, root: Path) -> dict[str, Any]:
    """The figures of one seed."""
    case = CASES[name]
    first, second = JobDir(root / "training"), JobDir(root / "compression")
    for folder in (first, second):
        folder.out.mkdir(parents=True)
    upload = case.make(root / "upload")
    facts = stage_dataset(upload, upload.name, DatasetSchema.model_validate(case.schema), first).facts
    if check:
        _hold_out(first, facts)
    fresh_model(case.architecture(facts).model_copy(update={"seed": seed}), first)
    recipe = [{"kind": "finetune.full", **case.training}]
    trained = run_job(first, recipe, case.augmentation, ["onnx", "pt2"], seed)
    for part in ("dataset.arrow", "dataset.json"):
        (first.root / part).replace(second.root / part)
    first.output("pt2").replace(second.model)
    small = run_job(second, list(case.recipe), case.augmentation, ["onnx"], seed)
    return {
        "case": name,
        "seed": seed,
        "trained": _percent(trained),
        "small": _percent(small),
        "times": small.comparison.compression_ratio,
        "faster": small.comparison.speedup,
        "seconds": round(trained.seconds + small.seconds),
    }


def _percent(report: Report) -> float:
    return 100 * (report.result.get("accuracy") or 0.0)


def _hold_out(folder: JobDir, facts: DatasetFacts) -> None:
    """Every tenth training row becomes the test split, and there is no other."""
    path = folder.root / "dataset.arrow"
    with pa.OSFile(str(path)) as file:
        rows = pa.ipc.open_file(file).read_all()
    count = next(split.samples for split in facts.splits if split.name == "train")
    held = np.arange(count) % 10 == 0
    kept = rows.take(np.concatenate([np.flatnonzero(~held), np.flatnonzero(held)]))
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(kept)
    sizes = {"train": count - int(held.sum()), "test": int(held.sum())}
    splits = tuple(SplitFacts(name=name, samples=size, labelled=True) for name, size in sizes.items())
    (folder.root / "dataset.json").write_text(facts.model_copy(update={"splits": splits}).model_dump_json())


def table_of(found: list[dict[str, Any]]) -> str:
    """Means over the seeds, with the least and greatest loss."""
    lines = ["| data | seeds | trained % | small % | points lost | times smaller | times faster | to reach |"]
    lines.append("|" + "---|" * 8)
    for name in dict.fromkeys(one["case"] for one in found):
        ones, case = [one for one in found if one["case"] == name], CASES[name]
        lost = [one["trained"] - one["small"] for one in ones]
        trained, small, times, faster = (
            float(np.mean([one[what] for one in ones])) for what in ("trained", "small", "times", "faster")
        )
        lines.append(
            f"| {name} | {len(ones)} | {trained:.2f} | {small:.2f} | {np.mean(lost):.2f} ({min(lost):.2f} to "
            f"{max(lost):.2f}) | {times:.1f} | {faster:.1f} | {case.points} points at {case.times:g} |"
        )
    return "\n".join(lines)


def main(given: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.quality.modalities")
    parser.add_argument("cases", nargs="*", default=list(CASES))
    parser.add_argument("--seeds", type=int, default=3, help="how many")
    parser.add_argument("--check", action="store_true", help="measure on training samples that are held out")
    asked = parser.parse_args(given)
    found = []
    for name in asked.cases:
        for seed in range(asked.seeds):
            with tempfile.TemporaryDirectory() as root:
                found.append(measure(name, seed, asked.check, Path(root)))
            print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(table_of(found))


if __name__ == "__main__":
    main(sys.argv[1:])
