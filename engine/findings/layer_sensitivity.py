"""How much of the answers hangs on each layer: the model before, with the new numbers of one layer alone.

The numbers are what the integers of a quantized file stand for. They are handed to one open model as inputs, so that
nothing has to be opened anew. Where the first output has no scores of classes, the answers are those of a regression:
what falls is R², the baseline's outputs being the truth.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper

from engine.findings.layer_gains import without_gains
from engine.measure import Samples
from engine.onnx_model.holdings import Holding, Part, holdings
from engine.session import Arrays, open_session
from pith.findings.layers import Absent
from pith.metrics import MetricName

SAMPLES = range(16, 257)
AT_ONCE = 32
LAYERS = 40
MOST_MACS = 5e11
"""Of all runs; a bound in seconds would give another report on another machine."""

Numbers = dict[str, NDArray[np.float32]]
"""New values of parameters, by the names that the graph reads."""


@dataclass(frozen=True)
class Sensitivity:
    """Falls by the layers' names. ``lacks`` is why others of both files have none; ``lack`` says that some were too
    many."""

    falls: dict[str, float] = field(default_factory=dict)
    lacks: dict[str, Absent] = field(default_factory=dict)
    samples: int = 0
    metric: MetricName | None = None
    lack: str | None = None


def sensitivity(before: Path, after: Path, samples: Samples, macs: float, threads: int) -> Sensitivity:
    """Of every layer whose numbers have the same shapes in both files, those with the most bytes first. ``macs`` are
    those of one sample."""
    proto = onnx.load(before)
    pairs, lacks = _pairs(holdings(proto.graph), holdings(onnx.load(after).graph))
    most, count = _bounds(len(pairs), macs)
    model = _Changeable(proto, [part for old, _ in pairs for part in old.parts.values() if part.plain], threads)
    x = samples.take(count)
    truth = model.run(x, {}) if most else np.zeros(0, np.float32)
    falls: dict[str, float | None] = {}
    for old, new in pairs[:most]:
        numbers = _changed(old, new)
        falls[old.name] = _fall(truth, model.run(x, numbers), samples.classes) if numbers else 0.0
    found = {name: fall for name, fall in falls.items() if fall is not None}
    lack = f"sensitivity of the {most} largest of {len(pairs)} layers alone" if most < len(pairs) else None
    lacks |= {old.name: "too many" for old, _ in pairs[most:]}
    lacks |= {name: "no numbers" for name in falls if name not in found}
    return Sensitivity(found, lacks, len(truth) if found else 0, "agreement" if samples.classes else "r2", lack)


def _bounds(layers: int, macs: float) -> tuple[int, int]:
    """How many layers may be tried, and on how many samples: first more layers, then more samples."""
    runs = int(min(1e9, MOST_MACS / max(1.0, macs)))
    most = min(LAYERS, layers, max(0, runs // SAMPLES.start - 1))
    return most, min(SAMPLES[-1], runs // (most + 1))


def _pairs(before: list[Holding], after: list[Holding]) -> tuple[list[tuple[Holding, Holding]], dict[str, Absent]]:
    """Layers that can be exchanged, the largest first; and why others, that both have, can not."""
    others = {each.name: each for each in after}
    pairs = [(each, others[each.name]) for each in before if each.name in others]
    lacks: dict[str, Absent] = {old.name: lack for old, new in pairs if (lack := _unlike(old, new)) is not None}
    fits = [pair for pair in pairs if pair[0].name not in lacks]
    return sorted(fits, key=lambda pair: -sum(part.size_bytes() for part in pair[0].parts.values())), lacks


def _unlike(old: Holding, new: Holding) -> Absent | None:
    """Why the new numbers do not go into the old layer."""
    roles = old.parts.keys() & new.parts.keys()
    if not roles or old.weight not in [old.parts[role] for role in roles] or old.normed != new.normed:
        return "merged"
    if any(old.parts[role].shape != new.parts[role].shape for role in roles):
        return "other shape"
    return None if all(old.parts[role].plain for role in roles) else "integers"


def _changed(old: Holding, new: Holding) -> Numbers:
    """What differs, as the old graph reads it; where gains were moved between layers, the weight without them alone."""
    found: Numbers = {}
    for role, part in old.parts.items():
        now, was = new.parts[role].real() if role in new.parts else None, part.real()
        if now is None or was is None or np.array_equal(now, was):
            continue
        undone = without_gains(was, now)
        found[part.value] = _laid(part, now if undone is None else undone)
        if undone is not None:
            return {part.value: found[part.value]}
    return found


def _laid(part: Part, array: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(array.swapaxes(-1, -2)) if part.turned else array


def _fall(truth: NDArray[np.float32], found: NDArray[np.float32], classes: bool) -> float | None:
    """How far below one; None where the outputs are not finite, or do not vary."""
    if not np.isfinite(found).all():
        return None
    if classes:
        return float((truth.argmax(1) != found.argmax(1)).mean())
    exact = truth.astype(np.float64).reshape(len(truth), -1)
    variance = float(exact.var(axis=0).sum())
    errors = float(((exact - found.reshape(exact.shape)) ** 2).mean(axis=0).sum())
    return errors / variance if variance > 0 else None


class _Changeable:
    """A model whose parameters may be given with each run; those that are not are its own."""

    def __init__(self, proto: ModelProto, parts: Iterable[Part], threads: int) -> None:
        self._output = proto.graph.output[0].name
        for part in parts:
            port = helper.make_tensor_value_info(part.value, TensorProto.FLOAT, part.tensor.dims)
            proto.graph.input.append(port)
        self._session = open_session(proto.SerializeToString(), threads)

    def run(self, x: Arrays, numbers: Numbers) -> NDArray[np.float32]:
        """The first output."""
        names = [value.name for value in self._session.get_inputs()]
        found = []
        for start in range(0, len(x[0]), AT_ONCE):
            rows = dict(zip(names, (array[start : start + AT_ONCE] for array in x), strict=True))
            found.append(self._session.run([self._output], {**rows, **numbers})[0])
        return np.concatenate(found)
