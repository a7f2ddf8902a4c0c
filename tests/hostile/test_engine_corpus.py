"""Every hostile upload, given to the engine alone: the right code, a plain sentence, nothing runs, nothing is left."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hostile.case import Canary
from tests.hostile.corpus import CORPUS
from tests.hostile.trial import Listener, listener, staged, tried
from worker.guard import LOG_NAME
from worker.warm_client import WarmServer

ROOT = Path(__file__).parents[2]
KEPT = {"error.json", "events.jsonl"}
CHECKED = [name for name, case in CORPUS.items() if case.at_the_door != "malformed_request"]


@pytest.fixture(scope="module")
def server() -> Iterator[WarmServer]:
    server = WarmServer()
    yield server
    server.close()


@pytest.fixture(scope="module")
def port() -> Iterator[Listener]:
    with listener() as one:
        yield one


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 300
    assert {case.kind for case in CORPUS.values()} == {"model", "dataset"}


@pytest.mark.parametrize("name", CHECKED)
def test_refused(name: str, server: WarmServer, port: Listener, tmp_path: Path) -> None:
    case, canary = CORPUS[name], Canary(tmp_path / "canary", port.port)
    folder = staged(tmp_path / "job", case, canary)
    verdict = tried(server, folder)
    log = (folder.root / LOG_NAME).read_text()[-3000:]
    assert verdict.end is not None, "it did not end"
    assert verdict.end.code == 1 and verdict.problem is not None, (verdict, log)
    detail = verdict.problem.detail
    assert verdict.problem.code in case.codes, (verdict.problem, log)
    assert case.words in detail, detail
    assert detail.isprintable() and len(detail) < 1000, detail
    assert str(tmp_path) not in detail and str(ROOT) not in detail and "Traceback" not in detail, detail
    assert set(verdict.left) <= KEPT, "the canonical file of something that was refused"
    assert not canary.path.exists() and not port.called(), "code from the file ran"
    assert "PITH_CANARY" not in os.environ
