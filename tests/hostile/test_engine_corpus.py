"""Every hostile upload, given to the engine alone: the right code, a plain sentence, nothing runs, nothing is left."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from engine.onnx_model import read_onnx
from engine.onnx_model.limits import OnnxLimits
from pith.errors import PithError
from tests.hostile.case import Canary
from tests.hostile.corpus import CORPUS, ENDLESS
from tests.hostile.entry import ENTRY
from tests.hostile.trial import Verdict, listener, staged, tried, verdict
from worker.warm_client import WarmServer

ROOT = Path(__file__).parents[2]
KEPT = {"error.json", "events.jsonl"}
ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
CHECKED = [name for name, case in CORPUS.items() if case.at_the_door != "malformed_request" and name not in ENDLESS]
TOGETHER = 25

Tried = Callable[[str], Verdict]


@pytest.fixture(scope="module")
def importable() -> Iterator[None]:
    """The fork server must find this folder's entry."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))
        yield


@pytest.fixture(scope="module")
def judged(importable: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tried]:
    """The verdict on a case. They are tried in groups, one process for each, when the first of a group is asked for."""
    root, server = tmp_path_factory.mktemp("hostile"), WarmServer(ENTRY)
    verdicts: dict[str, Verdict] = {}
    with listener() as port:

        def judge(name: str) -> Verdict:
            first = CHECKED.index(name) // TOGETHER * TOGETHER
            if name not in verdicts:
                verdicts.update(_tried(server, root / str(first), CHECKED[first : first + TOGETHER], port.port))
                assert not port.called(), "code from one of these files called out"
            return verdicts[name]

        yield judge
        server.close()


def _tried(server: WarmServer, root: Path, names: list[str], port: int) -> dict[str, Verdict]:
    folders = {
        name: staged(root / f"{index:02}", CORPUS[name], Canary(root / f"canary{index:02}", port))
        for index, name in enumerate(names)
    }
    tried(server, root)
    for folder in folders.values():
        folder.upload.unlink(missing_ok=True)
    assert not list(root.glob("canary*")), "code from one of these files ran"
    return {name: verdict(folder) for name, folder in folders.items()}


def test_the_corpus_is_large() -> None:
    assert len(CORPUS) >= 300
    assert {case.kind for case in CORPUS.values()} == {"model", "dataset"}


@pytest.mark.parametrize("name", CHECKED)
def test_refused(name: str, judged: Tried) -> None:
    case, found = CORPUS[name], judged(name)
    assert found.code == 1 and found.problem is not None, (found.code, found.log)
    detail = found.problem.detail
    assert found.problem.code in case.codes, (found.problem, found.log)
    assert case.words in detail, detail
    assert detail.isprintable() and len(detail) < 2000 and not ADDRESS.search(detail), detail
    assert str(ROOT) not in detail and "/out/" not in detail and "Traceback" not in detail, detail
    assert set(found.left) <= KEPT, "something of what was refused"
    assert "PITH_CANARY" not in os.environ


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_is_ended(name: str, tmp_path: Path) -> None:
    build, path = CORPUS[name].build, tmp_path / "model.onnx"
    assert build is not None
    build(path, Canary(tmp_path / "canary", 0))
    with pytest.raises(PithError) as caught:
        read_onnx(path, tmp_path / "out.onnx", limits=OnnxLimits(seconds=2))
    assert caught.value.code in CORPUS[name].codes and "2 seconds" in caught.value.problem.detail
