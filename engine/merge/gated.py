"""A mixture of experts: a small trained network weighs the members by the input.

Jacobs, Jordan, Nowlan and Hinton 1991, Adaptive Mixtures of Local Experts. The loss is the task's, of the mixture; the
members are at rest while the gate learns.
"""

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from engine.batches import Batches
from engine.context import Context
from engine.merge.ensemble import COMBINE, averaged, members, mixed, scores, side_by_side
from engine.model import Model
from engine.randomness import generator, stream
from engine.signature import Signature, Sizes
from engine.train import Aids, train
from pith.techniques.merge.gated import MergeGated

OUTPUTS = 'set sees to "outputs"'
PICTURE, LONGEST, WORD = 8, 1024, 16
STANDARD_SAMPLES = 2048


def apply(model: Model, config: MergeGated, ctx: Context) -> Model:
    split = ctx.training_data(labels=True)
    if not ctx.resuming:
        found = members(model, config, ctx)
        gate = _gate(found, config, scores(model, ctx), ctx)
        model = side_by_side(found, gate, sees_inputs=True)
    aids = Aids(forward=partial(_at_rest, model.graph), rate=lambda name, epoch: float(name.startswith(f"{COMBINE}.")))
    train(model, split, config, ctx.objective().loss, ctx, aids)
    return model


def _at_rest(graph: fx.GraphModule, *inputs: Tensor) -> Any:
    """Members run as they will; the gate is the same in both modes."""
    return graph.eval()(*inputs)


def _gate(found: Sequence[Model], config: MergeGated, probabilities: bool, ctx: Context) -> "Gate":
    words = _words(found) if config.sees != "outputs" else {}
    if (
        config.sees == "inputs"
        and not words
        and not any(spec.dtype.is_floating_point for spec in found[0].signature.inputs)
    ):
        raise ctx.inapplicable("the gate can read none of the inputs, which are integers and no tokens", OUTPUTS)
    torch.manual_seed(stream(ctx.spec.seed, ctx.step, ctx.phase))
    eye = Eye(found[0].signature, words, config.sees, probabilities)
    return Gate(eye, config.hidden, _samples(found, ctx), len(found))


def _words(found: Sequence[Model]) -> dict[int, int]:
    """The inputs, by place, that go straight into an embedding, and how many tokens all members know there."""
    sizes: dict[int, int] = {}
    for model in found:
        inputs = [node for node in model.graph.graph.nodes if node.op == "placeholder"]
        for place, node in enumerate(inputs):
            for user in node.users:
                module = model.graph.get_submodule(str(user.target)) if user.op == "call_module" else None
                if isinstance(module, nn.Embedding):
                    sizes[place] = min(module.num_embeddings, sizes.get(place, module.num_embeddings))
    return sizes


@torch.no_grad()
def _samples(found: Sequence[Model], ctx: Context) -> tuple[Tensor, ...]:
    """Some of the training split as the gate is given it: the inputs, then every output of all members."""
    split = ctx.training_data(labels=True)
    order = torch.randperm(len(split), generator=generator(ctx.spec.seed, ctx.step))
    inputs, _ = Batches(split, STANDARD_SAMPLES, found[0], torch.device("cpu")).take(order[:STANDARD_SAMPLES])
    given = [model.run(inputs) for model in found]
    return *inputs, *(torch.stack(outputs) for outputs in zip(*given, strict=True))


class Eye(nn.Module):
    """What the gate sees: one row of features a sample, of the inputs, of the members' first outputs, or of both.

    Pictures are averaged to 8 x 8 and long rows to 1024 numbers, sizes that are free are averaged over, tokens are the
    mean of embeddings that are learnt.
    """

    def __init__(self, signature: Signature, words: Mapping[int, int], sees: str, probabilities: bool) -> None:
        super().__init__()
        self.inputs, self.output = signature.inputs, signature.outputs[0]
        self.sees, self.probabilities = sees, probabilities
        self.places = tuple(words)
        self.tables = nn.ModuleList(nn.Embedding(rows, WORD) for rows in words.values())

    def plain(self, *given: Tensor) -> Tensor | None:
        """The features that are not learnt, of shape (batch, features)."""
        found = []
        if self.sees != "outputs":
            pairs = zip(given, self.inputs, strict=False)
            found += [summary(value, spec.shape) for value, spec in pairs if spec.dtype.is_floating_point]
        if self.sees != "inputs":
            said = given[len(self.inputs)]
            said = torch.log_softmax(said, -1) if self.probabilities else said
            found += [summary(said[index], self.output.shape) for index in range(said.shape[0])]
        return torch.cat(found, 1) if found else None

    def learnt(self, *given: Tensor) -> list[Tensor]:
        rows = [table(given[place]) for place, table in zip(self.places, self.tables, strict=True)]
        return [row.flatten(1, -2).mean(1) if row.ndim > 2 else row for row in rows]


def summary(value: Tensor, shape: Sizes) -> Tensor:
    """A row of at most about 1024 numbers for each sample."""
    free = [index for index, size in enumerate(shape) if size is None and index]
    if free:
        value = value.mean(free)
    elif value.ndim == 4:
        kernel = [math.ceil(size / PICTURE) for size in value.shape[2:]]
        value = functional.avg_pool2d(value, kernel)
    row = value.reshape(value.shape[0], -1)
    width = math.ceil(row.shape[1] / LONGEST)
    return functional.avg_pool1d(row[:, None], width)[:, 0] if width > 1 else row


class Gate(nn.Module):
    """Outputs averaged with weights that one hidden layer gives for each sample; equal ones before it is trained."""

    mean: Tensor
    scale: Tensor

    def __init__(self, eye: Eye, hidden: int, samples: tuple[Tensor, ...], members: int) -> None:
        super().__init__()
        self.eye = eye
        plain, learnt = eye.plain(*samples), WORD * len(eye.tables)
        width = 0 if plain is None else plain.shape[1]
        if plain is not None:
            self.register_buffer("mean", plain.mean(0))
            self.register_buffer("scale", 1 / plain.std(0, correction=0).clamp(min=1e-6))
        self.hidden = nn.Linear(width + learnt, hidden)
        self.shares = nn.Linear(hidden, members)
        nn.init.zeros_(self.shares.weight)
        nn.init.zeros_(self.shares.bias)

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        plain = self.eye.plain(*given)
        standard = [] if plain is None else [(plain - self.mean) * self.scale]
        features = torch.cat([*standard, *self.eye.learnt(*given)], 1)
        chosen = torch.log_softmax(self.shares(torch.tanh(self.hidden(features))), 1).transpose(0, 1)
        first, *others = given[len(self.eye.inputs) :]
        joined = mixed(first, chosen) if self.eye.probabilities else averaged(first, chosen.exp())
        return joined, *(averaged(each, chosen.exp()) for each in others)
