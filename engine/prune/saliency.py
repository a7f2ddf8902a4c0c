"""Mean squares of gradients, which with the weights' own squares say what the loss would lose without a weight
(Molchanov et al. 2019, arXiv 1906.10771, equation 8)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from engine.batches import Batches
from engine.context import Context
from engine.model import Model
from engine.objective import Batch
from engine.randomness import generator

_BATCH = 128


class Gradients(nn.Module):
    """A running mean for each of these weights, kept where the training loop keeps its helpers."""

    def __init__(self, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.weights = tuple(weights)
        for index, weight in enumerate(weights):
            self.register_buffer(str(index), torch.zeros_like(weight))

    def squares(self) -> list[Tensor]:
        return [self.get_buffer(str(index)) for index in range(len(self.weights))]

    @torch.no_grad()
    def gather(self, share: float = 0.001) -> None:
        """Take in the gradients that the weights have now, as this share of the mean.

        A mean over fewer than some thousand batches tells noise from need too badly.
        """
        for weight, mean in zip(self.weights, self.squares(), strict=True):
            if weight.grad is not None:
                mean.lerp_(weight.grad.square(), share)

    def measure(self, model: Model, samples: int, ctx: Context) -> None:
        """The mean over the first batches, until so many samples, in an order of the job's seed; nothing is trained."""
        batches, loss = Batches(ctx.training_data(labels=True), _BATCH, model, ctx.device), ctx.objective().loss
        graph = model.place(ctx.device, batches.layout).eval()
        self.to(ctx.device)
        for chosen in batches.epoch(generator(ctx.spec.seed, ctx.step, ctx.phase), 0):
            if chosen.batch * batches.size >= samples:
                break
            given = Batch(model.run(chosen.inputs), chosen.inputs, chosen.labels, chosen.rows, 0, chosen.batch)
            loss(given).backward()  # type: ignore[no-untyped-call]
            self.gather(1 / (chosen.batch + 1))
            graph.zero_grad(set_to_none=True)
        model.at_rest()
        self.cpu()
