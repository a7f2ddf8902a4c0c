"""Several processes that train one job: the result is that of one, and they live and die together."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from engine.together import FAULT
from tests.engine.tiny import Cnn, Mlp, Transformer, job_folder

ROOT = Path(__file__).parents[2]
STEP = {"kind": "finetune.full", "epochs": 2, "batch_size": 48}
Trouble = dict[str, Any]


def applied(root: Path, size: int, net: type[nn.Module] = Mlp, trouble: Trouble | None = None, **job: Any) -> int:
    """How it ended. An existing folder is gone on with."""
    if not root.exists():
        folder = job_folder(root, [STEP], net=net, checkpoint_seconds=job.pop("checkpoint_seconds", 60.0))
        folder.spec.write_text(json.dumps(json.loads(folder.spec.read_text()) | {"threads": size} | job))
    if trouble is not None:
        (root / "trouble.json").write_text(json.dumps(trouble))
    command = (sys.executable, "-m", "tests.engine.pair", str(root), str(size))
    return subprocess.run(command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=600).returncode


def weights(root: Path) -> dict[str, Tensor]:
    found: dict[str, Tensor] = torch.load(root / "weights.pt", weights_only=True)
    return found


def distance(one: Path, other: Path) -> float:
    mine, yours = weights(one), weights(other)
    return max(float((mine[name].double() - yours[name].double()).abs().max()) for name in mine)


def losses(root: Path) -> list[float]:
    events = [json.loads(line)["data"] for line in (root / "out" / "events.jsonl").read_text().splitlines()]
    return [data["loss"] for data in events if "loss" in data]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MLP, trained by two, which nothing has disturbed."""
    root = tmp_path_factory.mktemp("pair") / "job"
    assert applied(root, 2) == 0
    return root


def test_two_do_what_one_does(pair: Path, tmp_path: Path) -> None:
    assert applied(tmp_path / "one", 1) == 0
    assert 0 <= distance(pair, tmp_path / "one") < 1e-5
    assert losses(pair) == pytest.approx(losses(tmp_path / "one"), rel=1e-5) and len(losses(pair)) == 2
    (note,) = json.loads((pair / "said.json").read_text())["notes"]
    assert note.startswith("Batches of 48 samples are computed by 2 processes in pieces of 24 at most and their")


def test_what_is_random_is_the_pieces_own_whoever_computes_it(tmp_path: Path) -> None:
    assert applied(tmp_path / "two", 2, Transformer) == 0 == applied(tmp_path / "one", 1, Transformer, pieces=2)
    assert distance(tmp_path / "two", tmp_path / "one") < 1e-4


def test_one_that_is_killed_takes_all_along_and_the_next_run_goes_on_to_the_same_bits(
    pair: Path, tmp_path: Path
) -> None:
    root = tmp_path / "job"
    trouble = {"rank": 1, "at": [1, 2], "what": "die"}
    assert applied(root, 2, trouble=trouble, checkpoint_seconds=0.0) == -signal.SIGKILL
    assert json.loads((root / "out" / "checkpoint" / "position.json").read_text())["training"] is not None
    before = len((root / "out" / "events.jsonl").read_text().splitlines())
    assert applied(root, 2) == 0
    assert distance(pair, root) == 0
    after = [json.loads(line) for line in (root / "out" / "events.jsonl").read_text().splitlines()[before:]]
    assert [event["data"]["epoch"] for event in after if event["type"] == "metric"] == [2], "it did not begin anew"


@pytest.mark.parametrize("rank", [0, 1])
def test_when_one_runs_out_of_memory_all_cut_the_batch(rank: int, pair: Path, tmp_path: Path) -> None:
    root = tmp_path / "job"
    assert applied(root, 2, trouble={"rank": rank, "at": [0, 1], "what": "run out"}) == 0
    said = json.loads((root / "said.json").read_text())
    assert said["pieces"] == 4 and "pieces of 12 at most, because memory ran out," in said["notes"][-1]
    assert 0 < distance(pair, root) < 1e-5


def test_norms_of_all_have_the_statistics_of_the_first(tmp_path: Path) -> None:
    """Or their models would drift apart, and a checkpoint would not be what all of them have."""
    root = tmp_path / "job"
    assert applied(root, 2, Cnn) == 0
    assert applied(tmp_path / "again", 2, Cnn, {"rank": 0, "at": [1, 0], "what": "die"}, checkpoint_seconds=0.0) < 0
    assert applied(tmp_path / "again", 2) == 0
    assert distance(root, tmp_path / "again") == 0


def ended(script: str) -> int:
    """How processes end of which each runs this script, with ``rank``."""
    code = f"import os, time, signal\ndef part(rank):\n    {script}\nfrom engine.together import together\n"
    command = (sys.executable, "-c", f"{code}raise SystemExit(together(3, part))")
    return subprocess.run(command, cwd=ROOT, timeout=60).returncode


@pytest.mark.parametrize(
    ("script", "code"),
    [
        ("return 0", 0),
        ("time.sleep(600 * rank); return 75", 75),
        ("time.sleep(600 * rank); return 0", 0),
        ("return 1", 1),
        ("return rank or (time.sleep(0.5) or 1)", 1),
        ("return 3 if rank == 1 else time.sleep(600)", FAULT),
        ("raise ValueError", FAULT),
        ("os.kill(os.getpid(), 9 if rank == 2 else 0); time.sleep(600)", -9),
        ("time.sleep(0.3 if rank == 1 else 0); os.kill(os.getpid(), 11 * (rank == 1)); return 1", -11),
    ],
)
def test_all_end_with_the_first_or_as_the_worst(script: str, code: int) -> None:
    assert ended(script) == code
