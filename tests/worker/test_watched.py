"""What an operator sees of a job: the numbers, the traces and the log of every process that it went through."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families as parsed

from store.settings import Settings
from tests.app.api_process import free_port
from tests.otlp import Receiver, receiving
from tests.store.redis_process import RedisProcess
from tests.waiting import eventually
from tests.worker.processes import Service

CALLERS = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
SCRIPT = """
if folder.intake.exists():
    learn()
else:
    for type in ("step_started", "step_finished"):
        events.step = 0
        events.emit(type, "as it says")
    events.step = None
    succeed()
"""
CASE = re.compile(r"pith_[a-z_]+(?<!_)|python_[a-z_]+|process_[a-z_]+")

Sample = Callable[..., float | None]


class Town:
    """An API, a scheduler and a worker, each with its port for metrics."""

    def __init__(self, service: Service, receiver: Receiver) -> None:
        self.service, self.receiver = service, receiver
        ports = {name: free_port() for name in ("http", "api", "scheduler", "worker")}
        self.api = httpx.Client(base_url=f"http://127.0.0.1:{ports['http']}", timeout=60)
        self.urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
        service.set("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
        service.set("OTEL_BSP_SCHEDULE_DELAY", "100")
        service.set("PITH_LOG_FORMAT", "json")
        service.set("PITH_PORT", str(ports["http"]))
        self.processes = {}
        for name, module in (("api", "app.serve"), ("scheduler", "store.scheduler"), ("worker", "tests.worker.launch")):
            service.set("PITH_METRICS_PORT", str(ports[name]))
            self.processes[name] = service.start(module)
        for name in self.processes:
            eventually(lambda name=name: self.livez(name) == 200)
        eventually(lambda: self.livez("http") == 200)

    def livez(self, process: str) -> int | None:
        try:
            return httpx.get(f"{self.urls[process]}/livez", timeout=5).status_code
        except httpx.TransportError:
            return None

    def metrics(self, process: str) -> str:
        answer = httpx.get(f"{self.urls[process]}/metrics", timeout=30)
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return answer.text

    def value(self, process: str, name: str, **labels: str) -> float | None:
        return next(
            (
                sample.value
                for family in parsed(self.metrics(process))
                for sample in family.samples
                if sample.name == name and labels.items() <= sample.labels.items()
            ),
            None,
        )

    def job(self) -> str:
        """Upload a script, and have it run; the id of the job, which has succeeded."""
        given = {"traceparent": CALLERS, "X-Request-Id": "mine-1"}
        made = self.api.put("/v1/models?name=secret-name.pt2", content=SCRIPT.encode(), headers=given).json()
        assert self.api.get(f"/v1/models/{made['id']}?wait=60").json()["status"] == "ready"
        spec = {"model": made["id"], "recipe": [{"kind": "quantize.dynamic"}]}
        job = str(self.api.post("/v1/jobs", json=spec, headers=given).json()["id"])
        eventually(lambda: self.api.get(f"/v1/jobs/{job}?wait=30").json()["status"] == "succeeded")
        return job


@pytest.fixture
def town(service: Service, settings: Settings, redis: RedisProcess) -> Iterator[Town]:
    with receiving() as receiver:
        town = Town(service, receiver)
        yield town
        town.api.close()


def test_a_job_is_seen_in_numbers_traces_and_logs(town: Town, tmp_path: Path) -> None:
    job = town.job()
    _numbers(town, job)
    _traces(town, job)
    for process in town.processes.values():
        process.send_signal(signal.SIGTERM)
    for name, process in town.processes.items():
        assert process.wait(60) in (0, -signal.SIGTERM), name
    _log(town, job)


def _numbers(town: Town, job: str) -> None:
    eventually(lambda: town.value("worker", "pith_attempts_total", kind="compression", end="succeeded") == 1)
    assert town.value("worker", "pith_attempts_total", kind="intake", end="succeeded") == 1
    assert town.value("worker", "pith_job_seconds_count", kind="compression", outcome="succeeded") == 1
    assert town.value("worker", "pith_step_seconds_count", technique="quantize.dynamic") == 1
    assert town.value("worker", "pith_heartbeat_lag_seconds") == 0
    assert (town.value("worker", "pith_disk_free_bytes", place="data") or 0) > 0
    post = {"method": "POST", "route": "/v1/jobs"}
    assert town.value("api", "pith_http_requests_total", **post, status="202") == 1
    assert town.value("api", "pith_http_request_duration_seconds_count", **post) == 1
    assert town.value("api", "pith_upload_bytes_total", to="models") == len(SCRIPT)
    assert town.value("api", "pith_dispatches_total", sent="first") in (1, 2)  # or the scheduler was faster
    town.api.get("/no/such/route")
    assert town.value("api", "pith_http_requests_total", route="none", status="404") == 1
    eventually(lambda: town.value("scheduler", "pith_jobs", kind="compression", status="succeeded") == 1)
    assert town.value("scheduler", "pith_queue_depth", queue="jobs") == 0
    assert town.value("scheduler", "pith_queue_oldest_age_seconds", queue="intake") == 0
    assert (town.value("scheduler", "pith_blob_bytes") or -1) >= 0
    for process in town.processes:
        _well_formed(town.metrics(process))
        assert job not in town.metrics(process) and "secret-name" not in town.metrics(process)


def _well_formed(text: str) -> None:
    """The rules of promtool's linter that such names can break."""
    families = list(parsed(text))
    assert families
    assert len({family.name for family in families}) == len(families)
    for family in families:
        assert family.documentation and family.type in {"counter", "gauge", "histogram"}, family.name
        assert CASE.fullmatch(family.name), family.name
        assert not family.name.endswith(("_milliseconds", "_ms", "_kb", "_count", "_sum", "_bucket"))
        assert f"# HELP {family.name}" in text and f"# TYPE {family.name}" in text
        names = {sample.name for sample in family.samples}
        if family.type == "counter":
            assert all(name.endswith("_total") for name in names), names
        elif family.type == "gauge":
            assert not any(name.endswith("_total") for name in names), names


