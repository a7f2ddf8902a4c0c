"""(b) Steps a second of the training loop against a hand-written PyTorch loop, alternately, same model and data.

The best round of each counts: on a shared machine one and the same loop varies by a fifth from round to round.
"""

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
from engine.objective import cross_entropy
from engine.run import open_job
from engine.train import train
from examples.demo.train import network
from pith.dataset import DatasetSchema, Shares
from pith.job import JobSpec
from pith.training import TrainingOptions

ROUNDS, EPOCHS, BATCH, SAMPLES, THREADS = 8, 2, 128, 1280, 2


def measure() -> dict[str, float]:
    torch.set_num_threads(THREADS)
    random = np.random.default_rng(0)
    x = random.normal(size=(SAMPLES, 1, 32, 32)).astype(np.float32)
    y = random.integers(0, 10, SAMPLES)
    net = network()
    with tempfile.TemporaryDirectory() as name:
        ctx = _context(JobDir(Path(name)), net, x, y)
        _ours(ctx), _by_hand(net, x, y)
        rounds = [(_ours(ctx), _by_hand(net, x, y)) for _ in range(ROUNDS)]
        ctx.events.close()
    steps = EPOCHS * SAMPLES // BATCH
    ours, hand = (steps / min(column) for column in zip(*rounds, strict=True))
    return {"ours": ours, "hand": hand, "ratio": ours / hand}


def _context(folder: JobDir, net: nn.Module, x: np.ndarray, y: np.ndarray) -> Context:
    """The engine's own, as a job would have it."""
    folder.scratch.mkdir(parents=True)
    program = export(net.eval(), (torch.from_numpy(x[:2]),), dynamic_shapes=({0: Dim("batch")},))
    save(program, folder.model)
    np.savez(folder.root / "data.npz", x_train=x, y_train=y)
    stage_dataset(folder.root / "data.npz", "data.npz", DatasetSchema(shares=Shares(test=0)), folder)
    ids = {"model": "mdl_" + "0" * 26, "dataset": "dts_" + "0" * 26}
    spec = JobSpec.model_validate({**ids, "recipe": [{"kind": "finetune.full"}]})
    return open_job(folder, EngineJob(spec=spec, model_digest="sha256:" + "0" * 64, threads=THREADS))


def _ours(ctx: Context) -> float:
    model = ctx.baseline.copy()
    options = TrainingOptions(epochs=EPOCHS, batch_size=BATCH)
    started = time.perf_counter()
    train(model, ctx.training_data(labels=True), options, cross_entropy(), ctx)
    return time.perf_counter() - started


def _by_hand(net: nn.Module, x: np.ndarray, y: np.ndarray) -> float:
    """What a careful person would write, channels last included."""
    started = time.perf_counter()
    net.train().to(memory_format=torch.channels_last)
    inputs, labels = torch.from_numpy(x).to(memory_format=torch.channels_last), torch.from_numpy(y)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.0, fused=True)
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(x)).split(BATCH):
            loss = functional.cross_entropy(net(inputs[rows]), labels[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return time.perf_counter() - started
