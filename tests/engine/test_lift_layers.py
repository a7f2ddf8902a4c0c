"""Every kind of layer that is lifted: exact, the module it was, with its own train mode, exported again."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.lift import lift
from engine.model import Model
from pith.errors import PithError
from tests.engine.tiny import exported


class One(nn.Module):
    """Pictures of 8 by 8 into one layer; ``shape`` is what it wants behind the batch."""

    def __init__(self, layer: nn.Module, *shape: int) -> None:
        super().__init__()
        self.layer, self.shape = layer, shape

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer(x.reshape(x.shape[0], *self.shape))
        result: Tensor = out if isinstance(out, Tensor) else out[0]
        return result


class LastState(nn.Module):
    """The last hidden state and the last cell, time first."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LSTM(8, 6, num_layers=2, dropout=0.5)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        _, (hidden, cell) = self.layer(x.squeeze(1).transpose(0, 1))
        return hidden[-1], cell[-1]


BOTH: dict[str, Any] = {"num_layers": 2, "dropout": 0.5, "bidirectional": True, "batch_first": True}
LAYERS: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    (lambda: nn.Conv1d(8, 6, 3, groups=2, padding="same"), (8, 8)),
    (lambda: nn.Conv2d(4, 6, 3, stride=2, padding=2, dilation=2, bias=False), (4, 4, 4)),
    (lambda: nn.Conv3d(1, 2, 2), (1, 4, 4, 4)),
    (lambda: nn.ConvTranspose1d(8, 6, 3, stride=2), (8, 8)),
    (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (4, 4, 4)),
    (lambda: nn.ConvTranspose3d(1, 2, 2), (1, 4, 4, 4)),
    (lambda: nn.Linear(16, 3), (4, 16)),
    (lambda: nn.BatchNorm1d(8), (8, 8)),
    (lambda: nn.BatchNorm2d(4, affine=False), (4, 4, 4)),
    (lambda: nn.BatchNorm3d(1), (1, 4, 4, 4)),
    (lambda: nn.LayerNorm(16, bias=False), (4, 16)),
    (lambda: nn.LayerNorm((4, 16), elementwise_affine=False), (4, 16)),
    (lambda: nn.RMSNorm(16), (4, 16)),
    (lambda: nn.GroupNorm(2, 4), (4, 4, 4)),
    (lambda: nn.GroupNorm(2, 4, affine=False), (4, 4, 4)),
    (lambda: nn.InstanceNorm1d(8, affine=True), (8, 8)),
    (lambda: nn.InstanceNorm2d(4), (4, 4, 4)),
    (lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True), (4, 4, 4)),
    (lambda: nn.PReLU(4), (4, 4, 4)),
    (lambda: nn.Dropout(0.5), (64,)),
    (lambda: nn.Dropout2d(0.5), (4, 4, 4)),
    (lambda: nn.LSTM(8, 6, **BOTH), (8, 8)),
    (lambda: nn.GRU(8, 6, **BOTH), (8, 8)),
    (lambda: nn.RNN(8, 6, nonlinearity="relu", **BOTH), (8, 8)),
    (lambda: nn.RNN(8, 6, bias=False, batch_first=True), (8, 8)),
]


def lifted(net: nn.Module) -> Model:
    return Model(*lift(exported(net)))


def stirred(net: nn.Module) -> nn.Module:
    with torch.no_grad():
        for tensor in (*net.parameters(), *net.buffers()):
            if tensor.is_floating_point():
                tensor.add_(0.1 * torch.rand_like(tensor))
    return net.eval()


