"""Loaded into schemathesis: what keeps its requests short, and leads some of them to a job that has results."""

import os
from typing import Any

import schemathesis

JOB, ARTIFACT = os.environ["FUZZED_JOB"], "model.onnx"
OTHER_KINDS = {
    "/v1/jobs/{id}/events": ("text/event-stream",),
    "/v1/jobs/{id}/report": ("text/html", "text/markdown"),
}
WAIT_SECONDS = 0.05
TOO_LONG = "x" * 20_001


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    _hurry(case)
    _shorten(case)
    if case.operation.path.startswith("/v1/jobs/{id}") and case.method == "GET" and _even(case):
        _lead(case)


def _hurry(case: Any) -> None:
    """No request waits for something that nobody does here."""
    if isinstance(case.query, dict) and _is_positive(case.query.get("wait")):
        case.query["wait"] = WAIT_SECONDS
    if case.headers and "wait" in str(case.headers.get("prefer", "")):
        case.headers["prefer"] = "wait=0"


def _shorten(case: Any) -> None:
    """A line beyond 64 KiB is refused by the server, which speaks no problem+json; what is too long stays too long."""
    for name, value in case.query.items() if isinstance(case.query, dict) else ():
        if len(str(value)) > len(TOO_LONG):
            case.query[name] = TOO_LONG


def _lead(case: Any) -> None:
    """To the job that has ended, and to its results in every form."""
    case.path_parameters["id"] = JOB
    if "name" in case.path_parameters:
        case.path_parameters["name"] = ARTIFACT
    kinds = () if _headers_are_meant(case) else OTHER_KINDS.get(case.operation.path, ())
    if (chosen := len(str(case.query)) // 2 % (len(kinds) + 1)) < len(kinds):
        case.headers["Accept"] = kinds[chosen]


def _headers_are_meant(case: Any) -> bool:
    """A request that lacks a header is mended, key and all, when another is put into it."""
    where = getattr(case.meta.phase.data, "parameter_location", None) if case.meta is not None else None
    return where is not None and where.value == "header"


def _even(case: Any) -> bool:
    """By chance, and the same chance in every run with the same seed."""
    return (len(str(case.path_parameters)) + len(str(case.query))) % 2 == 0


def _is_positive(value: object) -> bool:
    try:
        return float(str(value)) > 0
    except ValueError:
        return False