def _traces(town: Town, job: str) -> None:
    """Callers' → request → job → attempt → step; the attempt's span comes last."""
    seen = town.receiver
    eventually(lambda: [span for span in seen.named("attempt") if span.attributes["pith.job"] == job])
    (attempt,) = [span for span in seen.named("attempt") if span.attributes["pith.job"] == job]
    (queued,) = [span for span in seen.named("job") if span.attributes["pith.job"] == job]
    (step,) = seen.named("quantize.dynamic")
    (request,) = seen.named("POST /v1/jobs")
    _, trace, caller, _ = CALLERS.split("-")
    assert {span.trace for span in (request, queued, attempt, step)} == {trace}
    assert [span.parent for span in (request, queued, attempt, step)] == [caller, request.id, queued.id, attempt.id]
    assert (request.service, attempt.service) == ("pith-api", "pith-worker")
    assert attempt.attributes["pith.attempt.end"] == "succeeded" and not attempt.failed
    assert 0 <= step.seconds <= attempt.seconds
    assert not any("secret-name" in str(span) for span in seen.spans)
    assert not any("livez" in span.name for span in seen.spans)


def _log(town: Town, job: str) -> None:
    lines = [json.loads(line) for line in town.service.log.read_text().splitlines()]
    assert {line["process"] for line in lines} == {"api", "scheduler", "worker"}
    assert not any("secret-name" in json.dumps(line) for line in lines)
    (submitted,) = [line for line in lines if line.get("path") == "/v1/jobs" and line.get("method") == "POST"]
    assert (submitted["status"], submitted["request_id"]) == (202, "mine-1")
    assert submitted["trace_id"] == CALLERS.split("-")[1] and submitted["seconds"] > 0
    assert not any(line.get("path") in ("/livez", "/readyz") for line in lines)
    ended = [line for line in lines if line.get("job") == job]
    assert len(ended) >= 2 and {line["attempt"] for line in ended} == {1}
    assert {line["trace_id"] for line in ended} == {CALLERS.split("-")[1]}


def test_a_stopped_process_does_not_seem_alive(town: Town) -> None:
    worker = town.processes["worker"]
    os.kill(worker.pid, signal.SIGSTOP)
    assert town.livez("worker") is None
    os.kill(worker.pid, signal.SIGCONT)
    assert eventually(lambda: town.livez("worker")) == 200


def test_a_main_loop_that_hangs_is_named(service: Service, redis: RedisProcess) -> None:
    port = free_port()
    service.set("PITH_METRICS_PORT", str(port))
    worker = service.start("tests.worker.launch_hanging")
    eventually(lambda: "; ready." in service.log.read_text())

    def said() -> str:
        return httpx.get(f"http://127.0.0.1:{port}/livez", timeout=30).text

    assert said() == "ok\n"
    worker.send_signal(signal.SIGUSR2)
    eventually(lambda: said() == "silent for too long: messages\n")
