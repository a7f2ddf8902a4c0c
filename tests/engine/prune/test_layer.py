"""Whole blocks: which ones can go, that the model without them is the model that skips them, and which go first."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from engine.lift import lift
from engine.model import Model
from engine.prune import layer
from engine.prune.blocks import Block, blocks, evenly, without
from engine.prune.layer import influence
from pith.errors import PithError
from pith.techniques.prune.layer import PruneLayer
from tests.engine.conformance import applied, asked, opened
from tests.engine.tiny import CLASSES, Cnn, Mlp, Transformer, examples, lifted


class Residual(nn.Module):
    """Two layers and the way around them."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.norm, self.two = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.two(torch.relu(self.norm(self.one(x)))))


class Stages(nn.Module):
    """Three blocks in two stages, with a layer between that changes the width."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.last = nn.Conv2d(1, 8, 3, padding=1), nn.Linear(8, CLASSES)
        self.first, self.second = nn.Sequential(Residual(), Residual(), Residual()), nn.Sequential(Residual())
        self.down = nn.Conv2d(8, 8, 2, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(self.second(self.down(self.first(self.stem(x)))).mean((2, 3)))
        return out


class Plain(nn.Module):
    """No way around anything, and one layer as wide as what it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(64, 16), nn.Linear(16, 16), nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.last(torch.relu(self.two(torch.relu(self.one(x.flatten(1))))))
        return out


class Skipping(fx.Interpreter):
    """The model as it is, but that a block gives what it reads."""

    def __init__(self, graph: fx.GraphModule, gone: list[Block]) -> None:
        super().__init__(graph, garbage_collect_values=False)
        self.entries = {block.exit: block.entry for block in gone}
        self.named = {node.name: node for node in graph.graph.nodes}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        return self.env[self.named[self.entries[n.name]]].clone() if n.name in self.entries else result


@pytest.mark.parametrize(
    ("kind", "names", "residual"),
    [
        (Cnn, ["block"], True),
        (Transformer, ["out.0", "mlp.0", "out.1", "mlp.1"], True),
        (Stages, ["first.0", "first.1", "first.2", "second.0"], True),
        (Plain, ["two"], False),
        (Mlp, [], True),
    ],
)
def test_what_can_go(kind: type[nn.Module], names: list[str], residual: bool) -> None:
    found = blocks(lifted(kind))
    assert [block.name for block in found] == names
    assert all(block.residual is residual for block in found)


@pytest.mark.parametrize("kind", [Cnn, Transformer, Stages, Plain])
@pytest.mark.parametrize("every", [slice(None), slice(None, None, 2), slice(None, None, -1)])
def test_a_block_that_is_gone_is_one_that_is_skipped(kind: type[nn.Module], every: slice) -> None:
    model = lifted(kind)
    gone, before = list(blocks(model))[every], sum(each.numel() for each in model.graph.parameters())
    (x,) = examples(kind, 5)
    with torch.no_grad():
        wanted, whole = Skipping(model.graph, gone).run(x), model.graph(x)
        small = without(model.copy(), gone)
        given = small.graph(x)
    assert torch.equal(given, wanted) and not torch.allclose(given, whole, atol=1e-4)
    after = sum(each.numel() for each in small.graph.parameters())
    assert before - after == sum(block.parameters for block in gone) > 0
    assert torch.equal(Model(*lift(small.program())).graph(x), given)
    assert {name for name, _ in model.layers()} - {name for name, _ in small.layers()} == {
        name for block in gone for name in block.layers
    }


def test_evenly_is_as_distilbert_has_it() -> None:
    twelve = [Block(str(number), "", "", (), (), 0, True) for number in range(12)]
    gone = {block.name for block in evenly(twelve, 0.5)}
    assert [number for number in range(12) if str(number) not in gone] == [0, 2, 4, 7, 9, 11]
    assert len(evenly(twelve, 0.01)) == 11 and evenly(twelve, 1.0) == ()


def pruned(root: Path, net: type[nn.Module] = Transformer, **options: Any) -> tuple[Model, Model]:
    return applied("prune.layer", root, net, **{"iterations": 1, "recovery": None, **options})


