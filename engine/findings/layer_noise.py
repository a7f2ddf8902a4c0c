"""How far what each layer gives is from what it gave before, with everything before it compressed too.

Both files are run with these values as further outputs, on as few samples at a time as have room.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray

from engine.findings.layer_gains import without_gains
from engine.measure import Samples, decibels
from engine.onnx_model.holdings import Holding, holdings
from engine.session import Arrays, open_session
from pith.findings.layers import Absent

SAMPLES = 64
MOST_MACS = 6e10
"""Of all runs of one model; a bound in seconds would give another report on another machine."""
MOST_BYTES = 128 << 20
"""Of the values that one run gives."""


@dataclass(frozen=True)
class Noise:
    """Signal to noise by the layers' names, and on how many samples. ``lacks`` is why those of both files that are not
    there have none."""

    sqnr_db: dict[str, float] = field(default_factory=dict)
    lacks: dict[str, Absent] = field(default_factory=dict)
    samples: int = 0


def noise(before: Path, after: Path, samples: Samples, macs: float, threads: int) -> Noise:
    """Of every layer that gives floating-point numbers of the same shape in both files; at least one sample is run.
    ``macs`` are those of one sample."""
    mine, theirs = _Tapped(before, threads), _Tapped(after, threads)
    powers = {name: _Powers(mine.layers[name], theirs.layers[name]) for name in mine.layers if name in theirs.layers}
    x = samples.take(max(1, int(min(SAMPLES, MOST_MACS / max(1.0, macs)))))
    done, size = 0, 1
    while powers and done < len(x[0]):
        portion = tuple(array[done : done + size] for array in x)
        signals = mine.run(powers, portion)
        for each, signal, other in zip(powers.values(), signals, theirs.run(powers, portion), strict=True):
            each.add(signal, other)
        done += len(portion[0])
        size = max(1, MOST_BYTES * len(portion[0]) // max(1, sum(signal.nbytes for signal in signals)))
    found = {name: each.sqnr_db() for name, each in powers.items()}
    heard = {name: value for name, value in found.items() if value is not None}
    lacks: dict[str, Absent] = {name: each.lack for name, each in powers.items() if name not in heard}
    lacks |= {name: "no output" for name in mine.names & theirs.names if name not in powers}
    return Noise(heard, lacks, done if heard else 0)


class _Powers:
    """Sums over all samples: of the signal, of what differs, and channel by channel of what a gain would explain."""

    def __init__(self, old: Holding, new: Holding) -> None:
        self._old, self._new = old, new
        self._axis = -1 if old.kind in ("Linear", "Embedding", "LayerNorm") else 1
        self._power = self._difference = 0.0
        self._channels: NDArray[np.float64] | None = None
        self.lack: Absent = "no numbers"

    def add(self, signal: NDArray[np.generic], other: NDArray[np.generic]) -> None:
        if not signal.dtype == other.dtype == np.float32:
            self.lack = "integers"
            return
        if signal.shape != other.shape:
            self.lack = "other shape"
            return
        old, new = (np.moveaxis(each, self._axis, 0).astype(np.float64) for each in (signal, other))
        old, new = old.reshape(len(old), -1), new.reshape(len(new), -1)
        self._power += float((old**2).sum())
        self._difference += float(((old - new) ** 2).sum())
        sums = np.stack([(old * old).sum(1), (old * new).sum(1), (new * new).sum(1)])
        self._channels = sums if self._channels is None else self._channels + sums

    def sqnr_db(self) -> float | None:
        """None where the outputs cannot be compared; without gains that were moved between layers."""
        if self._channels is None or not np.isfinite(self._channels).all():
            return None
        if not self._rescaled():
            return decibels(self._power, self._difference)
        old, both, new = self._channels
        explained = np.where(new > 0, both**2 / np.where(new > 0, new, 1.0), 0.0)
        return decibels(self._power, float(np.maximum(old - explained, 0.0).sum()))

    def _rescaled(self) -> bool:
        old, new = self._old.weight, self._new.weight
        if old.shape != new.shape or not old.plain or len(old.shape) < 2:
            return False
        was, now = old.real(), new.real()
        return was is not None and now is not None and without_gains(was, now) is not None


class _Tapped:
    """A model that gives what its ``layers`` give."""

    def __init__(self, path: Path, threads: int) -> None:
        proto = onnx.load(path)
        held = holdings(proto.graph)
        self.layers = {each.name: each for each in held if each.output}
        self.names = {each.name for each in held}
        there = {value.name for value in proto.graph.output}
        added = sorted({each.output for each in self.layers.values()} - there)
        proto.graph.output.extend(onnx.ValueInfoProto(name=name) for name in added)
        self._session = open_session(proto.SerializeToString(), threads)

    def run(self, names: Iterable[str], x: Arrays) -> list[NDArray[np.generic]]:
        inputs = [value.name for value in self._session.get_inputs()]
        found: list[NDArray[np.generic]] = self._session.run(
            [self.layers[name].output for name in names], dict(zip(inputs, x, strict=True))
        )
        return found
