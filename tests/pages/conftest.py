"""One service and one browser for all tests of this folder. Screenshots are left in ``test-artifacts/pages``."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pith.client import Pith
from tests.app.api_process import ApiProcess, running
from tests.app.by_hand import Bench
from tests.pages.browsing import CHROMIUM, OPERATOR, Visit, Visits, browsing


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    with running(tmp_path_factory.mktemp("pages") / "data") as process:
        yield process


@pytest.fixture(scope="session")
def bench(api: ApiProcess) -> Iterator[Bench]:
    bench = Bench(api.data)
    yield bench
    bench.db.close()


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    """A service that asks for keys."""
    data = tmp_path_factory.mktemp("guarded") / "data"
    with running(data, PITH_REQUIRE_KEYS=True, PITH_OPERATOR_KEY=OPERATOR) as process:
        yield process


@pytest.fixture(scope="module")
def operator(guarded: ApiProcess) -> Iterator[Pith]:
    with Pith(guarded.url, OPERATOR) as pith:
        yield pith


@pytest.fixture
def http(api: ApiProcess) -> Iterator[httpx.Client]:
    """As a browser asks."""
    with httpx.Client(base_url=api.url, timeout=30, headers={"Accept": "text/html"}) as client:
        yield client


@pytest.fixture(scope="session")
def visits() -> Iterator[Visits]:
    if shutil.which(CHROMIUM) is None and not Path(CHROMIUM).exists():
        pytest.skip("there is no chromium here; Debian's package is called so")
    with browsing() as browser:
        yield Visits(browser)


@pytest.fixture(params=["desktop", "phone"])
def visit(request: pytest.FixtureRequest, visits: Visits, api: ApiProcess) -> Iterator[Visit]:
    """A fresh browser window, once wide and once narrow, which must have had nothing to complain of in the end."""
    with visits.of(api.url, request.param) as visit:
        yield visit
    assert visit.complaints == []


@pytest.fixture
def desk(visits: Visits, api: ApiProcess) -> Iterator[Visit]:
    """The wide one alone."""
    with visits.of(api.url, "desktop") as visit:
        yield visit
    assert visit.complaints == []
