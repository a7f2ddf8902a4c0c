"""How the artifacts are used: the code that was run when they were loaded back."""

from engine.findings.evidence import Evidence
from pith.findings.usage import Usage


def usage(evidence: Evidence) -> tuple[Usage, ...]:
    """It is there whether the report is short or not: it was run as the proof that the artifacts load."""
    return evidence.usage
