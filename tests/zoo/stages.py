"""The road of one model: file, graph, modes, a training step, a new head, pruning, export, reload.

Each stage is a function that raises when the model does not pass; what it says is the reason in the table.
"""

import copy
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.export import write_onnx, write_pt2
from engine.head import replace_head
from engine.model import Model, first_line, read_model
from engine.prune.channel import chosen
from engine.prune.channels import Channels
from engine.prune.map import prunable
from engine.prune.proof import proven
from engine.session import open_session
from pith.errors import PithError
from pith.techniques.prune.channel import PruneChannel
from tests.zoo import eager
from tests.zoo.entry import Entry
from tests.zoo.result import Result

_NEW_CLASSES = 7
_CLOSE = 1e-4
_SLOPE = 1e-5
_CONFIG = PruneChannel(round_to=1)


class Failed(Exception):
    """A stage did not hold what it promises."""


@dataclass
class Walk:
    """One model on its way; ``model`` is what came out of the file and stays as it is."""

    entry: Entry
    net: nn.Module
    model: Model
    folder: Path
    result: Result


def walk(entry: Entry, folder: Path) -> Result:
    """All stages; a failure ends the one it happens in, and ``read`` ends the walk."""
    result = Result(entry.name, entry.family)
    net = eager.built(entry)
    result.parameters = sum(parameter.numel() for parameter in net.parameters())
    path = folder / "model.pt2"
    if not _stage(result, "read", lambda: eager.export(net, entry.inputs(2), path)):
        return result
    walked = Walk(entry, net, None, folder, result)  # type: ignore[arg-type]
    if _stage(result, "read", lambda: _read(walked, path)):
        for name, stage in (("modes", _modes), ("train", _train), ("head", _head), ("prune", _prune)):
            _stage(result, name, lambda stage=stage: stage(walked))  # type: ignore[misc]
        _stage(result, "export", lambda: _export(walked))
    return result


def _stage(result: Result, name: str, run: Callable[[], object]) -> bool:
    start = time.process_time()
    try:
        run()
        result.stages[name] = "ok"
    except PithError as error:
        result.stages[name] = f"{error.problem.code}: {error.problem.detail}"
    except Failed as error:
        result.stages[name] = str(error)
    except Exception as error:
        result.stages[name] = f"unnamed: {first_line(error)}"
    result.seconds[name] = round(time.process_time() - start, 2)
    return result.stages[name] == "ok"


def _read(walked: Walk, path: Path) -> None:
    """Clean, load and lift; the outputs must be those of the eager model, bit for bit, at another batch size."""
    start = time.process_time()
    walked.model = read_model(path, walked.folder)
    walked.result.lift = round(time.process_time() - start, 2)
    path.unlink()
    inputs = walked.entry.inputs(3)
    with torch.no_grad():
        wanted, given = eager.outputs(walked.net(*inputs)), eager.outputs(walked.model.graph(*inputs))
    _require(len(wanted) == len(given), f"{len(given)} outputs instead of {len(wanted)}")
    for one, other in zip(wanted, given, strict=True):
        _require(bool(one.isfinite().all()), "the eager outputs are not finite")
        _require(torch.equal(one, other), f"outputs differ by {_difference(one, other):.2g}")


def _modes(walked: Walk) -> None:
    """In train mode batch norms follow the eager model's, and dropout drops; eval mode changes nothing."""
    inputs, theirs, mine = walked.entry.inputs(4), eager.still(walked.net), eager.still(walked.model.graph)
    with torch.no_grad():
        theirs(*inputs), mine(*inputs)
    there, here = _statistics(theirs), _statistics(mine)
    _require(there.keys() == here.keys(), f"other batch norms: {sorted(there.keys() ^ here.keys())[:3]}")
    for name, wanted in there.items():
        _require(_difference(wanted, here[name]) < 1e-3, f"running statistics of {name} do not follow the eager ones")
    graph = copy.deepcopy(walked.model.graph)
    with torch.no_grad():
        before = eager.outputs(graph(*inputs))[0]
        _require(torch.equal(before, eager.outputs(graph(*inputs))[0]), "eval mode is not deterministic")
        if _drops(graph):
            graph.train()
            one, other = (eager.outputs(graph(*inputs))[0] for _ in range(2))
            _require(not torch.equal(one, other), "dropout does not drop in train mode")


def _drops(graph: nn.Module) -> bool:
    return any(isinstance(module, nn.Dropout) and module.p > 0 for module in graph.modules()) or any(
        isinstance(module, nn.RNNBase) and module.dropout > 0 and module.num_layers > 1 for module in graph.modules()
    )


def _statistics(net: nn.Module) -> dict[str, Tensor]:
    return {name: buffer for name, buffer in net.named_buffers() if name.endswith(("running_mean", "running_var"))}


