"""A model inside the engine, and the ways in and out of its graph."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from engine.lift import lift
from engine.pt2.load import load
from engine.signature import Signature, as_tuple, default_names, signature_of
from pith.errors import PithError

Weighted = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear
WEIGHTED = get_args(Weighted)


@dataclass(frozen=True)
class Model:
    """A graph and its signature; ``graph(*inputs)`` gives one tensor, or a tuple of several.

    ``finished`` is the ONNX file of a model whose dtype has changed.
    """

    graph: fx.GraphModule
    signature: Signature
    finished: Path | None = None

    def copy(self) -> "Model":
        """An independent model with the same weights."""
        return replace(self, graph=copy.deepcopy(self.graph))

    def layers(self) -> Iterator[tuple[str, Weighted]]:
        """Convolutions and linear layers under their dotted names, in the order they are named."""
        return ((name, module) for name, module in self.graph.named_modules() if isinstance(module, Weighted))

    def place(self, device: torch.device, layout: torch.memory_format = torch.contiguous_format) -> fx.GraphModule:
        """The graph, moved in place: its tensors, and the tensors that its own operators make."""
        self.graph.to(device=device, memory_format=layout)  # type: ignore[call-overload]
        for node in self.graph.graph.nodes:
            if node.kwargs.get("device") is not None:
                node.kwargs = {**node.kwargs, "device": device}
        self.graph.recompile()
        return self.graph

    def at_rest(self) -> fx.GraphModule:
        """The graph on the CPU in eval mode, as everything but training wants it."""
        return self.place(torch.device("cpu")).eval()

    def run(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The graph's outputs for these inputs, as a tuple also when there is one."""
        return as_tuple(self.graph(*inputs))

    def program(self) -> ExportedProgram:
        """The model exported again, in eval mode, its dynamic dimensions still dynamic.

        Raises:
            PithError: ``export_failed``.
        """
        try:
            with torch.no_grad():
                program = torch.export.export(
                    self._with_named_outputs(), self.signature.tensors(), dynamic_shapes=self.signature.dynamic()
                )
            self._check_dynamic(signature_of(program))
        except (RuntimeError, ValueError, TypeError, AssertionError, PithError) as error:
            raise PithError("export_failed", format=".pt2", reason=first_line(error)) from error
        return program

    def _with_named_outputs(self) -> fx.GraphModule:
        """The graph at rest; outputs that have names of their own come in a dict, so that the file keeps the names."""
        graph, names = self.at_rest(), [spec.name for spec in self.signature.outputs]
        if len(names) == 1 or names == default_names("output", len(names)):
            return graph
        named = fx.Graph()
        results: Any = named.graph_copy(graph.graph, {})
        named.output(dict(zip(names, results, strict=True)))
        return fx.GraphModule(graph, named)

    def _check_dynamic(self, exported: Signature) -> None:
        for mine, now in zip(self.signature.inputs, exported.inputs, strict=True):
            fixed = [index for index, size in enumerate(mine.shape) if size is None and now.shape[index] is not None]
            if fixed:
                raise ValueError(f"dimension {fixed[0]} of {mine.name} became fixed")

    def integer_layers(self) -> int:
        """How many weights are stored as 8-bit integers, as a quantized result has them."""
        return sum(1 for buffer in self.graph.buffers() if buffer.dtype is torch.int8 and buffer.ndim > 1)


def first_line(error: BaseException) -> str:
    """What an exception says, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def read_model(source: Path, scratch: Path) -> Model:
    """The model in an untrusted ``.pt2`` file; ``scratch`` takes the cleaned copy.

    Raises:
        PithError: any ``model_…`` code.
    """
    graph, signature = lift(load(source, scratch))
    model = Model(graph, signature)
    kinds = {parameter.dtype for parameter in graph.parameters()} | set(signature.dtypes())
    for kind in (kind for kind in kinds if kind.is_floating_point and kind is not torch.float32):
        raise PithError(
            "model_unsupported", found=f"{kind} numbers", way_out="export model.float(), with float32 inputs"
        )
    if not all(parameter.isfinite().all() for parameter in graph.parameters()):
        raise PithError(
            "model_unsupported", found="weights that are not finite", way_out="export a model that has not diverged"
        )
    return model
