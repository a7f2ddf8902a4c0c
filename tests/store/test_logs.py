"""What a record becomes: one line whatever is in it, without secrets, with the fields of its work."""

import json
import logging
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from store import logs
from store.settings import Settings


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    hooks = sys.excepthook
    yield
    root.handlers[:], sys.excepthook = handlers, hooks
    root.setLevel(level)
    logging.captureWarnings(False)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def in_json(level: str = "info") -> logging.Logger:
    logs.set_up(Settings.model_validate({"log_format": "json", "log_level": level}), "api")
    return logging.getLogger("pith.test")


def test_a_json_line_has_what_is_bound_and_what_it_brings(capsys: pytest.CaptureFixture[str]) -> None:
    log = in_json()
    with logs.bound(request_id="r1"), logs.bound(job="job_1", attempt=2):
        log.info("%d done", 3, extra={"status": 200, "nobody": "asked"})
    log.info("later")
    first, second = map(json.loads, said(capsys))
    assert first.pop("time").endswith("+00:00")
    assert first == {
        "level": "INFO",
        "process": "api",
        "logger": "pith.test",
        "message": "3 done",
        "request_id": "r1",
        "job": "job_1",
        "attempt": 2,
        "status": 200,
    }
    assert "request_id" not in second and "job" not in second


def test_a_level_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    log = in_json("WARNING")
    log.info("not this")
    log.warning("this")
    assert [json.loads(line)["message"] for line in said(capsys)] == ["this"]


@pytest.mark.parametrize("style", ["text", "json"])
def test_no_character_begins_a_line_of_its_own(capsys: pytest.CaptureFixture[str], style: str) -> None:
    logs.set_up(Settings.model_validate({"log_format": style}), "api")
    with logs.bound(request_id="a\nb"):
        logging.getLogger("pith.test").info("one\r\n2026-01-01 INFO root: two\x1b[2J\u2028three\x00\x85four")
    (line,) = said(capsys)
    assert "2026-01-01" in line and "\x1b" not in line and "\u2028" not in line


def test_an_exception_in_text_passes_for_no_record(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(Settings(), "api")
    try:
        raise ValueError("x\n2026-01-01 00:00:00,000 INFO root: all is well")
    except ValueError:
        logging.getLogger("pith.test").exception("it failed")
    first, *rest = said(capsys)
    assert first.endswith("ERROR pith.test: it failed")
    assert all(line.startswith("    ") for line in rest) and any("all is well" in line for line in rest)


def test_an_exception_in_json_is_a_field(capsys: pytest.CaptureFixture[str]) -> None:
    log = in_json()
    try:
        raise ValueError("why")
    except ValueError:
        log.exception("it failed")
    (line,) = said(capsys)
    assert json.loads(line)["exception"].endswith("ValueError: why")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://pith:s3cr-et@host/pith does not answer",
        "Authorization: Bearer s3cr-et",
        "GET /b/o?X-Amz-Credential=AKIA&X-Amz-Signature=s3cr-et&x=1",
        "password='s3cr-et'",
        "{'api_key': 's3cr-et'}",
        "aws_secret_access_key=s3cr-et token=s3cr-et",
    ],
)
@pytest.mark.parametrize("style", ["text", "json"])
def test_no_secret_gets_into_a_line(capsys: pytest.CaptureFixture[str], style: str, text: str) -> None:
    logs.set_up(Settings.model_validate({"log_format": style}), "api")
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("pith.test").exception("%s", text, extra={"path": text})
    whole = capsys.readouterr().err
    assert "s3cr-et" not in whole and "***" in whole


def test_what_is_not_secret_stays() -> None:
    for text in ("http://host:8000/v1/jobs?limit=3", "tokens: 12 of 30", "the key of a job", "redis://:**@localhost//"):
        assert logs.safe(text) == text or text.startswith("redis")


def test_a_line_has_an_end(capsys: pytest.CaptureFixture[str]) -> None:
    in_json().info("x" * 10**6)
    (line,) = said(capsys)
    assert len(line) < 20_000 and "1000000 characters" in line


def test_last_words_and_warnings_of_a_process_are_json_too(python: Callable[..., "subprocess.Popen[str]"]) -> None:
    code = """
import threading, warnings
from store import logs
from store.settings import Settings
logs.set_up(Settings(log_format="json"), "worker")
warnings.warn("old\\nways")
thread = threading.Thread(target=lambda: 1 / 0)
thread.start(); thread.join()
raise KeyError("gone")
"""
    process = python(code)
    lines = [json.loads(line) for line in process.communicate()[1].splitlines()]
    assert [line["logger"] for line in lines] == ["py.warnings", "pith", "pith"]
    assert "old" in lines[0]["message"]
    assert lines[1]["exception"].endswith("ZeroDivisionError: division by zero")
    assert lines[2]["level"] == "CRITICAL" and "KeyError" in lines[2]["exception"]
