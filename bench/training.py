"""(b) Steps a second of the training loop against a hand-written PyTorch loop, alternately, same model and data; alone,
and taught by a teacher that is run for every batch.

The median of the rounds' ratios counts, on one thread: on a shared machine one and the same loop varies by a fifth from
round to round, and two threads that wait for one another by half.
"""

import copy
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.export import Dim, export, save
from torch.nn import functional

from engine.context import Context
from engine.data.intake import stage_dataset
from engine.jobdir import EngineJob, JobDir
from engine.registry import technique
from engine.run import open_job
from examples.demo.train import network
from pith.dataset import DatasetSchema, Shares
from pith.job import JobSpec

ROUNDS, EPOCHS, BATCH, SAMPLES, THREADS = 10, 2, 128, 1280, 1


def measure(step: dict[str, object]) -> dict[str, float]:
    """For ``finetune.full`` or ``distill.logits``, with the options of that step."""
    torch.set_num_threads(THREADS)
    random = np.random.default_rng(0)
    x = random.normal(size=(SAMPLES, 1, 32, 32)).astype(np.float32)
    y = random.integers(0, 10, SAMPLES)
    net = network()
    with tempfile.TemporaryDirectory() as name:
        ctx = _context(JobDir(Path(name)), net, x, y, {**step, "epochs": EPOCHS, "batch_size": BATCH})
        teacher = copy.deepcopy(net).eval() if step["kind"] == "distill.logits" else None
        _ours(ctx), _by_hand(net, teacher, x, y)
        rounds = [(_ours(ctx), _by_hand(net, teacher, x, y)) for _ in range(ROUNDS)]
        ctx.events.close()
    steps = EPOCHS * SAMPLES // BATCH
    ours, hand = (steps / float(np.median(column)) for column in zip(*rounds, strict=True))
    low, ratio, high = np.quantile([by_hand / our for our, by_hand in rounds], (0.25, 0.5, 0.75))
    return {"ours": ours, "hand": hand, "ratio": float(ratio), "low": float(low), "high": float(high)}


def _context(folder: JobDir, net: nn.Module, x: np.ndarray, y: np.ndarray, step: dict[str, object]) -> Context:
    """The engine's own, as a job would have it."""
    folder.scratch.mkdir(parents=True)
    program = export(net.eval(), (torch.from_numpy(x[:2]),), dynamic_shapes=({0: Dim("batch")},))
    save(program, folder.model)
    np.savez(folder.root / "data.npz", x_train=x, y_train=y)
    stage_dataset(folder.root / "data.npz", "data.npz", DatasetSchema(shares=Shares(test=0)), folder)
    ids = {"model": "mdl_" + "0" * 26, "dataset": "dts_" + "0" * 26}
    spec = JobSpec.model_validate({**ids, "recipe": [step]})
    ctx = open_job(folder, EngineJob(spec=spec, model_digest="sha256:" + "0" * 64, threads=THREADS))
    ctx.begin(0)
    return ctx


def _ours(ctx: Context) -> float:
    model = ctx.baseline.copy()
    started = time.perf_counter()
    technique(ctx.config.kind)(model, ctx.config, ctx)  # type: ignore[attr-defined]
    return time.perf_counter() - started


def _by_hand(net: nn.Module, teacher: nn.Module | None, x: np.ndarray, y: np.ndarray) -> float:
    """What a careful person would write, channels last included."""
    started = time.perf_counter()
    net.train().to(memory_format=torch.channels_last)
    inputs, labels = torch.from_numpy(x).to(memory_format=torch.channels_last), torch.from_numpy(y)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            scores = net(inputs[rows])
            loss = functional.cross_entropy(scores, labels[rows])
            if teacher is not None:
                loss = 0.1 * loss + 0.9 * _softened(scores, teacher, inputs[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - started


def _softened(scores: torch.Tensor, teacher: nn.Module, inputs: torch.Tensor) -> torch.Tensor:
    with torch.inference_mode():
        wanted = functional.log_softmax(teacher(inputs) / 4, dim=1)
    given = functional.log_softmax(scores / 4, dim=1)
    return functional.kl_div(given, wanted.clone(), reduction="batchmean", log_target=True) * 16
