"""(a) What a job costs beside the engine: queue, staging, starting a sandboxed process, storing the results.

Peer: ``engine.run`` on the same files in a process that has imported everything, alternately with jobs that go
through the whole service. The engine's own time varies by more than what is measured here, so the figure is each
job's time from submission to its last event less the time that the engine itself took within it, and the two whole
times stand beside it.
"""

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.service import running
from engine.data.intake import stage_dataset
from engine.jobdir import EngineJob, JobDir
from engine.main import main as run_engine
from pith.client import Pith
from pith.job import JobSpec
from pith.report import Report

ROUNDS = 5
THREADS = 2
RECIPE = [{"kind": "finetune.full", "epochs": 1}, {"kind": "quantize.static"}]


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        subprocess.run([sys.executable, "examples/demo/train.py", str(folder)], check=True, stdout=subprocess.DEVNULL)
        with running(folder, "app.up", PITH_THREADS=THREADS) as (url, _), Pith(url) as pith:
            ids = pith.models.upload(folder / "model.pt2").id, pith.datasets.upload(folder / "dataset.npz").id
            spec = JobSpec.model_validate({"model": ids[0], "dataset": ids[1], "recipe": RECIPE, "outputs": ["onnx"]})
            _through(pith, spec)
            _direct(folder, spec)
            rounds = [(*_through(pith, spec), _direct(folder, spec)) for _ in range(ROUNDS)]
    whole, outside, direct = (statistics.median(column) for column in zip(*rounds, strict=True))
    return {"whole": whole, "outside": outside, "direct": direct, "worst": max(row[1] for row in rounds)}


def _through(pith: Pith, spec: JobSpec) -> tuple[float, float]:
    started = time.perf_counter()
    job = pith.jobs.wait(pith.jobs.submit(spec).id)
    whole = time.perf_counter() - started
    assert job.status == "succeeded", job.error
    return whole, whole - pith.jobs.report(job.id).seconds


def _direct(folder: Path, spec: JobSpec) -> float:
    desk = JobDir(folder / "direct")
    desk.root.mkdir()
    shutil.copyfile(folder / "model.pt2", desk.model)
    stage_dataset(folder / "dataset.npz", "dataset.npz", None, desk)
    job = EngineJob(spec=spec, model_digest="sha256:" + "0" * 64, threads=THREADS)
    desk.spec.write_text(job.model_dump_json())
    started = time.perf_counter()
    assert run_engine(desk.root) == 0
    seconds = time.perf_counter() - started
    Report.model_validate_json(desk.report_json.read_bytes())
    shutil.rmtree(desk.root)
    return seconds
