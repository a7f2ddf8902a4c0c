"""Values out of the middle of a graph: the same as hooks give, whatever is written over them afterwards."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.lift import lift
from engine.model import Model
from engine.taps import attentions, before_head, places, probabilities, tapped
from tests.engine.tiny import Cnn, Mlp, Regression, Tokens, Transformer, TwoHeads, built, examples, exported, lifted


class Overwriting(nn.Module):
    """Every feature is written over by what comes after it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.flat = nn.Flatten()
        self.head = nn.Linear(256, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.flat(self.norm(self.conv(x)))
        out: Tensor = self.head(self.relu(x).mul_(2))
        return out


class Plain(nn.Module):
    """Attention as it is written without the fused operator, causal and with a dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)
        self.dropout = nn.Dropout(0.1)
        self.head = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = x.squeeze(1)
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        out: Tensor = self.head((self.dropout(scores.softmax(-1)) @ x).mean(1))
        return out


@pytest.mark.parametrize("kind", [Cnn, Mlp, Transformer, Tokens, TwoHeads, Regression, Overwriting])
def test_tapped_features_are_those_that_hooks_see(kind: type[nn.Module]) -> None:
    net = built(kind)
    model = Model(*lift(exported(net)))
    taps, seen = places(model), {}
    hooks = [
        module.register_forward_hook(lambda _, __, output, name=name: seen.__setitem__(name, output.clone()))
        for name, module in net.named_modules()
        if name in taps
    ]
    x = examples(net, 3)
    wanted = net(x[0], mask=x[1]) if kind is Tokens else net(*x)
    for hook in hooks:
        hook.remove()
    outputs = len(model.signature.outputs)
    found = tapped(model, list(taps.values()))(*x)
    first = next(iter(wanted.values())) if isinstance(wanted, dict) else wanted
    assert torch.equal(found[0], first) and len(seen) >= 3
    for name, feature in zip(taps, found[outputs:], strict=True):
        assert name not in seen or torch.equal(feature, seen[name]), name


def test_layers_are_shared_and_learn_through_features() -> None:
    model = lifted(Cnn)
    graph = tapped(model, [places(model)["block"]])
    graph(*examples(Cnn, 3))[-1].square().sum().backward()
    weight = model.graph.get_submodule("stem.0").weight
    assert isinstance(weight, Tensor) and weight.grad is not None and weight.grad.abs().sum() > 0
    assert model.graph.get_submodule("head").weight.grad is None


def test_the_model_itself_stays_as_it_is() -> None:
    model = lifted(Overwriting)
    code, x = model.graph.code, examples(Overwriting, 3)
    before = model.run(x)[0]
    tapped(model, list(places(model).values()))
    assert model.graph.code == code and torch.equal(model.run(x)[0], before)


def test_attention_layers_are_found_however_they_are_written() -> None:
    assert len(attentions(lifted(Transformer))) == 2
    assert len(attentions(lifted(Plain))) == 1
    assert not attentions(lifted(Cnn)) and not attentions(lifted(Tokens))
    for kind, heads in ((Transformer, 4), (Plain, None)):
        model = lifted(kind)
        (found,) = tapped(model, attentions(model)[:1])(*examples(kind, 3))[1:]
        assert found.shape == ((3, heads, 8, 8) if heads else (3, 8, 8))
        assert torch.allclose(found.sum(-1), torch.ones(found.shape[:-1]))


@pytest.mark.parametrize(("causal", "mask"), [(False, None), (False, "bool"), (False, "float"), (True, None)])
def test_probabilities_are_those_of_the_fused_operator(causal: bool, mask: str | None) -> None:
    torch.manual_seed(0)
    q, k, v = torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4), torch.randn(2, 3, 5, 4)
    given = None if mask is None else torch.rand(5, 5) > 0.3 if mask == "bool" else torch.randn(5, 5)
    if given is not None and given.dtype is torch.bool:
        given.fill_diagonal_(True)
    wanted = functional.scaled_dot_product_attention(q, k, v, given, 0.0, causal, scale=0.7)
    assert torch.allclose(probabilities(q, k, v, given, 0.0, causal, scale=0.7) @ v, wanted, atol=1e-6)


def test_what_the_last_layer_reads_is_found() -> None:
    net, model = built(Mlp), lifted(Mlp)
    kept: list[Tensor] = []
    net.layers[2].register_forward_hook(lambda _, __, output: kept.append(output))
    x = examples(Mlp, 3)
    net(*x)
    tap = before_head(model)
    assert tap is not None and torch.equal(tapped(model, [tap])(*x)[-1], kept[0])
