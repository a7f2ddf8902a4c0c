"""The only training loop: recovery, fine-tuning, distillation and what else trains pass it a loss and, where they need
more than that, ``Aids``.

Every random stream derives from (seed, step, phase, epoch, batch), so a run that is resumed from a checkpoint ends
with the same bits as one that was never disturbed. On a GPU it computes in bfloat16 where that is safe (autocast).

When memory runs out, each batch is cut into twice as many pieces and computed again; where processes train together
(``engine.group``), each computes its pieces of every batch. Not covered: a loss that compares the samples of a batch
with one another compares those of a piece then.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.batches import Batches, Chosen
from engine.collapse import Collapse
from engine.context import Context
from engine.data import Split
from engine.model import Model
from engine.objective import Batch, Loss
from engine.pieces import Buffers, cut, ran_out, sentence, tidy
from engine.randomness import generator, stream
from engine.rates import Groups, groups_of, set_rates
from pith.errors import PithError
from pith.training import TrainingOptions

CHECK_EVERY = 25
AUGMENTATION, PIECE = 1, 2


@dataclass(frozen=True)
class Aids:
    """What a technique may give the loop besides a loss.

    ``forward``    is run instead of the model's graph; it shares the graph's layers, and gives the same outputs first,
                   then others, such as features
    ``helpers``    modules that are trained with the model, or only kept in its checkpoints; the caller has them after
    ``rate``       ``rate(name, epoch)``: a factor on the learning rate of each of the model's parameters; 0 freezes it
    ``gradients``  is called after each backward pass, before the optimizer's step
    ``after``      ``after(step, steps)`` is called after each optimizer step, without gradients, ``step`` counting from
                   1 over all epochs; True says that it has set other weights to zero, which stay so from then on
    ``watched``    whether a fall of accuracy is a collapse; not where something else than the outputs is trained
    """

    forward: Callable[..., Any] | None = None
    helpers: nn.Module | None = None
    rate: Callable[[str, int], float] | None = None
    gradients: Callable[[], None] | None = None
    after: Callable[[int, int], bool | None] | None = None
    watched: bool = True


NO_AIDS = Aids()


def train(model: Model, split: Split, options: TrainingOptions, loss: Loss, ctx: Context, aids: Aids = NO_AIDS) -> None:
    """Train the model's graph in place and leave it in eval mode on the CPU.

    ``loss(batch)`` gives a scalar. Weights of a sparse layer that are zero stay zero. When the loss is no longer
    finite, or accuracy has collapsed, training ends with the weights of the last good epoch, and a note says so.

    Raises:
        PithError: ``training_diverged`` where there is no good epoch to go back to.
    """
    _Training(model, split, options, loss, ctx, aids).run()


class _Diverged(Exception):
    """The loss is not finite any more."""


class _Training:
    def __init__(
        self, model: Model, split: Split, options: TrainingOptions, loss: Loss, ctx: Context, aids: Aids
    ) -> None:
        self.model, self.options, self.loss, self.ctx, self.aids = model, options, loss, ctx, aids
        self.batches = Batches(split, options.batch_size, model, ctx.device)
        self.graph = model.place(ctx.device, self.batches.layout)
        self.helpers = (aids.helpers or nn.Module()).to(ctx.device)
        self.groups: Groups = groups_of(self.graph, self.helpers, aids.rate, options.epochs)
        self.optimizer = _optimizer(self.groups, options)
        self.zeros = _zeros(model)
        self.place = (ctx.step, ctx.phase)
        self.group = ctx.group
        self.buffers = Buffers((self.graph, self.helpers))
        self.collapse = Collapse(model, ctx, aids.watched)
        self.good: dict[str, Any] | None = None
        self.total = torch.zeros((), device=ctx.device)

    def run(self) -> None:
        epoch, batch = self._resume()
        self._come_together()
        if (epoch, batch) == (0, 0):
            self._begin()
        self._say_pieces()
        try:
            for number in range(epoch, self.options.epochs):
                mean = self._epoch(number, batch if number == epoch else 0)
                self._report(number, mean)
                self._end(number, mean)
        except _Diverged as problem:
            self._go_back(str(problem))
        self.graph.requires_grad_(True)
        self.model.at_rest()

    def _epoch(self, epoch: int, start: int) -> float:
        self._prepare(epoch)
        order = generator(self.ctx.spec.seed, *self.place, epoch)
        if start == 0:
            self.total = torch.zeros((), device=self.ctx.device)
        unchecked = 0
        for chosen in self.batches.epoch(order, start):
            self.total += self._step(epoch, chosen)
            unchecked += 1
            if unchecked == CHECK_EVERY or chosen.batch == self.batches.count - 1:
                self._check(self.total, epoch, chosen.batch)
                unchecked = 0
            if self.ctx.checkpoints.due():
                self._save(epoch, chosen.batch + 1)
        return float(self.total) / self.batches.count

    def _prepare(self, epoch: int) -> None:
        """Training mode, but for what is frozen: its weights, and the statistics of its norms."""
        self.graph.train()
        self.helpers.train()
        self.groups.freeze(epoch)

    def _step(self, epoch: int, chosen: Chosen) -> Tensor:
        whole = Chosen(chosen.batch, chosen.rows, *self._augmented(epoch, chosen))
        done = epoch * self.batches.count + chosen.batch
        set_rates(self.optimizer, self.groups, self._rate(done), epoch)
        self.buffers.keep()
        while (loss := self._gradients(epoch, whole)) is None:
            self._cut(len(whole.rows))
        if self.aids.gradients is not None:
            self.aids.gradients()
        self.optimizer.step()
        self._keep(done + 1)
        self.group.spread(self.buffers.live)
        return loss

    def _gradients(self, epoch: int, whole: Chosen) -> Tensor | None:
        """Of the whole batch, whoever computes it and in however many pieces; its loss, or None when memory ran out."""
        self.optimizer.zero_grad(set_to_none=True)
        learning = [each for group in self.groups.parameters for each in group if each.requires_grad]
        return self.group.add_up(learning, self._own_gradients(epoch, whole))

    def _own_gradients(self, epoch: int, whole: Chosen) -> Tensor | None:
        """Of this process's pieces."""
        total = torch.zeros((), device=self.ctx.device)
        pieces = cut(len(whole.rows), self.ctx.pieces)
        try:
            for number in range(self.group.rank, len(pieces), self.group.size):
                total += self._gradient(epoch, whole, pieces[number], number, len(pieces))
        except (RuntimeError, MemoryError) as error:
            if not ran_out(error):
                raise
            self.optimizer.zero_grad(set_to_none=True)
            return None
        return total

    def _gradient(self, epoch: int, whole: Chosen, piece: slice, number: int, count: int) -> Tensor:
        """Add that of a piece, by its share of the batch. A batch in one piece has the random stream of the batch."""
        place = (epoch, whole.batch) if count == 1 else (epoch, whole.batch, PIECE, number)
        torch.manual_seed(stream(self.ctx.spec.seed, *self.place, *place))
        inputs = tuple(each[piece] for each in whole.inputs) if count > 1 else whole.inputs
        labels = whole.labels if whole.labels is None or count == 1 else whole.labels[piece]
        rows = whole.rows[piece]
        with torch.autocast(self.ctx.device.type, torch.bfloat16, enabled=self.ctx.device.type == "cuda"):
            outputs = self._outputs(inputs)
            loss = self.loss(Batch(outputs, inputs, labels, rows, epoch, whole.batch))
        share = len(rows) / len(whole.rows)
        (loss * share if count > 1 else loss).backward()  # type: ignore[no-untyped-call]
        return loss.detach() * share

    def _cut(self, samples: int) -> None:
        """Memory ran out: twice as many pieces from now on.

        Raises:
            PithError: ``out_of_memory`` when the batch is in the smallest pieces.
        """
        self.optimizer.zero_grad(set_to_none=True)
        self.buffers.put_back()
        tidy()
        now = self.ctx.pieces
        if len(cut(samples, 2 * now)) == len(cut(samples, now)):
            raise PithError("out_of_memory", limit="its memory limit")
        self.ctx.pieces = 2 * now
        self._say_pieces()

    def _come_together(self) -> None:
        """All processes begin with the same weights."""
        modules = (self.graph, self.helpers)
        self.group.insist(named for module in modules for named in module.state_dict().items())
        self.group.spread(each for module in modules for each in (*module.parameters(), *module.buffers()))

    def _say_pieces(self) -> None:
        if self.ctx.pieces > 1:
            said = sentence(self.batches.size, self.ctx.pieces, self.group.size, self.graph)
            if said not in self.ctx.notes:
                self.ctx.note(said)

    def _outputs(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.aids.forward is None:
            return self.model.run(inputs)
        given = self.aids.forward(*inputs)
        return given if isinstance(given, tuple) else (given,)

    @torch.no_grad()
    def _keep(self, step: int) -> None:
        for weight, zero in self.zeros:
            weight.masked_fill_(zero, 0.0)
        if self.aids.after is not None and self.aids.after(step, self.options.epochs * self.batches.count):
            self.zeros = _zeros(self.model)

    def _augmented(self, epoch: int, chosen: Chosen) -> tuple[tuple[Tensor, ...], Tensor | None]:
        """From a random stream of its own, so that a model's dropout is the same with augmentation and without."""
        if self.ctx.augmenter is None:
            return chosen.inputs, chosen.labels
        classes = self.model.signature.outputs[0].shape[-1] or 0
        seed = stream(self.ctx.spec.seed, *self.place, epoch, chosen.batch, AUGMENTATION)
        return self.ctx.augmenter(chosen.inputs, chosen.labels, seed, classes)

    def _rate(self, step: int) -> float:
        total = self.options.epochs * self.batches.count
        decay = 0.5 * (1 + math.cos(math.pi * step / total)) if self.options.schedule == "cosine" else 1.0
        return self.options.learning_rate * decay

    def _check(self, total: Tensor, epoch: int, batch: int) -> None:
        if not math.isfinite(total):
            if self.good is not None and self.good["epoch"] >= 0:
                raise _Diverged(f"the loss became {float(total)} in epoch {epoch + 1}, batch {batch + 1}")
            raise PithError(
                "training_diverged",
                loss=str(float(total)),
                epoch=epoch + 1,
                batch=batch + 1,
                learning_rate=self.options.learning_rate,
            )
        done = (epoch + (batch + 1) / self.batches.count) / self.options.epochs
        self.ctx.progress(done, f"epoch {epoch + 1} of {self.options.epochs}")

    def _begin(self) -> None:
        """What the model can do now is what may collapse."""
        if self.group.told(self.collapse.of_epoch(math.inf, last=False) is None and self.collapse.learnt):
            self.good = {"epoch": -1, **copy.deepcopy(self._weights())}

    def _end(self, epoch: int, loss: float) -> None:
        """The epoch was a good one, or the one before it was the last."""
        last = epoch + 1 == self.options.epochs
        fallen = self.collapse.of_epoch(loss, last)
        if self.collapse.now is not None:
            self._record(self.collapse.watches, epoch, self.collapse.now)
        if self.group.told(fallen is not None):
            raise _Diverged(f"{fallen} in epoch {epoch + 1}")
        if not last:
            self.good = {"epoch": epoch, **copy.deepcopy(self._weights())}

    def _go_back(self, what: str) -> None:
        assert self.good is not None
        self._load_weights(self.good)
        epochs = self.good["epoch"] + 1
        kept = f"The weights {f'after epoch {epochs}' if epochs else 'from before it'} were kept."
        rate = self.options.learning_rate
        self.ctx.note(f"Training ended early: {what}. {kept} Lower the learning rate, which was {rate:g}.")

    def _report(self, epoch: int, loss: float) -> None:
        name = f"epoch {epoch + 1} of {self.options.epochs}"
        self.ctx.events.emit("metric", f"{name}: loss {loss:.4f}", epoch=epoch + 1, phase=self.ctx.phase, loss=loss)
        self._record("loss", epoch, loss)

    def _record(self, name: str, epoch: int, value: float) -> None:
        self.ctx.curves.record(self.place, name, epoch + 1, value, self.options.epochs, self.ctx.phase_count)

    def _weights(self) -> dict[str, Any]:
        return {"model": self.graph.state_dict(), "helpers": self.helpers.state_dict()}

    def _load_weights(self, state: dict[str, Any]) -> None:
        self.graph.load_state_dict(state["model"])
        self.helpers.load_state_dict(state["helpers"])

    def _save(self, epoch: int, batch: int) -> None:
        state = {
            "epoch": epoch,
            "batch": batch,
            "optimizer": self.optimizer.state_dict(),
            "good": self.good,
            "total": self.total,
            "best": self.collapse.best,
            "least": self.collapse.least,
            **self._weights(),
        }
        self.ctx.save(self.model, state)

    def _resume(self) -> tuple[int, int]:
        state = self.ctx.take_training()
        if state is None:
            return 0, 0
        self._load_weights(state)
        self.optimizer.load_state_dict(state["optimizer"])
        self.good, self.total = state["good"], state["total"].to(self.ctx.device)
        self.collapse.best, self.collapse.least = state["best"], state["least"]
        self.zeros = _zeros(self.model)
        return int(state["epoch"]), int(state["batch"])


def _optimizer(groups: Groups, options: TrainingOptions) -> torch.optim.Optimizer:
    parameters: list[dict[str, Any]] = [{"params": each} for each in groups.parameters]
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
