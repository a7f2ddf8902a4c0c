"""LSTM, GRU and plain recurrent layers: one operator with a list of weights becomes the module that owns them.

The initial states stay what they were in the graph, zeros of the batch's size for most. Not covered: packed sequences
and projections (``proj_size``), which stay operators; those train, but keep the dropout of the mode they came in.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from engine.lift.tree import fetch

aten = torch.ops.aten

RECURRENT: dict[Any, tuple[Callable[..., nn.RNNBase], dict[str, str]]] = {
    aten.lstm.input: (nn.LSTM, {}),
    aten.gru.input: (nn.GRU, {}),
    aten.rnn_tanh.input: (nn.RNN, {"nonlinearity": "tanh"}),
    aten.rnn_relu.input: (nn.RNN, {"nonlinearity": "relu"}),
}


def recurrent(node: fx.Node, args: dict[str, Any], source: nn.Module) -> tuple[str, nn.RNNBase] | None:
    """The path and the module of one call, or None when its weights do not lie as a module would have them."""
    if any(weight.op != "get_attr" for weight in args["params"]):
        return None
    paths = [str(weight.target) for weight in args["params"]]
    parent = paths[0].rpartition(".")[0]
    tensors = [fetch(source, path) for path in paths]
    module = _build(node.target, args, tensors)
    names = [name for name, _ in module.named_parameters()]
    if not parent or paths != [f"{parent}.{name}" for name in names]:
        return None
    for name, tensor in zip(names, tensors, strict=True):
        setattr(module, name, nn.Parameter(tensor) if not isinstance(tensor, nn.Parameter) else tensor)
    return parent, module


def _build(target: Any, args: dict[str, Any], tensors: list[torch.Tensor]) -> nn.RNNBase:
    kind, options = RECURRENT[target]
    return kind(
        tensors[0].shape[1],
        tensors[1].shape[1],
        num_layers=args["num_layers"],
        bias=args["has_biases"],
        batch_first=args["batch_first"],
        dropout=args["dropout"],
        bidirectional=args["bidirectional"],
        device="meta",
        **options,
    )
