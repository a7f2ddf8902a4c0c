"""Attention heads: where they are found, that removing one is the same as silencing it, and which ones go."""

from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.export import write_onnx
from engine.intake.facts import Origin, describe
from engine.model import Model, read_model
from engine.objective import Batch
from engine.prune import head, heads
from engine.prune.channels import Channels
from engine.prune.heads import Heads, proven
from pith.errors import PithError
from pith.techniques.prune.head import PruneHead
from tests.engine.conformance import applied
from tests.engine.test_plan import planned
from tests.engine.tiny import CLASSES, Cnn, Transformer, examples, lifted
from tests.zoo import eager
from tests.zoo.collection import named

WIDTH, ROWS, COUNT = 32, 8, 4


class Attending(nn.Module):
    """One attention over the rows of the picture, and a layer that reads its mean."""

    heads = COUNT

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Linear(8, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.query, self.key, self.value = (nn.Linear(WIDTH, size) for size in self.sizes())
        self.out = nn.Linear(WIDTH, WIDTH)

    def sizes(self) -> tuple[int, int, int]:
        return WIDTH, WIDTH, WIDTH

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x.squeeze(1))
        out: Tensor = self.last((x + self.attend(x)).mean(1))
        return out

    def attend(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).view(x.shape[0], ROWS, -1, 8).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        return self.mixed(self.weigh(q, k, v))

    def mixed(self, values: Tensor) -> Tensor:
        out: Tensor = self.out(values.transpose(1, 2).reshape(values.shape[0], ROWS, WIDTH))
        return out

    def weigh(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(q, k, v)


class Explicit(Attending):
    """Products and a softmax written out, with dropout between them."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.1)

    def weigh(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        out: Tensor = self.drop(torch.softmax(q @ k.transpose(2, 3) / 8**0.5, -1)) @ v
        return out


class Merged(Explicit):
    """Heads merged with the batch, as older code has them."""

    def weigh(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (each.reshape(-1, ROWS, 8) for each in (q, k, v))
        return torch.bmm(torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1), v).view(-1, COUNT, ROWS, 8)


class Grouped(Attending):
    """Two queries share a key and a value."""

    def sizes(self) -> tuple[int, int, int]:
        return WIDTH, WIDTH // 2, WIDTH // 2

    def weigh(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(q, k, v, enable_gqa=True)


class Repeated(Grouped):
    """The same, keys and values repeated by hand."""

    def weigh(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        k, v = (each[:, :, None].expand(-1, -1, 2, -1, -1).reshape(-1, COUNT, ROWS, 8) for each in (k, v))
        return functional.scaled_dot_product_attention(q, k, v)


class Biased(Attending):
    """A learned bias for each head and distance, and a mask that is stretched over the heads."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(2 * ROWS - 1, COUNT))
        self.register_buffer("distance", (torch.arange(ROWS)[:, None] - torch.arange(ROWS) + ROWS - 1).flatten())

    def weigh(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        bias = self.table[self.distance].view(ROWS, ROWS, COUNT).permute(2, 0, 1)
        seen = torch.ones(ROWS, ROWS).tril().expand(1, COUNT, ROWS, ROWS)
        return functional.scaled_dot_product_attention(q, k, v, bias + (1 - seen) * -9)


class Packed(nn.Module):
    """torch's own layer: one weight for all three, which is no layer's."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.last = nn.Linear(8, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(WIDTH, COUNT, 64, batch_first=True), 2, enable_nested_tensor=False
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.encoder(self.embed(x.squeeze(1))).mean(1))
        return out


KINDS = (Transformer, Attending, Explicit, Merged, Grouped, Repeated, Biased, Packed)


def test_what_goes_with_packed_heads_is_counted() -> None:
    """All the multiplications of queries, keys, values and of what reads them."""
    facts = describe(lifted(Packed), Origin("pt2"))
    layers = {layer.name: layer for layer in facts.layers}
    for each in facts.attention_layers:
        parts = [layers[f"{each.name}.{name}"] for name in ("in_proj", "out_proj")]
        assert each.macs == sum(part.macs or 0 for part in parts) == ROWS * 4 * WIDTH**2
        assert each.parameters == sum(part.parameters for part in parts) - WIDTH  # out_proj keeps its bias


def removed(model: Model, inputs: tuple[Tensor, ...]) -> tuple[Model, float, float]:
    """A model without the first unit of each group; the largest differences to the same with zeros, and as it was."""
    disturbed(model)
    found = proven(model)
    units = [group.units[0] for group in found.groups]
    with torch.no_grad():
        before = model.run(inputs)[0]
        found.channels.zero(units)
        silent = model.run(inputs)[0]
        found.remove(units)
        after = model.run(inputs)[0]
    return model, float((after - silent).abs().max()), float((after - before).abs().max())


def disturbed(model: Model) -> None:
    """No weight is zero or nearly so, as those of fresh models are."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.graph.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_a_head_that_is_removed_is_one_that_is_silent(kind: type[nn.Module], tmp_path: Path) -> None:
    model = lifted(kind)
    assert [each.left_alone for each in Heads(model, {}).attentions] == [None] * (
        2 if kind in (Transformer, Packed) else 1
    )
    model, difference, change = removed(model, examples(kind, 3))
    assert difference < 1e-5 < 1e-3 < change
    (x,) = examples(kind, 5)
    wanted = model.graph(x)
    assert torch.allclose(model.program().module()(x), wanted, atol=1e-5)
    write_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    assert torch.allclose(torch.from_numpy(session.run(None, {"input": x.numpy()})[0]), wanted, atol=1e-4)
    model.graph.train()(x).sum().backward()
    assert all(parameter.grad is not None for parameter in model.graph.parameters())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("name", "attentions", "units"),
    [
        ("bert-tiny", 2, 4),
        ("distilbert-tiny", 2, 4),
        ("swin_tiny_patch4_window7_224", 5, 3),
        ("eva02_tiny_patch14_224", 2, 3),
    ],
)
def test_models_of_the_zoo(name: str, attentions: int, units: int, tmp_path: Path) -> None:
    entry = named(name)
    eager.export(eager.built(entry), entry.inputs(2), tmp_path / "model.pt2")
    model = read_model(tmp_path / "model.pt2", tmp_path)
    found = proven(model)
    assert (len(found.attentions), len(found.groups[0].units)) == (attentions, units)
    model, difference, change = removed(model, entry.inputs(3))
    assert difference < 1e-4 * max(1.0, change) and change > 1e-4
    assert len(model.program().module()(*entry.inputs(5))) == 5


def test_what_goes_with_a_head_and_nothing_else() -> None:
    model = lifted(Grouped)
    (group,) = proven(model).groups
    assert len(group.units) == 2
    (attention,) = Heads(model, {}).attentions
    assert attention.units[0] == attention.units[1] != attention.units[2] == attention.units[3]
    scale = next(node for node in model.graph.graph.nodes if "scaled_dot" in str(node.target)).kwargs["scale"]
    model, _, _ = removed(model, examples(Grouped, 3))
    sizes = {name: tuple(module.weight.shape) for name, module in model.layers()}
    assert sizes["query"] == (16, 32) and sizes["key"] == sizes["value"] == (8, 32) and sizes["out"] == (32, 16)
    assert sizes["embed"] == (32, 8) and sizes["last"] == (CLASSES, 32)
    after = next(node for node in model.graph.graph.nodes if "scaled_dot" in str(node.target)).kwargs["scale"]
    assert after == scale == 8**-0.5


def test_channel_pruning_still_leaves_heads_alone() -> None:
    free = {name for group in Channels(lifted(Attending)).groups for name in group.layers}
    assert free == {"embed", "out"}


def test_one_head_is_left_alone_and_told() -> None:
    class Single(Attending):
        def attend(self, x: Tensor) -> Tensor:
            q, k, v = (layer(x).view(x.shape[0], 1, ROWS, WIDTH) for layer in (self.query, self.key, self.value))
            return self.mixed(self.weigh(q, k, v))

    assert proven(lifted(Single)).left_alone() == {"scaled_dot_product_attention": "it has one head"}


def test_a_head_whose_removal_does_not_agree_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model = lifted(Transformer)
    first = Heads(model, {}).groups[0]
    agrees = heads._agrees
    monkeypatch.setattr(
        heads, "_agrees", lambda model, found, groups: first not in groups and agrees(model, found, groups)
    )
    found = proven(model)
    assert list(found.left_alone()) == list(first.attentions) and len(found.groups) == 1
    assert "did not compute the same" in found.left_alone()[first.attentions[0]]


def test_sensitivity_is_the_derivative_by_a_factor_on_the_head() -> None:
    """|dL/dm| of each sample by finite differences: m scales the columns of the layer that reads the head."""
    model = lifted(Attending)
    disturbed(model)
    found = Heads(model, {})
    x, labels = torch.randn(6, 1, 8, 8), torch.arange(6) % CLASSES

    def loss(batch: Batch) -> Tensor:
        assert batch.labels is not None
        return functional.cross_entropy(batch.outputs[0], batch.labels)

    measured = head.Sensitivity(model, found.attentions)
    measured.add((x[:4],), labels[:4], loss)
    measured.add((x[4:],), labels[4:], loss)
    given, weight, step = measured.mean(), model.graph.get_submodule("out").weight, 1e-2
    for number, unit in enumerate(found.attentions[0].units):
        losses = []
        for factor in (1 + step, 1 - step):
            kept = weight.detach().clone()
            with torch.no_grad():
                weight[:, 8 * number : 8 * number + 8] *= factor
                losses.append(functional.cross_entropy(model.graph(x), labels, reduction="none").double())
                weight.copy_(kept)
        wanted = float(((losses[0] - losses[1]) / (2 * step)).abs().mean())
        assert given[unit] == pytest.approx(wanted, rel=2e-2, abs=1e-5)


def counts(model: Model) -> list[int]:
    return [each.heads for each in Heads(model, {}).attentions]


def pruned(root: Path, net: type[nn.Module] = Transformer, **options: Any) -> tuple[Model, Model]:
    return applied("prune.head", root, net, **{"iterations": 1, "recovery": None, **options})


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ({"pruning_ratio": 0.5}, [2, 2]),
        ({"pruning_ratio": 0.9}, [1, 1]),
        ({"pruning_ratio": 0.25, "iterations": 3}, [3, 3]),
    ],
)
@pytest.mark.parametrize("importance", ["taylor", "magnitude"])
def test_every_attention_loses_its_part(
    options: dict[str, Any], left: list[int], importance: str, tmp_path: Path
) -> None:
    _, after = pruned(tmp_path, importance=importance, **options)
    assert counts(after) == left


