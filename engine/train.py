"""The only training loop: recovery, fine-tuning and distillation pass it a loss.

Every random stream derives from (seed, step, phase, epoch, batch), so a run that is resumed from a checkpoint ends
with the same bits as one that was never disturbed. On a GPU it computes in bfloat16 where that is safe (autocast).
"""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.context import Context
from engine.data import Split
from engine.model import Model
from engine.objective import Loss
from engine.randomness import generator, stream
from pith.errors import PithError
from pith.training import TrainingOptions

IN_MEMORY_BYTES = 2 << 30
CHECK_EVERY = 25
AUGMENTATION = 1


def train(model: Model, split: Split, options: TrainingOptions, loss: Loss, ctx: Context) -> None:
    """Train the model's graph in place and leave it in eval mode on the CPU.

    ``loss(outputs, inputs, labels)`` gives a scalar; outputs and inputs are tuples. Weights of a sparse layer that
    are zero stay zero.

    Raises:
        PithError: ``training_diverged``.
    """
    _Training(model, split, options, loss, ctx).run()


class Batches:
    """Shuffled batches of a split on a device. A last batch of one sample is left out: batch norms need two."""

    def __init__(self, split: Split, size: int, model: Model, device: torch.device) -> None:
        self.split, self.dtypes, self.device = split, model.signature.dtypes(), device
        self.size = min(size, len(split))
        whole, rest = divmod(len(split), self.size)
        self.count = whole + (rest > 1)
        self.layout = _layout(model)
        self._whole = self._placed(slice(None)) if _in_memory_bytes(split, model) <= IN_MEMORY_BYTES else None

    def epoch(self, order: torch.Generator, start: int) -> Iterator[tuple[int, tuple[Tensor, ...], Tensor | None]]:
        rows = torch.randperm(len(self.split), generator=order)
        for batch in range(start, self.count):
            yield batch, *self._batch(rows[batch * self.size : (batch + 1) * self.size])

    def _batch(self, rows: Tensor) -> tuple[tuple[Tensor, ...], Tensor | None]:
        if self._whole is None:
            inputs, labels = self._placed(np.sort(rows.numpy()))
            rows = rows.argsort().argsort()
        else:
            inputs, labels = self._whole
        rows = rows.to(self.device)
        chosen = tuple(each[rows].contiguous(memory_format=self._format(each)) for each in inputs)
        return chosen, None if labels is None else labels[rows]

    def _placed(self, rows: np.ndarray | slice) -> tuple[tuple[Tensor, ...], Tensor | None]:
        inputs, labels = self.split.inputs(rows, self.dtypes), self.split.labels(rows)
        placed = tuple(each.to(self.device, memory_format=self._format(each)) for each in inputs)
        return placed, None if labels is None else labels.to(self.device)

    def _format(self, each: Tensor) -> torch.memory_format:
        return self.layout if each.ndim == 4 else torch.contiguous_format


