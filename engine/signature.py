"""What goes into a model and what comes out: one tensor each, the first dimension being the batch."""

from dataclasses import dataclass

import torch
from torch import fx
from torch.export import ExportedProgram

from pith.errors import PithError

_ONE = "export a forward that takes one tensor and returns one"


@dataclass(frozen=True)
class Signature:
    """Shapes hold ``None`` where a dimension is dynamic; ``example`` holds the size seen at export."""

    name: str
    shape: tuple[int | None, ...]
    example: tuple[int, ...]
    dtype: torch.dtype
    output: tuple[int | None, ...]

    def tensor(self, batch: int = 2) -> torch.Tensor:
        """A reproducible input: noise for floating point, zeros for integers."""
        size = (batch, *self.example[1:])
        if not self.dtype.is_floating_point:
            return torch.zeros(size, dtype=self.dtype)
        return torch.randn(size, generator=torch.Generator().manual_seed(0)).to(self.dtype)

    def dynamic(self) -> tuple[int, ...]:
        """Indices of the dynamic input dimensions; the batch is one of them."""
        return tuple(index for index, size in enumerate(self.shape) if size is None)


def signature_of(program: ExportedProgram) -> Signature:
    """Read off the program's own nodes.

    Raises:
        PithError: ``model_unsupported`` for several inputs or outputs, ``model_fixed_batch``.
    """
    inputs, outputs = program.graph_signature.user_inputs, program.graph_signature.user_outputs
    for count, what in ((len(inputs), "inputs"), (len(outputs), "outputs")):
        if count != 1:
            raise PithError("model_unsupported", found=f"{count} {what}", way_out=_ONE)
    nodes = {node.name: node for node in program.graph.nodes}
    source, result = _value(nodes, inputs[0], "input"), _value(nodes, outputs[0], "output")
    shape = _sizes(source)
    if not shape or shape[0] is not None:
        raise PithError("model_fixed_batch", batch=shape[0] if shape else "nothing")
    example = tuple(_hint(size) for size in source.shape)
    return Signature(str(inputs[0]), shape, example, source.dtype, _sizes(result))


def _value(nodes: dict[str, fx.Node], name: object, what: str) -> torch.Tensor:
    value = nodes[name].meta.get("val") if isinstance(name, str) and name in nodes else None
    if not isinstance(value, torch.Tensor):
        raise PithError("model_unsupported", found=f"an {what} that is no tensor", way_out=_ONE)
    return value


def _sizes(value: torch.Tensor) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in value.shape)


def _hint(size: int | torch.SymInt) -> int:
    return size if isinstance(size, int) else int(size.node.hint or 2)
