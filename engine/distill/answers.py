"""What the teachers say to the samples of a batch: by running them, or as it was kept when they were asked before.

Kept answers are float32, in memory where they are small and in a file of the scratch folder where they are not; made
again from the same samples in the same order, they are the same again, so a resumed run sees no difference.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from engine.batches import layout_of
from engine.context import Context, scratch_file
from engine.data import Split
from engine.model import Model
from engine.objective import Batch
from engine.signature import as_tuple
from engine.taps import Tap, tapped

Answer = tuple[Tensor, ...]
"""The first output, then the tapped features."""

Ask = Callable[[Batch], list[Answer]]

TOGETHER = 256
REPORT_EVERY = 25
IN_MEMORY_BYTES = 512 << 20
AUTO_BYTES = 8 << 30


def teachers(
    models: Sequence[Model], taps: Sequence[Sequence[Tap]], split: Split, cache: Literal["auto"] | bool, ctx: Context
) -> Ask:
    """One answer from each teacher. ``cache`` keeps them; ``auto`` where the samples stay the same over several epochs
    and there is room."""
    askable = [Teacher(model, tap, ctx.device) for model, tap in zip(models, taps, strict=True)]
    size = sum(teacher.bytes(split) for teacher in askable)
    epochs = getattr(ctx.config, "epochs", 1)
    worth = cache == "auto" and ctx.augmenter is None and epochs > 1 and size <= AUTO_BYTES
    if cache is not True and not worth:
        return lambda batch: [teacher.ask(batch.inputs) for teacher in askable]
    kept = [Kept(teacher, split, size > IN_MEMORY_BYTES, index, ctx) for index, teacher in enumerate(askable)]
    return lambda batch: [each.of(batch.rows) for each in kept]


class Teacher:
    """A frozen model on the device, with its taps; an ONNX file has none."""

    def __init__(self, model: Model, taps: Sequence[Tap], device: torch.device) -> None:
        self.model, self.device = model, device
        self.outputs = len(model.signature.outputs)
        if model.trainable:
            model.place(device, layout_of(model)).eval().requires_grad_(False)
            self.graph = tapped(model, taps)

    @torch.no_grad()
    def ask(self, inputs: tuple[Tensor, ...]) -> Answer:
        if not self.model.trainable:
            return self.model.run(inputs)[:1]
        given = as_tuple(self.graph(*inputs))
        return (given[0], *given[self.outputs :])

    def read(self, split: Split, rows: slice) -> Answer:
        """The answer to these samples, as it would be in a batch of a training loop."""
        inputs = tuple(each.to(self.device) for each in split.inputs(rows, self.model.signature.dtypes()))
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.device.type == "cuda"):
            return tuple(each.float() for each in self.ask(inputs))

    def bytes(self, split: Split) -> int:
        """What the answers to a whole split take."""
        few = min(2, len(split))
        return sum(each.numel() * 4 for each in self.read(split, slice(0, few))) // few * len(split)


class Kept:
    """The answers of one teacher to every sample of a split."""

    def __init__(self, teacher: Teacher, split: Split, in_files: bool, index: int, ctx: Context) -> None:
        self.device = ctx.device
        stores: list[Tensor] = []
        for number, start in enumerate(range(0, len(split), TOGETHER)):
            answer = teacher.read(split, slice(start, start + TOGETHER))
            if not stores:
                stores = [
                    self._store(each, len(split), in_files, _file(ctx, index, at)) for at, each in enumerate(answer)
                ]
            for store, each in zip(stores, answer, strict=True):
                store[start : start + len(each)] = each
            if number % REPORT_EVERY == 0:
                ctx.progress(0.0, f"asking teacher {index + 1}: {start:,} of {len(split):,} samples")
        self.stores = stores

    def of(self, rows: Tensor) -> Answer:
        return tuple(store[rows.to(store.device)].to(self.device) for store in self.stores)

    def _store(self, like: Tensor, count: int, in_file: bool, path: Path) -> Tensor:
        shape = (count, *like.shape[1:])
        if not in_file:
            return torch.empty(shape, device=self.device)
        return torch.from_numpy(np.lib.format.open_memmap(path, "w+", np.float32, shape))


def _file(ctx: Context, teacher: int, answer: int) -> Path:
    return scratch_file(ctx.folder, f"answers-{ctx.step}-{teacher}-{answer}.npy")