class _Training:
    """The state of one call of ``train``."""

    def __init__(self, model: Model, split: Split, options: TrainingOptions, loss: Loss, ctx: Context) -> None:
        self.model, self.options, self.loss, self.ctx = model, options, loss, ctx
        model.place(ctx.device, _layout(model))
        self.batches = Batches(split, options.batch_size, model, ctx.device)
        self.optimizer = _optimizer(model.graph, options)
        self.zeros = _zeros(model)
        self.place = (ctx.step, ctx.phase)

    def run(self) -> None:
        epoch, batch = self._resume()
        self.model.graph.train()
        for number in range(epoch, self.options.epochs):
            mean = self._epoch(number, batch if number == epoch else 0)
            self._report(number, mean)
        self.model.at_rest()

    def _epoch(self, epoch: int, start: int) -> float:
        order = generator(self.ctx.spec.seed, *self.place, epoch)
        total, unchecked = torch.zeros((), device=self.ctx.device), 0
        for batch, inputs, labels in self.batches.epoch(order, start):
            total += self._step(epoch, batch, inputs, labels)
            unchecked += 1
            if unchecked == CHECK_EVERY or batch == self.batches.count - 1:
                self._check(total, epoch, batch)
                unchecked = 0
            if self.ctx.checkpoints.due():
                self._save(epoch, batch + 1)
        return float(total) / max(1, self.batches.count - start)

    def _step(self, epoch: int, batch: int, inputs: tuple[Tensor, ...], labels: Tensor | None) -> Tensor:
        inputs, labels = self._augmented(epoch, batch, inputs, labels)
        torch.manual_seed(stream(self.ctx.spec.seed, *self.place, epoch, batch))
        rate = self._rate(epoch * self.batches.count + batch)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(self.ctx.device.type, torch.bfloat16, enabled=self.ctx.device.type == "cuda"):
            loss = self.loss(self.model.run(inputs), inputs, labels)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        with torch.no_grad():
            for weight, zero in self.zeros:
                weight.masked_fill_(zero, 0.0)
        return loss.detach()

    def _augmented(
        self, epoch: int, batch: int, inputs: tuple[Tensor, ...], labels: Tensor | None
    ) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """From a random stream of its own, so that a model's dropout is the same with augmentation and without."""
        if self.ctx.augmenter is None:
            return inputs, labels
        classes = self.model.signature.outputs[0].shape[-1] or 0
        seed = stream(self.ctx.spec.seed, *self.place, epoch, batch, AUGMENTATION)
        return self.ctx.augmenter(inputs, labels, seed, classes)

    def _rate(self, step: int) -> float:
        total = self.options.epochs * self.batches.count
        decay = 0.5 * (1 + math.cos(math.pi * step / total)) if self.options.schedule == "cosine" else 1.0
        return self.options.learning_rate * decay

    def _check(self, total: Tensor, epoch: int, batch: int) -> None:
        if not math.isfinite(total):
            raise PithError(
                "training_diverged",
                loss=str(float(total)),
                epoch=epoch + 1,
                batch=batch + 1,
                learning_rate=self.options.learning_rate,
            )
        done = (epoch + (batch + 1) / self.batches.count) / self.options.epochs
        self.ctx.progress(done, f"epoch {epoch + 1} of {self.options.epochs}")

    def _report(self, epoch: int, loss: float) -> None:
        name = f"epoch {epoch + 1} of {self.options.epochs}"
        self.ctx.events.emit("metric", f"{name}: loss {loss:.4f}", epoch=epoch + 1, phase=self.ctx.phase, loss=loss)

    def _save(self, epoch: int, batch: int) -> None:
        state = {
            "epoch": epoch,
            "batch": batch,
            "model": self.model.graph.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        self.ctx.save(self.model, state)

    def _resume(self) -> tuple[int, int]:
        state = self.ctx.take_training()
        if state is None:
            return 0, 0
        self.model.graph.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        return int(state["epoch"]), int(state["batch"])


def _layout(model: Model) -> torch.memory_format:
    """Channels last for models of images: several times faster on a CPU, and on a GPU's tensor cores."""
    pictures = any(len(spec.shape) == 4 for spec in model.signature.inputs)
    images = pictures and any(isinstance(module, nn.Conv2d) for _, module in model.layers())
    return torch.channels_last if images else torch.contiguous_format


def _in_memory_bytes(split: Split, model: Model) -> int:
    """What the whole split takes as tensors of the model's own kinds of number."""
    sizes = [array.size * dtype.itemsize for array, dtype in zip(split.x, model.signature.dtypes(), strict=True)]
    return sum(sizes) + (0 if split.y is None else split.y.size * 8)


def _optimizer(graph: nn.Module, options: TrainingOptions) -> torch.optim.Optimizer:
    parameters = [parameter for parameter in graph.parameters() if parameter.requires_grad]
    shared: dict[str, Any] = {"lr": options.learning_rate, "weight_decay": options.weight_decay, "fused": True}
    if options.optimizer == "adamw":
        return torch.optim.AdamW(parameters, **shared)
    return torch.optim.SGD(parameters, momentum=0.9, nesterov=True, **shared)


def _zeros(model: Model) -> list[tuple[Tensor, Tensor]]:
    """Weights of sparse layers with the places that must stay zero. A layer of zeros alone is not sparse but new."""
    found = []
    for _, module in model.layers():
        weight = module.weight
        zeros = 1 - int(weight.count_nonzero()) / weight.numel()
        if 0.01 <= zeros < 1.0:
            found.append((weight, weight == 0))
    return found
