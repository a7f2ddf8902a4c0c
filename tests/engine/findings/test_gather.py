"""One section that fails costs that section; what is missing is said."""

from pathlib import Path
from typing import Any

import pytest

import engine.reload
from engine.findings import gather
from engine.findings.evidence import Evidence, LeftOut
from engine.jobdir import JobDir
from engine.run import run
from pith.findings.layers import Layers
from pith.report import Report, Section
from tests.engine.tiny import Mlp, job_folder


def failing(evidence: Evidence) -> None:
    raise ValueError(f"no {evidence.samples.origin}\nwith details")


def absent(evidence: Evidence) -> None:
    raise LeftOut("there are no pictures")


def partly(evidence: Evidence) -> Layers:
    evidence.lacks("layers", "one is odd")
    evidence.lacks("layers", "one is even")
    return Layers(rows=())


def reported(
    root: Path, monkeypatch: pytest.MonkeyPatch, makers: dict[Section, gather.Make], **spec: Any
) -> tuple[JobDir, Report]:
    monkeypatch.setattr(gather, "MADE_BY", makers)
    folder = job_folder(root, [{"kind": "quantize.dynamic"}], net=Mlp, outputs=["onnx"], **spec)
    return folder, run(folder.root, engine.reload.main)


def test_a_failure_costs_its_section_and_is_a_warning(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gather, "FORGIVEN", (Exception,))
    folder, report = reported(tmp_path, monkeypatch, {"lost": failing, "looks": absent, "layers": partly})
    assert report.left_out == {
        "lost": "it could not be made (ValueError: no test split)",
        "looks": "there are no pictures",
        "layers": "one is odd; one is even",
    }
    assert report.lost is None and report.looks is None and report.layers == Layers(rows=())
    assert "The report has no section lost: ValueError: no test split" in folder.events.read_text()


def test_tests_are_not_forgiving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no test split"):
        reported(tmp_path, monkeypatch, {"lost": failing})


def test_a_short_report_runs_no_models_for_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    makers: dict[Section, gather.Make] = {"trust": failing, "layers": partly}
    _, report = reported(tmp_path, monkeypatch, makers, report="short")
    assert report.left_out["trust"] == "the job asked for a short report" and report.layers is not None