def test_the_weakest_heads_go_first(tmp_path: Path) -> None:
    before, after = pruned(tmp_path, importance="magnitude", pruning_ratio=0.25)
    weight, out = (before.graph.get_submodule(name).weight.detach() for name in ("qkv.0", "out.0"))
    norms = (weight.view(3, 4, 8, 32) ** 2).sum((0, 2, 3)) + (out.view(32, 4, 8) ** 2).sum((0, 2))
    kept = [number for number in range(4) if number != int(norms.argmin())]
    assert torch.equal(after.graph.get_submodule("out.0").weight, out.view(32, 4, 8)[:, kept].reshape(32, 24))
    assert torch.equal(after.graph.get_submodule("qkv.0").weight, weight.view(3, 4, 8, 32)[:, kept].reshape(72, 32))


def test_over_all_attentions_as_many_go_and_each_keeps_one() -> None:
    found = Heads(lifted(Transformer), {})
    first, second = (group.units for group in found.groups)
    worth = dict.fromkeys(first, 1.0) | {unit: 10.0**number for number, unit in enumerate(second)}
    sizes = {group.key: 4 for group in found.groups}
    for ratio, gone in ((0.5, set(second[:3]) | {first[0]}), (0.9, {*second[:3], *first[:3]})):
        config = PruneHead(pruning_ratio=ratio, scope="global")
        assert head.chosen(found, worth, config, sizes) == gone


