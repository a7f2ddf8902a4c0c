"""The worker's settings, and what it does at start about a sandbox that is not complete."""

import logging

import pytest
from pydantic import ValidationError

from pith.errors import PithError
from worker import application, devices, sandbox
from worker.settings import WorkerSettings


def test_defaults_fit_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("THREADS", "DEVICE", "SANDBOX", "JOB_MEMORY_BYTES"):
        monkeypatch.delenv(f"PITH_{name}", raising=False)
    settings = WorkerSettings()
    assert settings.threads >= 1
    assert settings.job_memory_bytes > 1 << 28
    assert (settings.device, settings.sandbox) == ("auto", "auto")


@pytest.mark.parametrize(
    ("name", "value"),
    [("PITH_DEVICE", "tpu"), ("PITH_SANDBOX", "yes"), ("PITH_THREADS", "0"), ("PITH_JOB_TIME_SECONDS", "-1")],
)
def test_a_wrong_setting_refuses_to_start(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        WorkerSettings()


def test_a_cpu_job_gets_no_gpu() -> None:
    assert devices.resolve(WorkerSettings(device="cpu")) == "cpu"


def test_off_is_said(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        application.announce_sandbox(WorkerSettings(sandbox="off"))
    assert "protections around jobs: none" in caplog.text


def test_require_refuses_to_start_when_a_layer_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandbox, "LAYERS", (*sandbox.LAYERS, "a_moat"))
    with pytest.raises(PithError, match=r"lacks .*a_moat, and PITH_SANDBOX=require"):
        application.announce_sandbox(WorkerSettings(sandbox="require"))
