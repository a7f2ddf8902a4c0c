"""A whole service to which hostile uploads are sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.app.embedded import Up, up
from tests.hostile.case import Hostile
from tests.hostile.delivery import Delivered
from tests.waiting import eventually

MEMORY = 3 << 30


@contextmanager
def running(folder: Path) -> Iterator[Up]:
    """Ready, with every protection that the system has, and with checks that end within a minute."""
    limits = {"PITH_THREADS": 1, "PITH_JOB_MEMORY_BYTES": MEMORY, "PITH_INTAKE_TIME_SECONDS": 60}
    with up(folder / "data", **limits) as service:
        eventually(service.ready)
        eventually(lambda: httpx.get(f"{service.url}/readyz").json()["status"] == "ok")
        yield service


def complaint(case: Hostile, found: Delivered, data: Path) -> str:
    """What is wrong with how the service answered; empty when all is well."""
    if case.at_the_door is not None:
        code = found.refused.code if found.refused else None
        return "" if code == case.at_the_door else f"{code} at the door, and not {case.at_the_door}"
    if found.upload is None or found.upload.status != "rejected" or found.upload.error is None:
        return f"not rejected, but {found}"
    error = found.upload.error
    if error.code not in case.codes or case.words not in error.detail:
        return f"{error.code} ({error.detail}), and not {case.codes} with {case.words!r}"
    if not error.detail.isprintable() or str(data) in error.detail or "Traceback" in error.detail:
        return f"a sentence that says too much: {error.detail!r}"
    return ""
