"""What a job leaves behind is not believed: every lie here makes the job fail and stores nothing."""

import pytest

from pith.dataset import FittedPreprocessing, TextPreprocessing
from pith.job import Job
from store.settings import Settings
from tests.worker.conftest import Do

TEXT = FittedPreprocessing(
    preprocessing=TextPreprocessing(), inputs=("text",), input_shape=(128,), vocabulary=9
).model_dump_json()
LIES = {
    "no report": ("succeed(); folder.report_json.unlink()", "no report.json"),
    "no page": ("succeed(); folder.report_html.unlink()", "no report.html"),
    "a report that does not validate": ("succeed(); folder.report_json.write_text('{}')", "does not validate"),
    "a report of another job": ("succeed(job='job_' + '0' * 26)", "something else"),
    "a report of another spec": ("succeed(spec=folder.read().spec.model_copy(update={'seed': 9}))", "something else"),
    "a report of another model": ("succeed(model_digest='sha256:' + '0' * 64)", "something else"),
    "another verdict": ("succeed(verdict='met')", "the verdict 'met'"),
    "no outputs": ("succeed(outputs=())", "the outputs []"),
    "other bytes": ("succeed(); folder.output('onnx').write_bytes(b'other')", "model.onnx of 5 bytes"),
    "no output file": ("succeed(); folder.output('onnx').unlink()", "no model.onnx"),
    "a folder for an output": (
        "succeed(); folder.output('onnx').unlink(); folder.output('onnx').mkdir()",
        "no plain file",
    ),
    "preprocessing that does not validate": ("succeed(); folder.preprocessing.write_text('{}')", "preprocessing.json"),
    "no tokenizer": (f"succeed(); folder.preprocessing.write_text({TEXT!r})", "no tokenizer.json"),
    "an endless report": ("succeed(); folder.report_json.open('ab').truncate(9 << 20)", "8388608 is the most"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_makes_the_job_fail(do: Do, lie: str) -> None:
    script, reason = LIES[lie]
    job = do(script)
    assert job.error is not None
    assert (job.status, job.error.code, job.artifacts) == ("failed", "engine_fault", ())
    assert reason in job.error.detail


def test_preprocessing_and_the_tokenizer_are_artifacts(do: Do) -> None:
    files = f"folder.preprocessing.write_text({TEXT!r}); folder.part('tokenizer.json').write_text('{{}}')"
    job = do(f"succeed(); {files}")
    made = [(artifact.name, artifact.format) for artifact in job.artifacts if artifact.kind == "preprocessing"]
    assert job.status == "succeeded" and sorted(made) == [("preprocessing.json", "json"), ("tokenizer.json", "json")]


@pytest.mark.parametrize("how", ["symlink", "link", "mkfifo"])
def test_a_link_in_out_is_not_followed(do_freely: Do, how: str, settings: Settings) -> None:
    """Without a sandbox, where the process could make one."""
    other = settings.data_dir / "other"
    other.write_bytes(b"a model as onnx")  # what the report promises, so that only the link is wrong
    source = "" if how == "mkfifo" else f"{str(other)!r}, "
    job = do_freely(f"""
import os
succeed()
folder.output('onnx').unlink()
os.{how}({source}folder.output('onnx'))""")
    assert job.error is not None
    assert (job.status, job.error.code) == ("failed", "engine_fault")
    assert "no plain file" in job.error.detail or "no model.onnx" in job.error.detail


def test_constraints_of_the_report_must_be_those_of_the_spec(do: Do) -> None:
    constraints = {"min_compression_ratio": 2.0}
    assert _verdict(do("succeed()", constraints=constraints)) == "met"
    forged = do("succeed(constraints=(), verdict='met')", constraints=constraints)
    assert forged.error is not None
    assert "constraints are not those" in forged.error.detail


def _verdict(job: Job) -> str | None:
    return job.verdict


def test_the_sandbox_is_in_the_report(do: Do, do_freely: Do) -> None:
    assert do("assert 'landlock' in sandbox or 'seccomp' in sandbox\nsucceed()").status == "succeeded"
    assert do_freely("assert 'seccomp' not in sandbox\nsucceed()").status == "succeeded"


def test_what_is_wrong_with_each_field_is_kept_within_bounds(do: Do) -> None:
    wrong = [{"pointer": f"/layer{number}", "code": "missing", "detail": "not\nthere"} for number in range(150)]
    job = do(f"""
import json
problem = {{"type": "x", "title": "x", "status": 400, "detail": "They do not fit.", "code": "weights_mismatch"}}
folder.error.write_text(json.dumps(problem | {{"errors": {wrong!r}}}))
code = 1""")
    assert job.error is not None and job.error.code == "weights_mismatch"
    assert len(job.error.errors) == 100
    assert (job.error.errors[0].pointer, job.error.errors[0].detail) == ("/layer0", "not there")
