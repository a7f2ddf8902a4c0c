"""A model inside the engine, and the ways in and out of its graph."""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import onnx
import onnxruntime
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram

from engine.lift import lift
from engine.onnx_model import read_onnx
from engine.onnx_model.weights import integer_layers
from engine.pt2.load import load
from engine.quiet import quiet
from engine.session import open_session, run_session
from engine.signature import Signature, as_tuple, default_names, signature_of
from pith.errors import PithError

Weighted = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d | nn.Linear
WEIGHTED = get_args(Weighted)


@dataclass(frozen=True)
class Model:
    """A graph and its signature; ``graph(*inputs)`` gives one tensor, or a tuple of several.

    ``finished`` is the ONNX file of a model whose dtype has changed, or that came as ONNX; the latter has no layers,
    ``lifted`` is None then, and it can be run and not trained. ``packed`` is that file, encoded.
    """

    lifted: fx.GraphModule | None
    signature: Signature
    finished: Path | None = None
    packed: Path | None = None

    @property
    def trainable(self) -> bool:
        return self.lifted is not None

    @property
    def graph(self) -> fx.GraphModule:
        """The layers; only for a model that is ``trainable``."""
        assert self.lifted is not None, "an ONNX model has no layers"
        return self.lifted

    def copy(self) -> "Model":
        """An independent model with the same weights."""
        return replace(self, lifted=copy.deepcopy(self.lifted))

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
        """The outputs for these inputs, as a tuple also when there is one; without gradient when not ``trainable``."""
        return self._run_file(inputs) if self.lifted is None else as_tuple(self.lifted(*inputs))

    def frozen(self, device: torch.device) -> "Model":
        """A copy that is there to be run, as fast as it can be: on this device, without gradients."""
        model = self.copy()
        if model.lifted is not None:
            model.place(device).eval().requires_grad_(False)
        return model

    def _run_file(self, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """By ONNX Runtime on the CPU; the outputs are where the inputs are."""
        given = run_session(self._session, tuple(each.detach().cpu().numpy() for each in inputs))
        return tuple(torch.from_numpy(array).to(inputs[0].device) for array in given)

    @cached_property
    def _session(self) -> onnxruntime.InferenceSession:
        assert self.finished is not None
        return open_session(self.finished, torch.get_num_threads())

    def program(self) -> ExportedProgram:
        """The model exported again, in eval mode, its dynamic dimensions still dynamic.

        Raises:
            PithError: ``export_failed``.
        """
        try:
            with quiet(), torch.no_grad():
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

    def words(self) -> int | None:
        """How many tokens the largest embedding knows; None without one, and for an ONNX model."""
        if self.lifted is None:
            return None
        sizes = [module.num_embeddings for module in self.graph.modules() if isinstance(module, nn.Embedding)]
        return max(sizes, default=None)

    def integer_layers(self) -> int:
        """How many weights are stored as integers or in 16 bits, as a quantized result has them."""
        if self.lifted is None and self.finished is not None:
            return integer_layers(onnx.load(self.finished).graph)
        return sum(1 for name, buffer in self.graph.named_buffers() if _few_bits(name, buffer))


def _few_bits(name: str, buffer: Tensor) -> bool:
    """Integers, bytes that hold packed ones, or halves."""
    if buffer.ndim > 1:
        return buffer.dtype in (torch.int8, torch.float16, torch.bfloat16)
    return buffer.dtype is torch.uint8 and name.rpartition(".")[2] == "weight"


def first_line(error: BaseException) -> str:
    """What an exception says, short enough for a sentence."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def read_model(source: Path, scratch: Path) -> Model:
    """The model in an untrusted ``.pt2`` or, by the name that this engine gave it, ``.onnx`` file.

    ``scratch`` takes the cleaned copy; that of an ONNX file stays there, because it is what runs.

    Raises:
        PithError: any ``model_…`` code.
    """
    if source.suffix == ".onnx":
        found = read_onnx(source, scratch / f"read-{source.name}")
        return Model(None, found.signature, finished=found.path)
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
