"""How training went."""

from engine.findings.evidence import Evidence, LeftOut
from pith.findings.curves import Curve


def curves(evidence: Evidence) -> tuple[Curve, ...]:
    """Of all steps, those that another job or another attempt ran too.

    Raises:
        LeftOut: no step trained.
    """
    found = tuple(curve for done in evidence.ctx.finished for curve in done.curves)
    if not found:
        raise LeftOut("no step trained the model")
    return found
