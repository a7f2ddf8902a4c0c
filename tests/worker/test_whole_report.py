"""The whole report of a real job, made inside the sandbox: nothing in it needs what a job may not do."""

from pathlib import Path

from engine.jobdir import JobDir
from pith.job import EngineEvent
from pith.report import Report
from tests.engine.tiny import Mlp, job_folder
from worker import sandbox
from worker.sandbox import Policy
from worker.warm_client import End, WarmServer

SECONDS = 600


def test_time_memory_and_layers_can_be_had_inside(tmp_path: Path) -> None:
    folder = job_folder(tmp_path, [{"kind": "quantize.dynamic"}], net=Mlp, outputs=["onnx"])
    folder.spec.write_text(folder.read().model_copy(update={"threads": 2}).model_dump_json())
    server = WarmServer(preload=())
    try:
        policy = Policy(job_dir=folder.root, memory_bytes=3 << 30, threads=2)
        assert server.start(policy).wait(SECONDS) == End(code=0), _log(folder)
    finally:
        server.close()
    report = Report.model_validate_json(folder.report_json.read_bytes())
    assert report.environment.sandbox or not sandbox.probe()
    for measured in (report.baseline, report.result):
        assert (measured.get("peak_memory_bytes") or 0) > 0
        assert [(one.threads, one.batch_size) for one in measured.timings] == [
            (threads, size) for threads in (1, 2) for size in (1, 8, 32)
        ]
    assert report.layers is not None and all(row.sqnr_db and row.after for row in report.layers.rows)
    events = [EngineEvent.model_validate_json(line) for line in folder.events.read_text().splitlines()]
    assert "layers" not in report.left_out and not any("no section" in event.message for event in events)


def _log(folder: JobDir) -> str:
    return "\n".join(path.read_text()[-2000:] for path in folder.root.glob("*.log"))
