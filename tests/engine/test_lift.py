"""Lifting: exact, trainable, exportable again, names kept."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.export import Dim

from engine.lift import lift
from engine.model import Model
from pith.errors import PithError
from tests.engine.tiny import Cnn, Mlp, Transformer, built, exported, lifted

KINDS = [Cnn, Mlp, Transformer]


@pytest.mark.parametrize("kind", KINDS)
def test_lifted_graph_gives_exactly_the_same_outputs_under_the_same_names(kind: type[nn.Module]) -> None:
    net = built(kind)
    graph, signature = lift(exported(net))
    x = torch.randn(5, 1, 8, 8)
    assert torch.equal(graph(x), net(x))
    assert {name for name, _ in graph.named_parameters()} == {name for name, _ in net.named_parameters()}
    assert signature.inputs[0].shape == (None, 1, 8, 8) and signature.outputs[0].shape == (None, 4)


@pytest.mark.parametrize("kind", KINDS)
def test_lifted_graph_exports_and_lifts_again_with_no_difference(kind: type[nn.Module]) -> None:
    model = Model(*lift(exported(built(kind))))
    again, signature = lift(model.program())
    x = torch.randn(7, 1, 8, 8)
    assert torch.equal(again(x), model.graph(x))
    assert signature == model.signature
    assert repr(again) == repr(model.graph)


def test_train_mode_works_again_whatever_mode_was_exported() -> None:
    net = built(Cnn)
    for program in (exported(net), exported(net.train())):
        graph, _ = lift(program)
        assert not any("add_" in str(node.target) for node in graph.graph.nodes), "the module counts batches itself"
        x = torch.randn(8, 1, 8, 8)
        before = graph.get_submodule("stem.1").running_mean.clone()
        assert torch.equal(graph(x), graph(x)), "eval mode is the mode after lifting, and it is deterministic"
        assert torch.equal(before, graph.get_submodule("stem.1").running_mean)
        graph.train()
        assert not torch.equal(graph(x), graph(x)), "dropout is on"
        assert not torch.equal(before, graph.get_submodule("stem.1").running_mean), "statistics move"
        graph(x).sum().backward()
        assert all(parameter.grad is not None for parameter in graph.parameters())


def test_a_module_used_twice_stays_one_module() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(8, 8)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.layer(torch.relu(self.layer(x.squeeze(1)))).mean(1)
            return out

    graph, _ = lift(exported(Twice().eval()))
    calls = [node.target for node in graph.graph.nodes if node.op == "call_module"]
    assert calls == ["layer", "layer"]
    assert sum(parameter.numel() for parameter in graph.parameters()) == 72


def test_tied_weights_stay_tied() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)
            self.second.weight = self.first.weight

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.second(self.first(x.squeeze(1))).mean(1)
            return out

    net = Tied().eval()
    graph, _ = lift(exported(net))
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(graph(x), net(x))
    assert sum(parameter.numel() for parameter in graph.parameters()) == 72


def test_layers_of_every_lifted_kind_are_exact() -> None:
    class Many(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.up = nn.ConvTranspose2d(1, 6, 3, stride=2, padding=1, output_padding=1, groups=1)
            self.grouped = nn.Conv2d(6, 12, 3, padding="same", groups=3, dilation=2)
            self.group = nn.GroupNorm(3, 12)
            self.instance = nn.Conv1d(12, 4, 5, stride=2)
            self.norm = nn.BatchNorm1d(4, affine=False)
            self.last = nn.LayerNorm(4, elementwise_affine=False)
            self.table = nn.Embedding(5, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = self.group(self.grouped(self.up(x))).flatten(2)
            x = self.norm(self.instance(x)).mean(-1)
            return self.last(x) + self.table((x[:, 0] > 0).long())

    net = built(Many)
    graph, _ = lift(exported(net))
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(graph(x), net(x))
    kinds = {type(module) for module in graph.modules()}
    wanted = {nn.ConvTranspose2d, nn.Conv2d, nn.GroupNorm, nn.Conv1d, nn.BatchNorm1d, nn.LayerNorm, nn.Embedding}
    assert wanted <= kinds


def test_operators_that_are_not_lifted_keep_their_parameters() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.randn(8))
            self.rnn = nn.GRU(8, 4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.rnn(x.squeeze(1) * self.scale)[0][:, -1]
            return out

    net = Odd().eval()
    graph, _ = lift(exported(net))
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(graph(x), net(x))
    graph(x).sum().backward()
    assert {name for name, p in graph.named_parameters() if p.grad is not None} == set(dict(net.named_parameters()))


def test_attention_scale_does_not_follow_the_head_size() -> None:
    graph = lifted(Transformer).graph
    attention = [node for node in graph.graph.nodes if "scaled_dot_product" in str(node.target)]
    assert len(attention) == 2 and all(node.kwargs["scale"] == 8**-0.5 for node in attention)


def test_a_copy_is_independent() -> None:
    model = lifted(Cnn)
    other = copy.deepcopy(model.graph)
    with torch.no_grad():
        other.get_submodule("head").weight.zero_()
    assert model.graph.get_submodule("head").weight.abs().sum() > 0


class _Fixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) - x.flatten(1).mean(0)


class _Scaled(nn.Module):
    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return x * scale


class _Number(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x + 1, 3


class _Sum(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return x + 1, x.sum((0, 1))


class _Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x])


@pytest.mark.parametrize(
    ("net", "inputs", "dynamic", "code", "said"),
    [
        (_Fixed(), 1, (None,), "model_fixed_batch", "batch of exactly 2"),
        (_Scaled(), 2, ({0: Dim.AUTO}, None), "model_fixed_batch", "batch of exactly 1"),
        (_Number(), 1, ({0: Dim.AUTO},), "model_unsupported", "the output output_1, which is no tensor"),
        (_Sum(), 1, ({0: Dim.AUTO},), "model_unsupported", "output_1 of the shape (8, 8), whose first dimension"),
        (_Doubled(), 1, ({0: Dim.AUTO},), "model_unsupported", "whose first dimension is not the batch"),
    ],
)
def test_what_cannot_be_taken_is_refused_with_the_way_out(
    net: nn.Module, inputs: int, dynamic: Any, code: str, said: str
) -> None:
    given = (torch.randn(2, 1, 8, 8), torch.randn(1, 1, 8, 8))[:inputs]
    program = torch.export.export(net, given, dynamic_shapes=dynamic)
    with pytest.raises(PithError) as caught:
        lift(program)
    assert caught.value.code == code
    assert said in caught.value.problem.detail


def test_program_keeps_the_batch_dynamic() -> None:
    model: Model = lifted(Transformer)
    module = model.program().module()
    for size in (1, 2, 33):
        assert module(torch.randn(size, 1, 8, 8)).shape == (size, 4)