def _train(walked: Walk) -> None:
    """One step: finite, and every parameter that has a gradient in the eager model has one here and moves."""
    inputs = walked.entry.inputs(4)
    theirs, graph = copy.deepcopy(walked.net), copy.deepcopy(walked.model.graph)
    wanted, moved = _step(theirs, inputs), _step(graph, inputs)
    _require(all(bool(parameter.isfinite().all()) for parameter in graph.parameters()), "weights that are not finite")
    also = _aliases(theirs)
    still = sorted(
        name
        for name, slope in wanted.items()
        if slope > _SLOPE and not any(moved.get(other, 0.0) for other in also[name])
    )
    _require(not still, f"{len(still)} parameters do not move: {', '.join(still[:3])}")


def _aliases(net: nn.Module) -> dict[str, list[str]]:
    """For each parameter every name that it has: modules and weights may be shared, and packed ones are a layer."""
    names: dict[int, list[str]] = {}
    for name, parameter in net.named_parameters(remove_duplicate=False):
        names.setdefault(id(parameter), []).extend((name, re.sub(r"_(weight|bias)$", r".\1", name)))
    return {name: found for found in names.values() for name in found}


def _step(net: nn.Module, inputs: tuple[Tensor, ...]) -> dict[str, float]:
    """One step of training; the largest gradient in each parameter."""
    torch.manual_seed(0)
    net.train()
    _loss(eager.outputs(net(*inputs))[0]).backward()
    torch.optim.SGD(net.parameters(), lr=0.01).step()
    return {name: 0.0 if now.grad is None else float(now.grad.abs().max()) for name, now in net.named_parameters()}


def _loss(scores: Tensor) -> Tensor:
    labels = torch.arange(scores.shape[0]) % scores.shape[1]
    return functional.cross_entropy(scores.flatten(2).mean(2) if scores.ndim > 2 else scores, labels)


def _head(walked: Walk) -> None:
    """A head for another number of classes, and it learns."""
    model = replace_head(walked.model.copy(), _NEW_CLASSES)
    with torch.no_grad():
        scores = eager.outputs(model.graph(*walked.entry.inputs(3)))[0]
    _require(tuple(scores.shape[:2]) == (3, _NEW_CLASSES), f"scores of the shape {tuple(scores.shape)}")
    old = dict(walked.model.graph.named_parameters())
    heads = {name for name, now in model.graph.named_parameters() if now.shape != old[name].shape}
    moved = _step(model.graph, walked.entry.inputs(4))
    _require(bool(heads) and all(moved[name] for name in heads), "the new head does not learn")


def _prune(walked: Walk) -> None:
    """30 % of the channels: what goes is made zero first, so removing it must change nothing. It is kept for export."""
    result, inputs = walked.result, walked.entry.inputs(3)
    layers = prunable(walked.model)
    result.layers, result.prunable = len(layers), sum(layer.left_alone is None for layer in layers)
    _require(all(layer.left_alone or layer.group is not None for layer in layers), "a layer without a reason")
    reasons = Counter(layer.left_alone for layer in layers if layer.left_alone)
    result.notes = [reason for reason, _ in reasons.most_common(3)]
    channels = proven(walked.model)
    sizes = {group.key: len(group.units) for group in channels.groups}
    units = chosen(channels, _CONFIG, channels.importance(2), sizes, 0.3)
    if not units:
        return
    walked.model = walked.model.copy()
    before = sum(parameter.numel() for parameter in walked.model.graph.parameters())
    channels = Channels(walked.model)
    channels.zero(units)
    with torch.no_grad():
        wanted = walked.model.run(inputs)
        exact = not channels.normed(units)
        channels.remove(units)
        given = walked.model.run(inputs)
    after = sum(parameter.numel() for parameter in walked.model.graph.parameters())
    _require(after < before, "no parameter went")
    _same("the pruned model", wanted, given, _CLOSE if exact else float("inf"))
    _require(all(bool(value.isfinite().all()) for value in given), "the pruned model's outputs are not finite")
    _step(copy.deepcopy(walked.model.graph), walked.entry.inputs(4))


def _export(walked: Walk) -> None:
    """Both formats, loaded again, compute the same at a batch size that no example had."""
    model, folder, inputs = walked.model, walked.folder, walked.entry.inputs(5)
    with torch.no_grad():
        wanted = eager.outputs(model.at_rest()(*inputs))
    pt2 = folder / "again.pt2"
    write_pt2(model, pt2)
    again = read_model(pt2, folder)
    pt2.unlink()
    with torch.no_grad():
        _same("the .pt2 file", wanted, eager.outputs(again.graph(*inputs)), 0.0)
    write_onnx(model, folder / "model.onnx")
    session = open_session(folder / "model.onnx", 1)
    names = [value.name for value in session.get_inputs()]
    given = session.run(None, {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)})
    _same("the ONNX file", wanted, tuple(map(torch.from_numpy, given)), _CLOSE)


def _same(what: str, wanted: tuple[Tensor, ...], given: tuple[Tensor, ...], tolerance: float) -> None:
    for one, other in zip(wanted, given, strict=True):
        difference = _difference(one, other)
        _require(difference <= tolerance, f"{what} gives outputs that differ by {difference:.2g}")


def _difference(one: Tensor, other: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    if one.shape != other.shape:
        return float("inf")
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-6))


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)
