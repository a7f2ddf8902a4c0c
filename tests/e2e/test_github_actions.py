"""The workflow of examples/github-actions, its steps run as a runner does, against a real service.

Not covered: actions of others (``uses:``), and what GitHub makes of a summary.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pith.client import Pith
from tests.app.api_process import environment
from tests.app.embedded import Up
from tests.engine.tiny import Cnn, arrays, saved

EXAMPLE = Path(__file__).parents[2] / "examples/github-actions"
WORKFLOW = yaml.safe_load((EXAMPLE / "compress.yml").read_text())


class Runner:
    """Runs the steps of a job in one folder: ``bash -e`` on each script, with a file each for outputs and a summary."""

    def __init__(self, folder: Path, job: dict[str, Any], context: dict[str, str]) -> None:
        self.folder, self.job, self.context = folder, job, dict(context)
        self.summary = folder / "summary.md"
        self.codes: dict[str, int] = {}
        self.said = ""

    def run(self) -> bool:
        for number, step in enumerate(step for step in self.job["steps"] if "run" in step):
            if all(code == 0 for code in self.codes.values()) or "!cancelled()" in step.get("if", ""):
                self.codes[step["name"]] = self._step(number, step)
        return not any(self.codes.values())

    def _step(self, number: int, step: dict[str, Any]) -> int:
        script, outputs = self.folder / f"step{number}.sh", self.folder / f"outputs{number}"
        script.write_text(self._filled(step["run"]))
        outputs.touch()
        own = {name: self._filled(value) for name, value in {**self.job.get("env", {}), **step.get("env", {})}.items()}
        files = {"GITHUB_OUTPUT": str(outputs), "GITHUB_STEP_SUMMARY": str(self.summary), "CI": "true"}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)],
            env={**environment(self.folder / "unused"), **own, **files, "PATH": path},
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said += done.stdout
        for line in outputs.read_text().splitlines():
            name, _, value = line.partition("=")
            self.context[f"steps.{step.get('id')}.outputs.{name}"] = value
        return done.returncode

    def _filled(self, text: str) -> str:
        return re.sub(r"\$\{\{\s*(\S+)\s*\}\}", lambda found: self.context[found[1]], text)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """What the workflow finds checked out."""
    (tmp_path / "model.pt2").write_bytes(saved(Cnn))
    np.savez(tmp_path / "dataset.npz", **arrays())
    (tmp_path / "compress.json").write_text((EXAMPLE / "compress.json").read_text())
    return tmp_path


def runner(repository: Path, service: Up, **changes: str) -> Runner:
    (job,) = WORKFLOW["jobs"].values()
    steps = [{**step, "run": _changed(step["run"], changes)} if "run" in step else step for step in job["steps"]]
    github = {"github.repository": "me/net", "github.sha": repository.name, "github.run_attempt": "1"}
    return Runner(repository, {**job, "steps": steps}, {**github, "vars.PITH_URL": service.url})


def _changed(script: str, changes: dict[str, str]) -> str:
    for name, limit in changes.items():
        script, count = re.subn(rf"'{name}[<>]=[^']*'", f"'{name}{limit}'", script)
        assert count < 2
    return script


def test_a_gate_that_passes_and_passes_again_with_the_same_job(service: Up, pith: Pith, repository: Path) -> None:
    first = runner(repository, service)
    assert first.run(), first.said
    assert (repository / "compact/model.onnx").exists() and (repository / "compact/report.html").exists()
    id = first.context["steps.pith.outputs.job"]
    ratio = pith.jobs.report(id).comparison.compression_ratio
    assert f"job {id}: met,\n{ratio:.6g} times smaller, passed: true" in first.said
    summary = (repository / "summary.md").read_text()
    assert summary.startswith("### Pith: all that was required is met\n") and f"Job `{id}`" in summary
    again = runner(repository, service)
    assert again.run() and again.context["steps.pith.outputs.job"] == id


def test_a_gate_that_does_not_pass_fails_the_job(service: Up, repository: Path) -> None:
    ran = runner(repository, service, compression_ratio=">=1000")
    assert not ran.run()
    assert ran.codes == {"Compress": 3, "Say what came of it": 0}
    assert "required compression_ratio>=1000: " in ran.said and "NOT MET" in ran.said
    assert "passed: false" in ran.said and (repository / "compact/model.onnx").exists()
    assert (repository / "summary.md").read_text().startswith("### Pith: not met\n")
