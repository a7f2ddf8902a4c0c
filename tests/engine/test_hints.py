"""Where features can be tapped, before and after a model is saved."""

import torch

from engine.hints import hints
from engine.lift import lift
from engine.model import Model
from tests.engine.tiny import Cnn, Transformer, built, lifted


def test_blocks_and_layers_are_places_with_their_shapes() -> None:
    found = {hint.name: hint.shape for hint in hints(lifted(Cnn))}
    assert found["stem"] == found["stem.0"] == found["block"] == (None, 16, 8, 8)
    assert found["hidden"] == (None, 32) and found["head"] == (None, 4)
    assert "" not in found


def test_a_block_ends_where_its_module_does() -> None:
    net, model = built(Cnn), lifted(Cnn)
    (place,) = [hint for hint in hints(model) if hint.name == "block"]
    kept: list[torch.Tensor] = []
    net.block.register_forward_hook(lambda module, inputs, output: kept.append(output))
    x = torch.randn(3, 1, 8, 8)
    net(x)
    graph = torch.fx.Graph()
    copied: dict[torch.fx.Node, torch.fx.Node] = {}
    for node in model.graph.graph.nodes:
        copied[node] = graph.node_copy(node, copied.__getitem__)
        if node.name == place.node:
            graph.output(copied[node])
            break
    assert torch.equal(torch.fx.GraphModule(model.graph, graph)(x), kept[0])


def test_places_survive_saving() -> None:
    for kind in (Cnn, Transformer):
        model = lifted(kind)
        again = Model(*lift(model.program()))
        wanted = [(hint.name, hint.shape) for hint in hints(model)]
        assert [(hint.name, hint.shape) for hint in hints(again)] == wanted
        assert len(wanted) > 5
