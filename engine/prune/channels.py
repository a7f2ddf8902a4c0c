"""The channels of a model: which may go, which go together, how much each matters, and their removal.

Follows the idea of DepGraph (Fang et al. 2023, arXiv 2301.12900); the graph is read instead of run backwards.
What is tied to a constant in the graph stays, unless ``parting`` says how: ``engine.prune.heads`` does.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from operator import getitem

import numpy as np
import torch
from torch import Tensor, fx, nn

from engine.model import WEIGHTED, Model
from engine.prune.axes import Owned, Places
from engine.prune.layers import through_layer
from engine.prune.operators import through_getitem, through_operator
from engine.prune.trace import NodeParting, NoRule, Result, Trace, place_of

_WRONG_DIM = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@dataclass(frozen=True)
class Group:
    """Units that go from the same layers. A unit is a number for channels that must go together.

    ``layers`` maps each layer to the channels that it loses with one unit.
    """

    layers: dict[str, int]
    units: Places

    @property
    def key(self) -> str:
        return "|".join(sorted(self.layers))


class Channels:
    """What was found out about one model, until its shapes change."""

    def __init__(self, model: Model, ignore: Iterable[str] = (), parting: NodeParting | None = None) -> None:
        self.model = model
        trace = followed(model, parting)
        self.axes, self.attended, self.outputs = trace.axes, trace.attended, _outputs(trace)
        for name in ignore:
            self.axes.pin(self.outputs.get(name), "it is named in ignore")
        self.labels = self.axes.groups()
        self.pinned = self.axes.pinned(self.labels)
        self.groups = self._groups()

    def left_alone(self) -> dict[str, str]:
        """Layers none of whose channels may go, and why."""
        free = {name for group in self.groups for name in group.layers}
        names = [name for name, _ in self.model.layers()]
        return {name: self._why(name) for name in names if name not in free}

    def hold(self, group: Group, reason: str) -> None:
        """Leave a group alone from now on."""
        self.pinned.update(dict.fromkeys(group.units.tolist(), reason))
        self.groups = [other for other in self.groups if other is not group]

    def _why(self, name: str) -> str:
        places = self.outputs.get(name)
        if places is None:
            return "nothing in the graph reads it"
        return next((self.pinned[label] for label in self.labels[places] if label in self.pinned), "")

    def _groups(self) -> list[Group]:
        members: dict[int, dict[str, int]] = defaultdict(dict)
        for name, places in self.outputs.items():
            labels, counts = np.unique(self.labels[places], return_counts=True)
            for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
                if label not in self.pinned:
                    members[label][name] = count
        found: dict[tuple[tuple[str, int], ...], list[int]] = defaultdict(list)
        for label, layers in members.items():
            found[tuple(sorted(layers.items()))].append(label)
        return [Group(dict(layers), np.array(labels)) for layers, labels in found.items()]

    def importance(self, norm: int) -> dict[int, float]:
        """Of every unit: the sum of |w|^norm over weights that go with it, averaged over the tensors they are in."""
        return self.sums(lambda owned: owned.tensor.detach().abs().double() ** norm)

    def sums(self, of: Callable[[Owned], Tensor | None]) -> dict[int, float]:
        """The same of any number for each weight; None leaves a tensor out."""
        totals, counts = np.zeros(self.axes.count), np.zeros(self.axes.count)
        for owned in self.axes.tensors.values():
            size = of(owned) if _scores(owned) else None
            if size is None:
                continue
            for dim, places in enumerate(owned.axes):
                if places is not None:
                    others = [other for other in range(size.ndim) if other != dim]
                    value = (size.sum(others) if others else size).numpy()
                    labels = self.labels[places]
                    np.add.at(totals, labels, value)
                    counts[np.unique(labels)] += 1
        return dict(enumerate(totals / np.maximum(counts, 1)))

    def zero(self, units: Iterable[int]) -> None:
        """Set every weight that goes with these units to zero, in place; for tests of the removal."""
        gone = self._gone(units)
        with torch.no_grad():
            for owned in self.axes.tensors.values():
                if not owned.tensor.is_floating_point() or "running_var" in {name for _, name in owned.owners}:
                    continue
                for dim, places in enumerate(owned.axes):
                    if places is not None:
                        owned.tensor.index_fill_(dim, torch.from_numpy(np.flatnonzero(gone[places])), 0.0)

    def remove(self, units: Iterable[int]) -> None:
        """Take these units out of the model, in place. These Channels no longer describe it afterwards."""
        gone = self._gone(units)
        for owned in self.axes.tensors.values():
            if any(places is not None and gone[places].any() for places in owned.axes):
                _shrink(owned, gone)
        for constant in self.axes.constants:
            if gone[constant.places].any():
                constant.write(int((~gone[constant.places]).sum()))
        _tell_groups(self.model.graph)
        self.model.graph.recompile()

    def normed(self, units: Iterable[int]) -> bool:
        """Whether something averages over channels that are among these units or beside them."""
        gone = self._gone(units)
        return any(gone[places].any() for places in self.axes.normed)

    def _gone(self, units: Iterable[int]) -> np.ndarray:
        chosen = np.zeros(self.axes.count, dtype=bool)
        chosen[list(units)] = True
        gone: np.ndarray = chosen[self.labels]
        return gone


def followed(model: Model, parting: NodeParting | None = None) -> Trace:
    """Every node in turn; then the output holds what reaches it."""
    trace = Trace(model, parting)
    for node in model.graph.graph.nodes:
        trace.values[node] = _through(trace, node)
    return trace


def _outputs(trace: Trace) -> dict[str, Places]:
    """The output channels of every layer that the graph calls."""
    found: dict[str, Places] = {}
    for name, module in trace.modules.items():
        record = trace.axes.tensors.get(id(module.weight)) if isinstance(module, WEIGHTED) else None
        if record is not None:
            axis = record.axes[1 if isinstance(module, _WRONG_DIM) else 0]
            found |= {} if axis is None else {name: axis}
    return found


def _through(trace: Trace, node: fx.Node) -> Result:
    if node.op == "output":
        return trace.hold(node, "its channels are the model's output")
    if node.op == "placeholder":
        return trace.opaque(node)
    if node.op == "get_attr":
        return _attribute(trace, node)
    try:
        if node.op == "call_module":
            return through_layer(trace, node)
        return through_getitem(trace, node) if node.target is getitem else through_operator(trace, node)
    except (NoRule, ValueError, IndexError, KeyError, TypeError) as error:
        return _held(trace, node, _reason(node, error))


def _held(trace: Trace, node: fx.Node, reason: str) -> Result:
    module = trace.modules.get(str(node.target)) if node.op == "call_module" else None
    for name, parameter in module.named_parameters(recurse=False) if module is not None else ():
        for dim in range(parameter.ndim):
            trace.axes.pin(trace.axes.axis_of(module, name, dim), reason)  # type: ignore[arg-type]
    return trace.hold(node, reason)


def _reason(node: fx.Node, error: Exception) -> str:
    what = str(error) if isinstance(error, NoRule) else f"the operator {node.target}"
    return f"tied to {what} at {place_of(node)}"


def _attribute(trace: Trace, node: fx.Node) -> Result:
    """A tensor of the graph itself; sizes of one may be stretched, so they stay."""
    path, _, name = str(node.target).rpartition(".")
    module = trace.graph.get_submodule(path)
    tensor = getattr(module, name)
    if not isinstance(tensor, Tensor):
        return None
    return tuple(trace.axes.axis_of(module, name, dim) if size > 1 else None for dim, size in enumerate(tensor.shape))


def _scores(owned: Owned) -> bool:
    """Weights count, biases and statistics do not."""
    if not isinstance(owned.tensor, nn.Parameter):
        return False
    return owned.tensor.ndim > 1 or any(name == "weight" for _, name in owned.owners)


def _shrink(owned: Owned, gone: np.ndarray) -> None:
    tensor = owned.tensor.detach()
    for dim, places in enumerate(owned.axes):
        if places is not None and gone[places].any():
            tensor = tensor.index_select(dim, torch.from_numpy(np.flatnonzero(~gone[places])))
    small = tensor.clone()
    if isinstance(owned.tensor, nn.Parameter):
        small = nn.Parameter(small, requires_grad=owned.tensor.requires_grad)
    for module, name in owned.owners:
        setattr(module, name, small)
        _tell_sizes(module)


def _tell_sizes(module: nn.Module) -> None:
    """The numbers that a layer keeps about its own weight."""
    if isinstance(module, nn.Linear):
        module.out_features, module.in_features = module.weight.shape
    elif isinstance(module, _WRONG_DIM):
        module.in_channels, module.out_channels = module.weight.shape[:2]
    elif isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        module.out_channels = module.weight.shape[0]


def _tell_groups(graph: fx.GraphModule) -> None:
    """What a convolution reads follows from its groups, which are known last."""
    for module in graph.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
            module.in_channels = module.weight.shape[1] * module.groups
