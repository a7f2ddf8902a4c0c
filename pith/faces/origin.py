"""Where a report comes from: its recipe in words, its lineage, and the command that makes it again."""

from collections.abc import Iterator

from pith.base import Step
from pith.report import Report

COMPARES = (
    "A replay runs the same spec again and compares every figure of the result, and every artifact byte for byte; "
    "latency is shown and not held against it."
)


def options(step: Step) -> str:
    """What was asked of a step beyond its defaults."""
    given = step.model_dump(mode="json", exclude_defaults=True, exclude={"kind"})
    return ", ".join(f"{name} {_plain(value)}" for name, value in given.items()) or "as it is by default"


def _plain(value: object) -> str:
    if isinstance(value, dict):
        return f"({', '.join(f'{name} {_plain(each)}' for name, each in value.items())})"
    if isinstance(value, list):
        return f"[{', '.join(map(_plain, value))}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def again(report: Report) -> str | None:
    """The command that runs the same job again; None where no service has run it."""
    return None if report.job is None else f"pith jobs replay {report.job}"


def lineage(report: Report) -> Iterator[tuple[str, str]]:
    """What went in and what came out, each with its digest."""
    yield f"model {report.spec.model}", report.model_digest
    if report.dataset_digest is not None:
        yield f"dataset {report.spec.dataset}", report.dataset_digest
    for output in report.outputs:
        yield output.name, output.digest
