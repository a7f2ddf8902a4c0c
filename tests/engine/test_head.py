"""A new head for another number of classes."""

import pytest
import torch
from torch import Tensor, nn

from engine.head import output_layers, replace_head
from pith.errors import PithError
from tests.engine.tiny import Cnn, Transformer, lifted


@pytest.mark.parametrize("kind", [Cnn, Transformer])
def test_a_new_head_has_the_classes_and_the_rest_its_weights(kind: type[nn.Module]) -> None:
    before = lifted(kind)
    after = replace_head(before.copy(), 7)
    x = torch.randn(3, 1, 8, 8)
    assert after.graph(x).shape == (3, 7)
    assert after.signature.outputs[0].shape == (None, 7)
    old = before.graph.state_dict()
    changed = {name for name, tensor in after.graph.state_dict().items() if tensor.shape != old[name].shape}
    assert changed == {"head.weight", "head.bias"}
    assert all(
        torch.equal(tensor, old[name]) for name, tensor in after.graph.state_dict().items() if name not in changed
    )
    again = replace_head(before.copy(), 7)
    assert torch.equal(again.graph.get_submodule("head").weight, after.graph.get_submodule("head").weight)
    assert after.program().module()(x).shape == (3, 7)


class _Convolved(nn.Module):
    """The classifier is a convolution, before the pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.classes = nn.Conv2d(1, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.classes(torch.relu(self.body(x))).mean((2, 3))
        return out


class _Two(nn.Module):
    """Two classifiers, averaged, and a number that is no class."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other, self.number = nn.Linear(64, 4), nn.Linear(64, 4), nn.Linear(64, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.flatten(1)
        return (self.one(x) + self.other(x)) / 2, self.number(x)


def test_heads_of_other_kinds() -> None:
    assert replace_head(lifted(_Convolved), 3).graph(torch.randn(2, 1, 8, 8)).shape == (2, 3)
    two = lifted(_Two)
    assert output_layers(two.graph) == {"one", "other"}
    scores, number = replace_head(two, 3).run((torch.randn(2, 1, 8, 8),))
    assert scores.shape == (2, 3) and number.shape == (2, 1)


class _NoHead(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(64))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) * self.scale


class _Tied(nn.Module):
    """What the head gives is added to something of its width."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(64, 64)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x.flatten(1)) + x.flatten(1)
        return out


@pytest.mark.parametrize(("kind", "said"), [(_NoHead, "no linear layer"), (_Tied, "does not run")])
def test_what_has_no_head_says_so_and_stays_as_it_is(kind: type[nn.Module], said: str) -> None:
    model = lifted(kind)
    before = model.copy()
    with pytest.raises(PithError, match="head_not_found") as caught:
        replace_head(model, 7)
    assert said in caught.value.problem.detail
    x = torch.randn(3, 1, 8, 8)
    assert torch.equal(model.graph(x), before.graph(x))
