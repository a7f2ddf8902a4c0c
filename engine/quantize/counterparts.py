"""Which node of the graph computes which tensor of the exported file, found by what they compute."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx

from engine.quantize.calibrate import tensors_of
from engine.session import Arrays

_CLOSE = 1e-4


def counterparts(graph: fx.GraphModule, source: Path, names: Iterable[str], batch: Arrays) -> dict[str, fx.Node]:
    """The first node for each tensor that has one. The exporter splits some operators; what is inside has none."""
    recorded = _Recorder(graph)
    device = next(graph.parameters()).device
    with torch.no_grad():
        recorded.run(*(torch.from_numpy(array).to(device) for array in batch))
    found: dict[str, fx.Node] = {}
    for name, values in tensors_of(source, names, batch).items():
        same = (node for node, mine in recorded.values.items() if _same(mine, values))
        node = next((node for node in same if node not in found.values()), None)
        if node is not None:
            found[name] = node
    return found


class _Recorder(fx.Interpreter):
    """Keeps what every node gave, as it was before anything wrote over it."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.values: dict[fx.Node, NDArray[np.float32]] = {}

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        if isinstance(result, Tensor) and result.dtype == torch.float32 and n.op not in ("output", "get_attr"):
            self.values[n] = result.cpu().numpy().copy()
        return result


def _same(mine: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    if mine.shape != theirs.shape:
        return False
    return bool(np.abs(mine - theirs).max(initial=0.0) <= _CLOSE * max(np.abs(theirs).max(initial=0.0), 1e-30))
