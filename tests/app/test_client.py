"""The client against a real service: what goes up and comes down is what was sent, or a PithError says why not."""

import hashlib
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pith.client import Pith
from pith.dataset import DatasetSchema
from pith.errors import PithError
from pith.job import JobSpec
from pith.techniques.quantize.dynamic import QuantizeDynamic
from tests.app.api_process import free_port, running
from tests.app.by_hand import Bench
from tests.waiting import eventually


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "net & co.pt2"
    path.write_bytes(os.urandom(3 * 2**20 + 1))
    return path


def test_a_file_goes_up_with_progress(client: Pith, file: Path) -> None:
    told: list[tuple[int, int]] = []
    made = client.models.upload(file, progress=lambda done, total: told.append((done, total)))
    size = file.stat().st_size
    assert (made.name, made.size_bytes) == ("net & co.pt2", size)
    assert told[-1] == (size, size) and [done for done, _ in told] == sorted({done for done, _ in told})
    assert client.models.get(made.id) == made
    assert made in list(client.models.list())
    client.models.delete(made.id)
    with pytest.raises(PithError, match="gone"):
        client.models.get(made.id)


@pytest.mark.parametrize("at", [5 << 20, 39 << 20])
def test_a_large_file_goes_on_when_the_service_is_killed_and_started_again(tmp_path: Path, at: int) -> None:
    path = tmp_path / "large.npz"
    path.write_bytes(os.urandom(40 << 20))
    with running(tmp_path / "data") as api, Pith(api.url) as client:
        begun: list[int] = []

        def watch(done: int, total: int) -> None:
            if done >= at and not begun:
                begun.append(done)
                api.process.kill()
                api.process.wait()
                api.start()

        made = client.datasets.upload(path, progress=watch, given=DatasetSchema(label="income"))
        assert begun and made.size_bytes == 40 << 20 and made.name == "large.npz"
        assert made.declared is not None and made.declared.label == "income"
        assert made.digest == f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
        assert [one.id for one in client.datasets.list()] == [made.id]


def test_lists_go_through_all_pages(client: Pith, tmp_path: Path) -> None:
    path = tmp_path / "d.npz"
    path.write_bytes(b"d")
    made = [client.datasets.upload(path, name=f"d{n}").id for n in range(3)]
    assert [one.id for one in client.datasets.page(limit=2).data] == made[:0:-1]
    listed = [one.id for one in client.datasets.list()]
    assert listed[:3] == made[::-1] and len(set(listed)) == len(listed)


@pytest.mark.parametrize("id", ["mdl_x", "", "a/b", "..", "ü?#"])
def test_ids_that_are_none_do_not_reach_other_routes(client: Pith, id: str) -> None:
    with pytest.raises(PithError) as refused:
        client.models.get(id)
    assert refused.value.code in {"not_found", "route_not_found", "not_pith"}


def test_a_download_is_whole_or_nothing(client: Pith, bench: Bench, job: str, tmp_path: Path) -> None:
    content = os.urandom(2**20)
    bench.succeed(job, bench.start(job), model_onnx=content)
    artifact = client.jobs.artifacts(job)[0]
    told: list[tuple[int, int]] = []
    path = client.jobs.download(artifact, tmp_path, lambda done, total: told.append((done, total)))
    assert (path, path.read_bytes()) == (tmp_path / "model.onnx", content)
    assert told[-1] == (len(content), len(content))

    blob = bench.blobs.path(artifact.digest)
    blob.chmod(0o644)
    blob.write_bytes(bytes(2**20))
    with pytest.raises(PithError, match="download_damaged"):
        client.jobs.download(artifact, tmp_path / "other")
    assert sorted(found.name for found in tmp_path.iterdir()) == ["model.onnx"]
    assert path.read_bytes() == content


def test_problems_come_back_as_they_are(client: Pith, model: str) -> None:
    spec = JobSpec(model=f"mdl_{'0' * 26}", recipe=(QuantizeDynamic(),))
    with pytest.raises(PithError) as refused:
        client.jobs.submit(spec)
    assert (refused.value.code, refused.value.problem.status) == ("not_found", 404)


def test_a_service_that_is_not_there_is_said_to_be(tmp_path: Path) -> None:
    with Pith(f"http://127.0.0.1:{free_port()}") as nobody, pytest.raises(PithError) as refused:
        nobody.models.get("mdl_x")
    assert refused.value.code == "unreachable" and "pith up" in refused.value.problem.detail


@pytest.mark.parametrize("url", ["http://[", "ftp://x", "nonsense", "http://x:y"])
def test_an_address_that_is_none(url: str) -> None:
    with pytest.raises(PithError) as refused, Pith(url) as nobody:
        nobody.techniques()
    assert refused.value.code in {"setting_refused", "unreachable"}


@pytest.fixture
def other_service() -> Iterator[str]:
    """Some web server that is not Pith: it says yes, in HTML, to everything that is not under /v1/jobs."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = b"<h1>router</h1>"
            self.send_response(404 if self.path.startswith("/v1/jobs") else 200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_another_service_is_not_taken_for_pith(other_service: str) -> None:
    with Pith(other_service) as router:
        for ask in (
            lambda: router.models.get("mdl_x"),
            lambda: router.jobs.get("job_x"),
            lambda: router.jobs.report("job_x"),
            router.techniques,
        ):
            with pytest.raises(PithError, match=r"not_pith.*text/html"):
                ask()


def test_events_go_on_when_the_service_comes_back(tmp_path: Path) -> None:
    with running(tmp_path / "data") as first:
        bench, heard = Bench(first.data), []
        with Pith(first.url) as client:
            model = client.models.upload(__file__)
            job = client.jobs.submit(JobSpec(model=model.id, recipe=(QuantizeDynamic(),))).id
            watcher = threading.Thread(target=lambda: heard.extend(event.seq for event in client.jobs.events(job)))
            attempt = bench.start(job)
            watcher.start()
            eventually(lambda: len(heard) == 2)
            first.restart()
            bench.tell(job, attempt, "after the restart")
            eventually(lambda: len(heard) == 3)
            bench.succeed(job, attempt)
            watcher.join(60)
            assert "graceful shutdown exceeded" not in first.log.read_text()
        bench.db.close()
    assert heard == [1, 2, 3, 4]
