"""Stands in for the engine in the tests' fork server: runs the job's model, or the upload that an intake looks at, as a
Python script in the real sandbox."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from engine.events import EventStream
from engine.jobdir import EngineJob, JobDir
from engine.position import Position
from pith.errors import PithError
from pith.intake import PartName
from pith.report import Comparison, ConstraintResult, Environment, Measurement, OutputReport, Report
from tests.store.shop import DATASET_FACTS, MODEL_DETAILS, MODEL_FACTS, PREVIEW

ENTRY = f"{__name__}:obey"


def obey(job_dir: Path, sandbox: tuple[str, ...] = ()) -> int:
    """The script finds ``folder``, ``sandbox``, ``events``, ``succeed``, ``checkpoint``, ``fail`` and, in an intake,
    ``learn``; ``code`` is how it exits."""
    folder = JobDir(job_dir)
    events = EventStream(folder.events)
    script: dict[str, Any] = {"folder": folder, "sandbox": sandbox, "events": events, "code": 0}
    script["succeed"] = lambda **changes: succeed(folder, sandbox, **changes)
    script["checkpoint"] = lambda number, data=b"graph": checkpoint(folder, number, data)
    script["fail"] = lambda error: folder.error.write_text(error.problem.model_dump_json())
    script["learn"] = lambda *names, **changes: learn(folder, names, **changes)
    script["PithError"] = PithError
    source = folder.upload if folder.intake.exists() else folder.model
    exec(compile(source.read_text() if source.exists() else "learn()", "script", "exec"), script)
    return int(script["code"])


def learn(folder: JobDir, names: Sequence[PartName] = (), **changes: Any) -> None:
    """Leave a ``learnt.json`` and the canonical files that it names: the upload's own bytes."""
    known: dict[str, Any] = {"facts": MODEL_FACTS | MODEL_DETAILS, "parts": names or ("model.pt2",)}
    if folder.read_intake().resource == "dataset":
        known = {"facts": DATASET_FACTS, "preview": PREVIEW, "parts": names or ("dataset.arrow", "dataset.json")}
    for name in known["parts"]:
        folder.part(name).write_bytes(folder.upload.read_bytes() if folder.upload.exists() else b"fresh")
    folder.learnt.write_text(json.dumps(known | changes))


def checkpoint(folder: JobDir, number: int, data: bytes) -> None:
    """As the engine writes one: the position last."""
    folder.checkpoint.mkdir(exist_ok=True)
    where = Position(number=number, graph=f"graph-{number}.pt2")
    (folder.checkpoint / where.graph).write_bytes(data)
    aside = folder.checkpoint / "aside"
    aside.write_text(where.model_dump_json())
    aside.replace(folder.checkpoint / "position.json")


def succeed(folder: JobDir, sandbox: tuple[str, ...], content: bytes | None = None, **changes: Any) -> None:
    """Leave small outputs and a report that fits them."""
    job = folder.read()
    outputs = []
    for form in job.spec.outputs:
        data = f"a model as {form}".encode() if content is None else content
        folder.output(form).write_bytes(data)
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        outputs.append(output_report(form, len(data), digest))
    report = report_for(job, tuple(outputs), sandbox).model_copy(update=changes)
    folder.report_json.write_text(report.model_dump_json())
    folder.report_html.write_text("<!doctype html><title>report</title>")


def output_report(form: Any, size: int, digest: str) -> OutputReport:
    return OutputReport(
        name=f"model.{form}",
        format=form,
        size_bytes=size,
        digest=digest,
        reload_max_abs_difference=0,
        agreement_with_result=1,
    )


def report_for(job: EngineJob, outputs: tuple[OutputReport, ...], sandbox: tuple[str, ...]) -> Report:
    wanted = {name: limit for name, limit in job.spec.constraints.model_dump().items() if limit is not None}
    constraints = [
        ConstraintResult.model_validate({"name": name, "limit": limit, "value": limit, "met": True, "margin": 0})
        for name, limit in wanted.items()
    ]
    return Report(
        job=job.job,
        created_at=datetime.now(UTC),
        verdict="met" if wanted else "unconstrained",
        headline=("It is smaller.",),
        spec=job.spec,
        model_digest=job.model_digest,
        dataset_digest=job.dataset_digest,
        baseline=Measurement(metrics=()),
        result=Measurement(metrics=()),
        steps=(),
        comparison=Comparison(compression_ratio=2, speedup=1, quality=None, measured_on="random inputs"),
        constraints=tuple(constraints),
        outputs=outputs,
        environment=Environment(
            device="cpu", device_name="cpu", runtime="none", threads=1, batch_size=1, versions={}, sandbox=sandbox
        ),
        seconds=1,
    )
