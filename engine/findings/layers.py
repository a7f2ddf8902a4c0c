"""The model layer by layer, from the ONNX files of baseline and result: what each layer costs, and what it lost.

The file of an encoded result has no names, and holds what the model before the encoding held, which is taken for it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import onnx

from engine.findings.evidence import Evidence, LeftOut
from engine.findings.layer_noise import Noise, noise
from engine.findings.layer_sensitivity import Sensitivity, sensitivity
from engine.onnx_model.holdings import Holding, holdings
from engine.onnx_model.weights import macs, printable, shapes
from pith.findings.layers import Absent, LayerCost, LayerReport, Layers

MOST = 2000
UNKNOWN_MACS = 1e9


def layers(evidence: Evidence) -> Layers:
    """Every layer with numbers of its own, of baseline and result.

    Raises:
        LeftOut: neither file holds any.
    """
    last = _unencoded(evidence)
    before = _read(evidence, evidence.candidates[0].onnx)
    after = _read(evidence, evidence.candidates[last].onnx)
    names = _merged(list(before), list(after))
    if not names:
        raise LeftOut("the model has no layers with weights")
    if len(names) > MOST:
        evidence.lacks("layers", f"the first {MOST} of {len(names)} layers are listed")
    heard, tried, idle = _ran(evidence, last)
    rows = [
        LayerReport(
            name=printable(name),
            kind=(after.get(name) or before[name])[0],
            before=_cost(before, name),
            after=_cost(after, name),
            sqnr_db=heard.sqnr_db.get(name),
            no_noise=None if name in heard.sqnr_db else _absent(name, before, after, heard.lacks, idle),
            sensitivity=tried.falls.get(name),
            no_sensitivity=None if name in tried.falls else _absent(name, before, after, tried.lacks, idle),
        )
        for name in names[:MOST]
    ]
    samples = max(heard.samples, tried.samples)
    return Layers(rows=tuple(rows), samples=samples, metric=tried.metric if tried.falls else None)


Costs = Mapping[str, tuple[str, LayerCost]]
"""Kind and cost of each layer."""


def _unencoded(evidence: Evidence) -> int:
    last = len(evidence.candidates) - 1
    while last and "encoding" in evidence.ctx.spec.recipe[last - 1].changes:
        last -= 1
    return last


def _read(evidence: Evidence, path: Path) -> Costs:
    proto = onnx.load(path)
    sample = evidence.samples.take(1)
    sizes = {port.name: array.shape for port, array in zip(proto.graph.input, sample, strict=True)}
    known = shapes(proto, sizes)
    return {each.name: (each.kind, _costs(each, known)) for each in holdings(proto.graph)}


def _costs(holding: Holding, known: Mapping[str, tuple[int, ...]]) -> LayerCost:
    parts = holding.parts.values()
    counts = [macs(node, known) for node in holding.nodes]
    return LayerCost(
        shape=holding.weight.shape,
        parameters=sum(part.numbers for part in parts),
        nonzero=sum(part.nonzero() for part in parts),
        size_bytes=sum(part.size_bytes() for part in parts),
        bits=holding.weight.bits(),
        macs=None if None in counts else sum(count or 0 for count in counts),
    )


def _cost(costs: Costs, name: str) -> LayerCost | None:
    return costs[name][1] if name in costs else None


def _absent(name: str, before: Costs, after: Costs, lacks: Mapping[str, Absent], idle: Absent) -> Absent:
    """Why nothing is known of a layer; ``idle`` is why of those that no file was asked about."""
    if name not in before:
        return "came"
    return "went" if name not in after else lacks.get(name, idle)


def _merged(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Both in their orders: what has gone stands where it was."""
    found: list[str] = []
    kept, at = set(after), 0
    for name in after:
        if name in before[at:]:
            there = before.index(name, at)
            found += [gone for gone in before[at:there] if gone not in kept]
            at = there + 1
        found.append(name)
    return [*found, *(gone for gone in before[at:] if gone not in kept)]


def _ran(evidence: Evidence, last: int) -> tuple[Noise, Sensitivity, Absent]:
    """What running both models tells, and why they were not asked about a layer; what cannot be had is said, and the
    rest of the section stays."""
    if evidence.short:
        evidence.lacks("layers", "noise and sensitivity, as the job asked for a short report")
        return Noise(), Sensitivity(), "short report"
    try:
        before, _ = evidence.pair()
    except LeftOut as reason:
        evidence.lacks("layers", f"noise and sensitivity: {reason}")
        return Noise(), Sensitivity(), "new outputs"
    after = evidence.candidates[max(last, evidence.since)].onnx
    macs = evidence.candidates[evidence.since].counts.get("macs", UNKNOWN_MACS)
    how = (before, after, evidence.samples, macs, evidence.ctx.job.threads)
    heard, tried = noise(*how), sensitivity(*how)
    if tried.lack:
        evidence.lacks("layers", tried.lack)
    return heard, tried, "new outputs"