@pytest.mark.filterwarnings("ignore:The tensor attributes")
@pytest.mark.parametrize(("build", "shape"), LAYERS, ids=lambda value: str(value) if isinstance(value, tuple) else "")
def test_a_layer_is_lifted_to_itself(build: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    net = stirred(One(build(), *shape))
    model = lifted(net)
    layer, x = model.graph.get_submodule("layer"), torch.randn(5, 1, 8, 8)
    assert type(layer) is type(net.layer) and repr(layer) == repr(net.layer)
    assert torch.equal(model.graph(x), net(x))
    assert {name for name, _ in model.graph.named_parameters()} == {name for name, _ in net.named_parameters()}
    again, _ = lift(model.program())
    assert torch.equal(again(x), net(x)) and repr(again) == repr(model.graph)
    torch.manual_seed(1)
    wanted = net.train()(x)
    torch.manual_seed(1)
    assert torch.equal(model.graph.train()(x), wanted), "train mode draws and counts as the layer itself does"
    model.graph(x.requires_grad_()).sum().backward()
    assert all(parameter.grad is not None for parameter in (x, *model.graph.parameters()))
    for (name, mine), (_, theirs) in zip(model.graph.named_buffers(), net.named_buffers(), strict=True):
        assert mine.shape == theirs.shape and ("running" not in name or not torch.equal(mine, torch.zeros_like(mine)))


def test_both_states_of_an_lstm_come_out_in_their_order() -> None:
    net = stirred(LastState())
    model, x = lifted(net), torch.randn(3, 1, 8, 8)
    for mine, theirs in zip(model.run((x,)), net(x), strict=True):
        assert torch.equal(mine, theirs)
    model.graph.train()
    assert not torch.equal(model.run((x,))[0], model.run((x,))[0]), "dropout between the layers is on"


def test_projected_states_are_refused() -> None:
    with pytest.raises(PithError, match="model_unsupported") as caught:
        lifted(One(nn.LSTM(8, 6, proj_size=2, batch_first=True), 8, 8).eval())
    assert "recurrent layer other than a plain LSTM" in caught.value.problem.detail


class Functional(nn.Module):
    """Dropouts and norms that are no modules, two in one place."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        x = functional.dropout(self.layer(x.flatten(1)), 0.5, self.training)
        return functional.dropout(functional.layer_norm(x, (64,)), 0.25, self.training)


def test_functional_dropouts_become_modules_beside_the_layers() -> None:
    model = lifted(Functional().eval())
    found = [module.p for module in model.graph.modules() if isinstance(module, nn.Dropout)]
    assert found == [0.5, 0.25]
    x = torch.randn(4, 1, 8, 8)
    assert torch.equal(model.graph(x), model.graph(x))
    model.graph.train()
    assert not torch.equal(model.graph(x), model.graph(x))


class Standardised(nn.Module):
    """A convolution whose weight is normalised at every call, as in NFNets."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 8, 3), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        weight = functional.batch_norm(self.conv.weight.reshape(1, 8, -1), None, None, training=True, momentum=0.0)
        x = functional.conv2d(x, weight.reshape_as(self.conv.weight), self.conv.bias)
        out: Tensor = self.head(torch.relu(x).mean((2, 3)))
        return out


class Packed(nn.Module):
    """Self-attention, of which torch keeps the weights of queries, keys and values in one."""

    def __init__(self) -> None:
        super().__init__()
        self.attention, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.squeeze(1)
        out: Tensor = self.head(self.attention(x, x, x, need_weights=False)[0].mean(1))
        return out


class Crossed(Packed):
    """Attention to something else: the one weight is cut before it is used."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.squeeze(1)
        out: Tensor = self.head(self.attention(x, x.flip(1), x.flip(1), need_weights=False)[0].mean(1))
        return out


class Named(nn.Module):
    """A weight and a bias whose layer would have the name of another module, and ones that belong to no one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.inner_weight, self.inner_bias = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.randn(8))
        self.inner, self.other_bias = nn.Linear(8, 8), nn.Parameter(torch.randn(4))
        self.last_weight = nn.Parameter(torch.randn(4, 8))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.linear(x.squeeze(1).mean(1), self.inner_weight, self.inner_bias)
        return functional.linear(self.inner(x), self.last_weight, self.other_bias)


def test_packed_weights_of_self_attention_are_a_layer() -> None:
    net = stirred(Packed())
    model, x = lifted(net), torch.randn(3, 1, 8, 8)
    assert torch.allclose(model.graph(x), net(x), atol=1e-6)
    shapes = {name: tuple(layer.weight.shape) for name, layer in model.layers()}
    assert shapes == {"attention.in_proj": (24, 8), "attention.out_proj": (8, 8), "head": (4, 8)}
    assert torch.equal(dict(model.layers())["attention.in_proj"].weight, net.attention.in_proj_weight)


@pytest.mark.parametrize("kind", [Standardised, Crossed, Named])
def test_weights_that_no_module_can_own_stay_trainable_in_the_graph(kind: type[nn.Module]) -> None:
    net = stirred(kind())
    model, x = lifted(net), torch.randn(3, 1, 8, 8)
    assert torch.allclose(model.graph(x), net(x), atol=1e-6)
    model.graph.train()(x).square().sum().backward()
    slopes = {name: parameter.grad is not None for name, parameter in model.graph.named_parameters()}
    assert slopes == dict.fromkeys(dict(net.named_parameters()), True)


class Tied(nn.Module):
    """Two layers with one weight, of which the first has a bias."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(8, 8), nn.Linear(8, 8, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(torch.relu(self.first(x.squeeze(1)))).mean(1)
        return out


def test_layers_with_a_tied_weight_keep_their_names_and_the_tie() -> None:
    model = lifted(Tied().eval())
    first, second = (model.graph.get_submodule(name) for name in ("first", "second"))
    assert first.bias is not None and second.bias is None and first.weight is second.weight


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = x.squeeze(1)
        return functional.scaled_dot_product_attention(x, x, x, dropout_p=0.5 if self.training else 0.0)


def test_attention_exported_in_train_mode_does_not_drop_in_eval_mode() -> None:
    net, x = Scaled(), torch.randn(3, 1, 8, 8)
    model = lifted(net.train())
    assert torch.allclose(model.graph(x), net.eval()(x), atol=1e-6)
