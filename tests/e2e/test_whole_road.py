"""A model goes in over HTTP, a smaller one comes out, and runs with ONNX Runtime alone."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np

from pith.client import Pith
from tests.app.embedded import Up
from tests.e2e.conftest import Submit
from tests.engine.tiny import arrays

RECIPE = (
    {"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4, "iterations": 2, "recovery": {"epochs": 1}},
    {"kind": "distill.logits", "temperature": 4, "epochs": 1},
    {"kind": "quantize.static"},
)
RUN = """
import sys, numpy, onnxruntime
(scores,) = onnxruntime.InferenceSession(sys.argv[1]).run(None, {"input": numpy.load(sys.argv[2])["x_test"]})
assert "torch" not in sys.modules
numpy.save(sys.argv[3], scores)
"""


def test_three_steps_through_the_whole_service(service: Up, pith: Pith, submit: Submit, tmp_path: Path) -> None:
    job = submit(*RECIPE, constraints={"min_compression_ratio": 2})
    seen = list(pith.jobs.events(job.id))
    assert [event.seq for event in seen] == list(range(1, len(seen) + 1))
    assert (seen[0].type, seen[-1].type) == ("queued", "succeeded")
    assert [event.message for event in seen if event.type == "step_started"] == [step["kind"] for step in RECIPE]
    job, report = pith.jobs.get(job.id), pith.jobs.report(job.id)
    assert job.status == "succeeded" and job.verdict == report.verdict == "met" and job.progress.fraction == 1
    assert report.job == job.id and report.model_digest == pith.models.get(job.spec.model).digest
    (announced,) = re.findall(r"protections around jobs: (.*)", service.log.read_text())[:1]
    assert {*announced.split(", ")} - {"none"} <= {*report.environment.sandbox}, "what the worker said is on was on"
    _check_artifacts(service, job.id, report.outputs, tmp_path)
    assert b"The constraint is met" in pith.jobs.report_html(job.id)
    assert not list((service.log.parent / "data/work").glob("*/*")), "the job's files are gone"


def _check_artifacts(service: Up, job: str, outputs: tuple, folder: Path) -> None:
    assert {output.format for output in outputs} == {"onnx", "pt2", "safetensors"}
    for output in outputs:
        answer = httpx.get(f"{service.url}/v1/jobs/{job}/artifacts/{output.name}")
        assert answer.status_code == 200 and len(answer.content) == output.size_bytes
        assert "sha256:" + hashlib.sha256(answer.content).hexdigest() == output.digest
        assert output.digest in answer.headers["etag"]
        (folder / output.name).write_bytes(answer.content)
    np.savez(folder / "data.npz", **arrays())
    arguments = [str(folder / name) for name in ("model.onnx", "data.npz", "scores.npy")]
    subprocess.run([sys.executable, "-I", "-c", RUN, *arguments], check=True)
    assert np.load(folder / "scores.npy").shape == (64, 4)


def test_a_result_is_the_input_of_the_next_job(pith: Pith, submit: Submit, tmp_path: Path) -> None:
    first = pith.jobs.wait(submit({"kind": "prune.channel", "round_to": 4}, outputs=["pt2"]).id)
    (artifact,) = [one for one in pith.jobs.artifacts(first.id) if one.format == "pt2"]
    pith.jobs.download(artifact, tmp_path / "model.pt2")
    model = pith.models.upload(tmp_path / "model.pt2").id
    again = pith.jobs.wait(submit({"kind": "quantize.dynamic"}, model=model, outputs=["onnx"]).id)
    before, after = pith.jobs.report(first.id).result, pith.jobs.report(again.id).baseline
    assert again.status == "succeeded" and before.get("parameters") == after.get("parameters")


def test_another_upload_may_teach(pith: Pith, submit: Submit, ids: dict[str, str]) -> None:
    step = {"kind": "distill.logits", "teacher": ids["model"], "epochs": 1}
    assert pith.jobs.wait(submit(step, outputs=["onnx"]).id).status == "succeeded"


def test_two_of_the_same_request_at_once_are_two_jobs_with_one_result(pith: Pith, submit: Submit) -> None:
    jobs = [submit({"kind": "finetune.full"}, outputs=["safetensors"], seed=3) for _ in range(2)]
    digests = {
        artifact.digest
        for job in jobs
        for artifact in pith.jobs.artifacts(pith.jobs.wait(job.id).id)
        if artifact.format == "safetensors"
    }
    assert len({job.id for job in jobs}) == 2 and len(digests) == 1, "same seed, same bytes, stored once"
