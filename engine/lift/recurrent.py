"""LSTM, GRU and plain recurrent layers: one operator with a list of weights becomes the module that owns them.

The initial states stay what they were in the graph, zeros of the batch's size for most. Not covered: packed sequences,
which stay operators, and projections (``proj_size``), which are refused.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import fx, nn

from engine.lift.tree import fetch
from pith.errors import PithError

aten = torch.ops.aten

RECURRENT: dict[Any, tuple[Callable[..., nn.RNNBase], dict[str, str]]] = {
    aten.lstm.input: (nn.LSTM, {}),
    aten.gru.input: (nn.GRU, {}),
    aten.rnn_tanh.input: (nn.RNN, {"nonlinearity": "tanh"}),
    aten.rnn_relu.input: (nn.RNN, {"nonlinearity": "relu"}),
}


def recurrent(node: fx.Node, args: dict[str, Any], source: nn.Module) -> tuple[str, nn.RNNBase]:
    """The path and the module of one call.

    Torch does not check the shapes of these weights and would read beyond them, so a call that no module could have
    made is refused.

    Raises:
        PithError: ``model_unsupported``.
    """
    if any(weight.op != "get_attr" for weight in args["params"]):
        raise _unsupported()
    paths = [str(weight.target) for weight in args["params"]]
    parent = paths[0].rpartition(".")[0]
    tensors = [fetch(source, path) for path in paths]
    if len(tensors) < 2 or any(tensor.ndim not in (1, 2) for tensor in tensors) or tensors[1].ndim != 2:
        raise _unsupported()
    module = _build(node.target, args, tensors)
    wanted = {f"{parent}.{name}": parameter.shape for name, parameter in module.named_parameters()}
    given = {path: tensor.shape for path, tensor in zip(paths, tensors, strict=True)}
    if not parent or list(wanted.items()) != list(given.items()):
        raise _unsupported()
    for path, tensor in zip(paths, tensors, strict=True):
        setattr(module, path.rpartition(".")[2], tensor if isinstance(tensor, nn.Parameter) else nn.Parameter(tensor))
    return parent, module


def _unsupported() -> PithError:
    return PithError(
        "model_unsupported",
        found="a recurrent layer other than a plain LSTM, GRU or RNN",
        way_out="use nn.LSTM, nn.GRU or nn.RNN without projections, inside a module",
    )


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