def test_named_attentions_stay(tmp_path: Path) -> None:
    _, after = pruned(tmp_path, ignore=["*_1"], pruning_ratio=0.5)
    assert counts(after) == [2, 4]


def test_what_cannot_be_done_is_said_with_the_way_out(tmp_path: Path) -> None:
    cases: list[tuple[type[nn.Module], dict[str, Any], str]] = [
        (Cnn, {}, "the model has no attention; leave this step out"),
        (Transformer, {"ignore": ["*"]}, "scaled_dot_product_attention: it is named in ignore"),
        (Transformer, {"ignore": ["blocks.*"]}, "'blocks.*', which matches no layer; name some of scaled_dot"),
        (Transformer, {"pruning_ratio": 0.1}, "no attention has enough heads to lose 10% of them; raise pruning_ratio"),
    ]
    for number, (net, options, said) in enumerate(cases):
        with pytest.raises(PithError, match="technique_inapplicable") as caught:
            pruned(tmp_path / str(number), net, **options)
        assert said in caught.value.problem.detail


def test_a_share_that_cannot_go_is_noted_as_it_is_done(tmp_path: Path) -> None:
    (step,) = planned(Transformer, [{"kind": "prune.head", "pruning_ratio": 0.9}]).steps
    _, after = pruned(tmp_path, pruning_ratio=0.9)
    assert counts(after) == [1, 1]
    assert step.does.startswith("Removes 6 of 8 heads")
    (note,) = step.notes
    assert note.startswith("75% of the heads in question go (6 of 8), not 90%: every attention keeps one")
    assert planned(Transformer, [{"kind": "prune.head", "pruning_ratio": 0.75}]).steps[0].notes == ()
