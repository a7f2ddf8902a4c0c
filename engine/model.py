"""A model inside the engine, and the ways in and out of its graph."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import get_args

import torch
from torch import fx, nn
from torch.export import Dim, ExportedProgram

from engine.lift import lift
from engine.pt2.load import load
from engine.signature import Signature
from pith.errors import PithError

Weighted = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear
WEIGHTED = get_args(Weighted)


@dataclass(frozen=True)
class Model:
    """A graph and what it takes. ``finished`` is the ONNX file of a model whose dtype has changed."""

    graph: fx.GraphModule
    signature: Signature
    finished: Path | None = None

    def copy(self) -> "Model":
        """An independent model with the same weights."""
        return replace(self, graph=copy.deepcopy(self.graph))

    def layers(self) -> Iterator[tuple[str, Weighted]]:
        """Convolutions and linear layers under their dotted names, in the order they are named."""
        return ((name, module) for name, module in self.graph.named_modules() if isinstance(module, Weighted))

    def program(self) -> ExportedProgram:
        """The model exported again, in eval mode, its dynamic dimensions still dynamic."""
        example = self.signature.tensor()
        dynamic = dict.fromkeys(self.signature.dynamic(), Dim.AUTO)
        with torch.no_grad():
            return torch.export.export(self.graph.cpu().eval(), (example,), dynamic_shapes=(dynamic,))

    def integer_layers(self) -> int:
        """How many weights are stored as 8-bit integers, as a quantized result has them."""
        return sum(1 for buffer in self.graph.buffers() if buffer.dtype is torch.int8 and buffer.ndim > 1)


def read_model(source: Path, scratch: Path) -> Model:
    """The model in an untrusted ``.pt2`` file; ``scratch`` takes the cleaned copy.

    Raises:
        PithError: any ``model_…`` code.
    """
    graph, signature = lift(load(source, scratch))
    model = Model(graph, signature)
    if not all(parameter.isfinite().all() for parameter in graph.parameters()):
        raise PithError(
            "model_unsupported", found="weights that are not finite", way_out="export a model that has not diverged"
        )
    return model
