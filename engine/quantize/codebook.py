"""Weight sharing (Deep Compression: Han, Mao and Dally 2015, arXiv 1510.00149, section 3).

The nonzero weights that share a codebook become the centroids of k-means. Fine-tuning then moves the centroids, each by
the sum of its weights' gradients. Where weights may be reassigned, a copy of each goes on learning from the gradient at
its centroid, as if nothing had been rounded (the straight-through estimator: Bengio, Leonard and Courville 2013, arXiv
1308.3432), and the weight has the centroid that is nearest to the copy.
"""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from engine.context import Context
from engine.model import Model, Weighted
from engine.quantize.clusters import Clusters, in_float16, nearest
from engine.randomness import generator
from engine.selected import selected
from engine.train import Aids, train
from pith.techniques.quantize.codebook import QuantizeCodebook


def apply(model: Model, config: QuantizeCodebook, ctx: Context) -> Model:
    books = codebooks(selected(model, config, ctx), config)
    if not ctx.resuming:
        chance = generator(ctx.spec.seed, ctx.step)
        for book in books:
            book.find(Clusters(len(book.values), config.initialization, config.rate_weight, chance))
    if config.recovery is not None:
        train(model, ctx.training_data(labels=True), config.recovery, ctx.objective().loss, ctx, _aids(books))
    for book in books:
        book.cpu().finish(config.float16)
    weights, values = sum(book.places.numel() for book in books), sum(book.distinct() for book in books)
    ctx.note(f"{weights:,} weights have {values:,} values; the file stays as large until it is encoded.")
    return model


def codebooks(layers: dict[str, Weighted], config: QuantizeCodebook) -> "list[Codebook]":
    """One for the weights of each layer, or of all; and one for the biases, where they are to share values too.

    A tensor that several layers have in common is in one codebook, once.
    """
    weights = _unique(layer.weight for layer in layers.values())
    groups = [[weight] for weight in weights] if config.granularity == "layer" else [weights]
    books = [Codebook(group, config.bits, config.reassign) for group in groups]
    biases = _unique(layer.bias for layer in layers.values() if layer.bias is not None)
    if config.bias_bits is not None and biases:
        books.append(Codebook(biases, config.bias_bits, config.reassign))
    return books


def _unique(tensors: Iterable[Tensor]) -> list[Tensor]:
    return list({id(tensor): tensor for tensor in tensors}.values())


def _aids(books: "list[Codebook]") -> Aids:
    def gradients() -> None:
        for book in books:
            book.gather()

    def after(step: int, steps: int) -> None:
        for book in books:
            book.reassign()
            book.write()

    return Aids(helpers=nn.ModuleList(books), gradients=gradients, after=after)


class Codebook(nn.Module):
    """Tensors that share values. ``places`` says which of the values each number has, from 1; those at 0 are zero.

    ``values`` is what the optimizer sees, and ``copies`` of the numbers where those may change places. The tensors are
    the model's own, and not part of this module.
    """

    places: Tensor
    costs: Tensor

    def __init__(self, shared: list[Tensor], bits: int, reassigned: bool) -> None:
        super().__init__()
        self.shared = tuple(shared)
        count = sum(each.numel() for each in shared)
        self.values = nn.Parameter(torch.zeros(2**bits))
        self.copies = nn.Parameter(torch.zeros(count)) if reassigned else None
        self.register_buffer("places", torch.zeros(count, dtype=torch.int32))
        self.register_buffer("costs", torch.zeros(2**bits))

    @torch.no_grad()
    def find(self, clusters: Clusters) -> None:
        """Choose values and places for the numbers that the tensors hold now, and write them."""
        numbers = self._flat(each.detach() for each in self.shared)
        nonzero = numbers != 0
        if nonzero.any():
            values, costs, chosen = clusters.of(numbers[nonzero])
            self.values.copy_(values)
            self.costs.copy_(costs)
            self.places[nonzero] = (chosen + 1).int()
        if self.copies is not None:
            self.copies.copy_(numbers)
        self.write()

    @torch.no_grad()
    def reassign(self) -> None:
        """Every nonzero number gets the value that its copy is nearest to now."""
        if self.copies is not None:
            nonzero = self.places != 0
            self.places[nonzero] = (nearest(self.copies[nonzero], self.values, self.costs) + 1).int()

    @torch.no_grad()
    def write(self) -> None:
        numbers = torch.cat([self.values.new_zeros(1), self.values])[self.places]
        for tensor, part in zip(self.shared, torch.split(numbers, [each.numel() for each in self.shared]), strict=True):
            tensor.copy_(part.view(tensor.shape))

    def gather(self) -> None:
        """The gradient of each value, out of those of the numbers that have it, and those of the copies."""
        gradients = self._flat(torch.zeros_like(each) if each.grad is None else each.grad for each in self.shared)
        total = gradients.new_zeros(len(self.values) + 1).index_add_(0, self.places, gradients)
        self.values.grad = total[1:]
        if self.copies is not None:
            self.copies.grad = gradients * (self.places != 0)
        for tensor in self.shared:
            tensor.grad = None

    @torch.no_grad()
    def finish(self, float16: bool) -> None:
        if float16:
            self.values.copy_(in_float16(self.values))
        self.write()

    def distinct(self) -> int:
        return len(torch.unique(self._flat(each.detach() for each in self.shared)))

    def _flat(self, tensors: Iterable[Tensor]) -> Tensor:
        return torch.cat([tensor.flatten() for tensor in tensors])
