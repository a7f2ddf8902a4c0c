"""What the scheduler counts, and the port on which a process says how it is."""

import threading
from collections.abc import Iterator
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from prometheus_client.core import Metric
from sqlalchemy import event

from pith.errors import PithError
from store.census import Census
from store.port import Life, open_port
from store.settings import Settings
from tests.app.api_process import free_port
from tests.store.shop import Shop


def values(metrics: Iterator[Metric]) -> dict[tuple[str, ...], float]:
    return {(one.name, *sample.labels.values()): sample.value for one in metrics for sample in one.samples}


def test_jobs_queues_and_bytes_are_counted(shop: Shop) -> None:
    before = values(Census(shop.db).collect())
    assert before["pith_queue_depth", "jobs"] == before["pith_queue_oldest_age_seconds", "jobs"] == 0
    assert before[("pith_blob_bytes",)] == 0
    first, second = shop.job(), shop.job()
    shop.jobs.claim(second.id, "w", 60)
    shop.unchecked_dataset(b"as yet unknown")
    found = values(Census(shop.db).collect())
    assert found["pith_queue_depth", "jobs"] == found["pith_queue_depth", "intake"] == 1
    assert found["pith_jobs", "compression", "queued"] == found["pith_jobs", "compression", "running"] == 1
    assert found["pith_jobs", "compression", "failed"] == 0
    assert found["pith_queue_oldest_age_seconds", "jobs"] >= 0
    assert found[("pith_blob_bytes",)] == len(b"model") + len(b"as yet unknown")  # one blob, two models and their parts
    shop.jobs.cancel(first.id)
    assert values(Census(shop.db).collect())["pith_queue_depth", "jobs"] == 0


def test_a_job_that_waits_for_a_check_is_not_in_the_queue(shop: Shop) -> None:
    shop.job(model=shop.unchecked_model().id)
    found = values(Census(shop.db).collect())
    assert (found["pith_queue_depth", "jobs"], found["pith_jobs", "compression", "queued"]) == (0, 1)


def test_however_many_scrape_the_database_is_asked_once_in_a_while(shop: Shop) -> None:
    asked: list[str] = []
    event.listen(shop.db._engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    census = Census(shop.db, seconds=3600)
    scrapers = [threading.Thread(target=lambda: values(census.collect())) for _ in range(8)]
    for scraper in scrapers:
        scraper.start()
    for scraper in scrapers:
        scraper.join()
    assert len([statement for statement in asked if "FROM jobs" in statement]) == 2


def test_without_a_database_there_are_no_numbers_rather_than_old_ones(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    census = Census(shop.db, seconds=0, stored_seconds=0)
    assert values(census.collect())

    def refuse(*_: object) -> None:
        raise PithError("unavailable", what="The database")

    event.listen(shop.db._engine, "before_cursor_execute", refuse)
    assert values(census.collect()) == {}
    assert "no numbers of jobs" in caplog.text


def ask(port: int, path: str) -> tuple[int, str]:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=30) as answer:
            return answer.status, answer.read().decode()
    except HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_loop_that_is_silent_for_too_long_is_named() -> None:
    life, port = Life(), free_port()
    server = open_port(Settings(metrics_port=port), life)
    assert server is not None
    try:
        assert ask(port, "/livez") == (200, "ok\n")
        life.beat("messages", within=3600)
        life.beat("job", within=-1)
        assert ask(port, "/livez") == (503, "silent for too long: job\n")
        life.rest("job")
        assert ask(port, "/livez?verbose") == (200, "ok\n")
        status, text = ask(port, "/metrics")
        assert status == 200 and "# TYPE pith_leases_reaped_total counter" in text
        assert ask(port, "/v1/jobs")[0] == 404
        with pytest.raises(PithError, match="PITH_METRICS_PORT"):
            open_port(Settings(metrics_port=port), life)
    finally:
        server.shutdown()
        server.server_close()


def test_there_is_no_port_unless_it_is_asked_for() -> None:
    assert open_port(Settings(), Life()) is None
