"""One API for all tests of this folder, and the clients that talk to it."""

import os
import threading
from collections.abc import Iterator

import httpx
import pytest

from pith.client import Pith
from tests.app.api_process import ApiProcess, running
from tests.app.by_hand import Bench
from tests.store.swift_process import SwiftProcess


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with running(tmp_path_factory.mktemp("api") / "data") as process:
        yield process


@pytest.fixture(scope="module", params=["folder", "s3"])
def storage(request: pytest.FixtureRequest) -> dict[str, str]:
    """Settings of the store, for blobs of each kind."""
    if request.param == "folder":
        return {}
    swift: SwiftProcess = request.getfixturevalue("swift")
    return swift.settings(swift.create_bucket())


@pytest.fixture(scope="module")
def on_either(storage: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """An API whose blobs are of each kind in turn, for a module that takes it in the place of ``api``."""
    given = {f"PITH_{name.upper()}": value for name, value in storage.items()}
    with running(tmp_path_factory.mktemp("api") / "data", **given) as process:
        yield process


@pytest.fixture(scope="session")
def bench(api: ApiProcess) -> Iterator[Bench]:
    bench = Bench(api.data)
    yield bench
    bench.db.close()


@pytest.fixture
def http(api: ApiProcess) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=api.url, timeout=30) as client:
        yield client


@pytest.fixture
def client(api: ApiProcess) -> Iterator[Pith]:
    with Pith(api.url) as client:
        yield client


@pytest.fixture
def checker(bench: Bench) -> Iterator[None]:
    """Finds everything good that is uploaded meanwhile."""
    over = threading.Event()

    def work() -> None:
        while not over.wait(0.05):
            bench.learn_all()

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


@pytest.fixture
def model(http: httpx.Client) -> str:
    """The id of a model with bytes of its own."""
    return str(http.put("/v1/models", content=os.urandom(64)).json()["id"])


@pytest.fixture
def job(http: httpx.Client, model: str) -> str:
    """The id of a queued job."""
    spec = {"model": model, "recipe": [{"kind": "quantize.dynamic"}]}
    return str(http.post("/v1/jobs", json=spec).json()["id"])