def test_the_block_without_which_the_loss_is_least_goes_first(tmp_path: Path) -> None:
    ctx = opened(asked("prune.layer", tmp_path, Transformer))
    model, split = ctx.baseline.copy(), ctx.validation()
    (x,), labels = split.inputs(slice(None), model.signature.dtypes()), split.labels(slice(None))
    with torch.no_grad():
        losses = {
            block.name: float(functional.cross_entropy(Skipping(model.graph, [block]).run(x), labels))
            for block in blocks(model)
        }
    after = layer.apply(model, PruneLayer(layers=1), ctx)
    ctx.events.close()
    assert losses.keys() - {block.name for block in blocks(after)} == {min(losses, key=lambda name: losses[name])}


def test_a_block_that_does_nothing_goes_first(tmp_path: Path) -> None:
    ctx = opened(asked("prune.layer", tmp_path, Transformer))
    model = ctx.baseline.copy()
    with torch.no_grad():
        for name in ("mlp.0.2", "out.1"):
            model.graph.get_submodule(name).weight.mul_(0)
            model.graph.get_submodule(name).bias.mul_(0)
        for name in ("out.0", "mlp.1.2"):
            model.graph.get_submodule(name).weight.mul_(20)
    (x,) = examples(Transformer, 4)
    wanted = model.graph(x)
    config = PruneLayer(layers=2, importance="similarity")
    after = layer.apply(model, config, ctx)
    ctx.events.close()
    assert [block.name for block in blocks(after)] == ["out.0", "mlp.1"]
    assert torch.allclose(after.graph(x), wanted, atol=1e-6)


def test_influence_is_one_minus_the_cosine(tmp_path: Path) -> None:
    ctx = opened(asked("prune.layer", tmp_path, Transformer))
    ctx.events.close()
    model, split = ctx.baseline.copy(), ctx.validation()
    found = blocks(model)
    given = influence(model, found, split, 10, ctx.device)
    (x,) = split.inputs(slice(0, 10), model.signature.dtypes())
    walk = Skipping(model.graph, [])
    with torch.no_grad():
        walk.run(x)
    for block, score in zip(found, given, strict=True):
        read, gives = (walk.env[walk.named[name]].double() for name in (block.entry, block.exit))
        cosine = (read * gives).sum(-1) / (read.norm(dim=-1) * gives.norm(dim=-1))
        assert score == pytest.approx(float((1 - cosine).mean()), abs=1e-5)


@pytest.mark.parametrize(
    ("options", "left"), [({"layers": 3}, 1), ({"pruning_ratio": 0.5}, 2), ({}, 3), ({"layers": 2, "iterations": 2}, 2)]
)
def test_so_many_go(options: dict[str, Any], left: int, tmp_path: Path) -> None:
    assert len(blocks(pruned(tmp_path, **options)[1])) == left


def test_named_blocks_stay(tmp_path: Path) -> None:
    assert {"out.0", "out.1"} <= {block.name for block in blocks(pruned(tmp_path, layers=2, ignore=["out.*"])[1])}


def test_what_cannot_be_done_is_said_with_the_way_out(tmp_path: Path) -> None:
    cases: list[tuple[type[nn.Module], dict[str, Any], str]] = [
        (Mlp, {}, "the model has no block that may be removed; leave this step out"),
        (Transformer, {"ignore": ["*"]}, "shorten ignore or leave this step out"),
        (Transformer, {"layers": 5}, "4 blocks that may be removed, and 5 are to go; set layers to 4 or less"),
        (Transformer, {"ignore": ["blocks.*"]}, "'blocks.*', which matches no layer; name some of out.0, mlp.0"),
    ]
    for number, (net, options, said) in enumerate(cases):
        with pytest.raises(PithError, match="technique_inapplicable") as caught:
            pruned(tmp_path / str(number), net, **options)
        assert said in caught.value.problem.detail
    with pytest.raises(ValueError, match="two targets"):
        PruneLayer(layers=1, pruning_ratio=0.5)
