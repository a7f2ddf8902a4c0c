"""A program exported for one size of batch runs for any afterwards, or says why not."""

import pytest
import torch
from torch import Tensor, nn
from torch.export import export

from engine.lift import lift
from engine.model import Model
from pith.errors import PithError
from tests.engine.tiny import Cnn, Mlp, Transformer, built


class _Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(8, 16, batch_first=True), nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.rnn(x.squeeze(1))[0][:, -1])
        return out


class _ClassToken(nn.Module):
    """A token that is expanded over the batch, and windows merged into it."""

    def __init__(self) -> None:
        super().__init__()
        self.token, self.layer, self.head = nn.Parameter(torch.randn(1, 1, 8)), nn.Linear(8, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        batch = x.shape[0]
        windows = self.layer(x.reshape(batch * 4, 2, 8)).view(batch, 8, 8)
        out: Tensor = self.head(torch.cat([self.token.expand(batch, -1, -1), windows], 1).mean(1))
        return out


class _Mixed(nn.Module):
    """Every sample sees the others."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) - x.flatten(1).mean(0, keepdim=True)


class _Squeezed(nn.Module):
    """Loses the dimension of a batch of one."""

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze().sum(0, keepdim=True)


def fixed(net: nn.Module, batch: int) -> torch.export.ExportedProgram:
    return export(net, (torch.randn(batch, 1, 8, 8),))


@pytest.mark.parametrize("batch", [1, 2, 4])
@pytest.mark.parametrize("kind", [Cnn, Mlp, Transformer, _Recurrent, _ClassToken])
def test_a_fixed_batch_becomes_dynamic_and_computes_the_same(kind: type[nn.Module], batch: int) -> None:
    net = built(kind)
    model = Model(*lift(fixed(net, batch)))
    assert model.signature.inputs[0].shape[0] is None
    for size in (batch, 1, 7):
        x = torch.randn(size, 1, 8, 8)
        assert torch.allclose(model.graph(x), net(x), atol=1e-6)
    assert {name for name, _ in model.graph.named_parameters()} == {name for name, _ in net.named_parameters()}
    model.graph.train()(torch.randn(3, 1, 8, 8)).sum().backward()
    again, _ = lift(model.program())
    assert torch.equal(again(x), model.graph.eval()(x))


@pytest.mark.parametrize(("net", "batch"), [(_Mixed(), 2), (_Squeezed(), 1)])
def test_a_batch_that_cannot_be_freed_is_refused(net: nn.Module, batch: int) -> None:
    with pytest.raises(PithError, match="model_fixed_batch") as caught:
        lift(fixed(net, batch))
    assert f"exactly {batch}" in caught.value.problem.detail


class _Masked(nn.Module):
    """A mask of whole numbers that is stretched to a constant batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(8, 4)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        shared = mask[:1] if x.shape[0] == 1 else mask
        out: Tensor = self.layer((x.squeeze(1) * shared.unsqueeze(2).expand(x.shape[0], 8, 8)).mean(1))
        return out


def test_a_mask_that_only_the_first_sample_sees_is_noticed() -> None:
    given = (torch.randn(1, 1, 8, 8), torch.ones(1, 8, dtype=torch.long))
    with pytest.raises(PithError, match="model_fixed_batch"):
        lift(export(_Masked().eval(), given))
