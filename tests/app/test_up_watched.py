"""The embedded service, watched: a line of JSON for everything, and a port for each process."""

import json
import signal
from pathlib import Path

import httpx

from tests.app.api_process import free_ports
from tests.app.embedded import up
from tests.waiting import eventually


def test_every_line_is_json_and_every_process_has_its_port(tmp_path: Path) -> None:
    first = free_ports(5)
    with up(tmp_path / "data", PITH_LOG_FORMAT="json", PITH_METRICS_PORT=first) as one:
        eventually(one.ready)
        said = [httpx.get(f"http://127.0.0.1:{first + place}/metrics", timeout=30).text for place in range(5)]
        assert ["pith_http_requests_total" in text for text in said] == [True, False, False, False, False]
        assert ["pith_queue_depth{" in text for text in said] == [False, True, False, False, False]
        assert ["pith_attempts_total" in text for text in said] == [False, False, True, True, False]
        assert all(httpx.get(f"http://127.0.0.1:{first + place}/livez").is_success for place in range(5))
        one.process.send_signal(signal.SIGTERM)
        assert one.process.wait(60) == 0
    lines = [json.loads(line) for line in one.log.read_text().splitlines()]
    assert {"up", "api", "scheduler", "worker", "checker", "courier"} <= {line["process"] for line in lines}
