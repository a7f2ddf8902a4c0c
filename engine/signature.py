"""What goes into a model and what comes out: named tensors, the first dimension of each being the batch.

Covered: any number of inputs and outputs, positional, by keyword or inside plain containers. Arguments that were
no tensors at export (None, numbers, texts) are part of the graph by then and are no inputs.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.utils._pytree import KeyPath, MappingKey, TreeSpec, tree_flatten_with_path, tree_leaves

from pith.errors import PithError

Sizes = tuple[int | None, ...]
_LONGEST_NAME = 80


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. ``shape`` holds ``None`` where a dimension is dynamic, ``example`` the size at export."""

    name: str
    shape: Sizes
    example: tuple[int, ...]
    dtype: torch.dtype

    @property
    def numpy_dtype(self) -> np.dtype[Any]:
        return np.dtype(str(self.dtype).removeprefix("torch."))

    def tensor(self, batch: int, seed: int = 0) -> Tensor:
        """A reproducible value: noise for floating point, ones for integers and bools."""
        size = (batch, *self.example[1:])
        if not self.dtype.is_floating_point:
            return torch.ones(size, dtype=self.dtype)
        return torch.randn(size, generator=torch.Generator().manual_seed(seed)).to(self.dtype)


@dataclass(frozen=True)
class Signature:
    """Inputs in the order in which the graph takes them, outputs in the order in which it gives them.

    The first output is the one that labels and constraints are about.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def tensors(self, batch: int = 2) -> tuple[Tensor, ...]:
        """Reproducible inputs of that many samples."""
        return tuple(spec.tensor(batch, seed) for seed, spec in enumerate(self.inputs))

    def dtypes(self) -> tuple[torch.dtype, ...]:
        return tuple(spec.dtype for spec in self.inputs)

    def dynamic(self) -> tuple[dict[int, Any], ...]:
        """For each input its dynamic dimensions, as ``torch.export`` wants them; the batch is one of them."""
        return tuple({index: Dim.AUTO for index, size in enumerate(spec.shape) if size is None} for spec in self.inputs)

    def class_scores(self) -> bool:
        """Whether the first output is one row of scores a sample, of two classes or more."""
        shape = self.outputs[0].shape
        return len(shape) == 2 and (shape[1] or 0) > 1


def as_tuple(given: Any) -> tuple[Tensor, ...]:
    """What a graph or an exported module returned, as a flat tuple of tensors."""
    return tuple(leaf for leaf in tree_leaves(given) if isinstance(leaf, Tensor))


def default_names(stem: str, count: int) -> list[str]:
    """``output``, ``output_1``, …"""
    return [stem if index == 0 else f"{stem}_{index}" for index in range(count)]


def signature_of(program: ExportedProgram) -> Signature:
    """Read off the program's own nodes.

    Raises:
        PithError: ``model_fixed_batch``, or ``model_unsupported`` for inputs or outputs that are no batched tensors.
    """
    values = {node.name: node.meta.get("val") for node in program.graph.nodes}
    inputs = tuple(_inputs(program, values))
    if not inputs:
        raise _unsupported("no input tensor", "export a forward that takes one")
    batches = {str(values[spec.name].shape[0]) for spec in inputs}
    outputs = tuple(_outputs(program, values, batches))
    if not outputs:
        raise _unsupported("no output tensor", "export a forward that returns one")
    return Signature(inputs, outputs)


def _inputs(program: ExportedProgram, values: dict[str, Any]) -> Iterator[TensorSpec]:
    for name in program.graph_signature.user_inputs:
        value = values.get(name) if isinstance(name, str) else None
        if isinstance(value, torch.SymInt | torch.SymFloat | torch.SymBool):
            raise _unsupported(f"the input {name}, which is a number that may change", "take it as a tensor")
        if not isinstance(value, Tensor):
            continue
        spec = TensorSpec(name, _sizes(value), _hints(value), value.dtype)
        if not spec.shape or spec.shape[0] is not None:
            raise PithError("model_fixed_batch", batch=spec.shape[0] if spec.shape else f"nothing ({name} is a scalar)")
        yield spec


def _outputs(program: ExportedProgram, values: dict[str, Any], batches: set[str]) -> Iterator[TensorSpec]:
    given = program.graph_signature.user_outputs
    names = _leaf_names(program.call_spec.out_spec, len(given))
    kept = [(name, leaf) for name, leaf in zip(names, given, strict=True) if leaf is not None]
    taken = {str(name) for name in program.graph_signature.user_inputs}
    for name, (_, leaf) in zip(_distinct([name for name, _ in kept], taken), kept, strict=True):
        value = values.get(leaf) if isinstance(leaf, str) else leaf
        if not isinstance(value, Tensor):
            raise _unsupported(f"the output {name}, which is no tensor", "return tensors alone")
        if not value.ndim or str(value.shape[0]) not in batches:
            sizes = ", ".join(str(size) for size in value.shape)
            raise _unsupported(
                f"the output {name} of the shape ({sizes}), whose first dimension is not the batch",
                "return one row a sample",
            )
        yield TensorSpec(name, _sizes(value), _hints(value), value.dtype)


def _leaf_names(spec: TreeSpec | None, count: int) -> list[str | None]:
    """A name for every leaf that lies under the key of a dict; None for the others."""
    if spec is None or spec.num_leaves != count:
        return [None] * count
    paths = [path for path, _ in tree_flatten_with_path(spec.unflatten(range(count)))[0]]
    return [_name(path) for path in paths]


def _name(path: KeyPath) -> str | None:
    """``rest_0`` for ``["rest"][0]``: from the first key of a dict on."""
    first = next((index for index, step in enumerate(path) if isinstance(step, MappingKey)), len(path))
    steps = [str(step.key if isinstance(step, MappingKey) else getattr(step, "idx", "")) for step in path[first:]]
    return "_".join(steps) or None


def _distinct(names: list[str | None], taken: set[str]) -> list[str]:
    """Plain names, none twice and none that an input has. A single output is always called ``output``."""
    if len(names) == 1:
        names = [None]
    found: list[str] = []
    for name, default in zip(names, default_names("output", len(names)), strict=True):
        plain = re.sub(r"\W", "_", name or default, flags=re.ASCII)[:_LONGEST_NAME]
        plain = plain if plain[:1].isalpha() else f"output_{plain}"
        number, unique = 1, plain
        while unique in taken or unique in found:
            unique, number = f"{plain}_{number}", number + 1
        found.append(unique)
    return found


def _unsupported(found: str, way_out: str) -> PithError:
    return PithError("model_unsupported", found=found, way_out=way_out)


def _sizes(value: Tensor) -> Sizes:
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _hints(value: Tensor) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) else int(size.node.hint or 2) for size in value.shape)
