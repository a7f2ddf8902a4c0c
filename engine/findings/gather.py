"""All sections of a report. A failure inside one costs that section, and never the job."""

from collections.abc import Callable
from typing import Any

from engine.findings.curves import curves
from engine.findings.evidence import Evidence, LeftOut
from engine.findings.layers import layers
from engine.findings.looks import looks
from engine.findings.lost import lost
from engine.findings.trust import trust
from engine.findings.usage import usage
from engine.model import first_line
from pith.report import Section

Make = Callable[[Evidence], Any]

MADE_BY: dict[Section, Make] = {
    "lost": lost,
    "layers": layers,
    "trust": trust,
    "looks": looks,
    "curves": curves,
    "usage": usage,
}
"""In the order of the report."""

RUNS_MODELS: frozenset[Section] = frozenset({"trust", "looks"})
"""What a short report has not; a section that is not here leaves out by itself what it would have to run."""

FORGIVEN: tuple[type[Exception], ...] = (Exception,)
"""What a section may raise without harm. Tests empty it, so that no fault hides in ``left_out``."""


def gather(evidence: Evidence) -> dict[str, Any]:
    """The sections by their names in the report, and ``left_out``, which says why others, or parts, are not there."""
    made = {name: _made(name, make, evidence) for name, make in MADE_BY.items()}
    found: dict[str, Any] = {name: section for name, section in made.items() if section is not None}
    return {**found, "left_out": {name: "; ".join(reasons) for name, reasons in evidence.missing.items()}}


def _made(name: Section, make: Make, evidence: Evidence) -> Any:
    if evidence.short and name in RUNS_MODELS:
        evidence.lacks(name, "the job asked for a short report")
        return None
    try:
        return make(evidence)
    except LeftOut as absent:
        evidence.lacks(name, str(absent))
    except FORGIVEN as error:
        evidence.lacks(name, f"it could not be made ({first_line(error)})")
        evidence.ctx.events.emit("warning", f"The report has no section {name}: {first_line(error)}")
    return None
