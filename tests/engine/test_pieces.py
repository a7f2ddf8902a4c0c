"""Memory that runs out: the batch is computed in pieces, and training is what it would have been."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from engine.context import Context
from engine.model import Model
from engine.objective import Batch, cross_entropy
from engine.pieces import cut
from engine.train import Aids, _Training, train
from pith.errors import PithError
from pith.training import TrainingOptions
from tests.engine.resuming import check_resumes
from tests.engine.test_train import context
from tests.engine.tiny import Cnn, Mlp

ROOT = Path(__file__).parents[2]
RAN_OUT = RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB.")
OPTIONS = TrainingOptions(epochs=2, batch_size=48, learning_rate=0.01)


def fitted(ctx: Context, most: int = 48, aids: Aids = Aids()) -> Model:
    """Trained where no more than so many samples have room."""
    model, plain = ctx.baseline.copy(), cross_entropy()

    def loss(batch: Batch) -> Tensor:
        if len(batch.rows) > most:
            raise RAN_OUT
        return plain(batch)

    train(model, ctx.training_data(labels=True), OPTIONS, loss, ctx, aids)
    ctx.events.close()
    return model


def distance(one: Model, other: Model) -> float:
    pairs = zip(one.graph.state_dict().values(), other.graph.state_dict().values(), strict=True)
    return max(float((mine.double() - yours.double()).abs().max()) for mine, yours in pairs)


@pytest.mark.parametrize(("samples", "pieces", "sizes"), [(7, 2, [3, 4]), (7, 4, [2, 2, 3]), (3, 8, [3]), (1, 2, [1])])
def test_a_batch_is_cut_evenly_and_no_piece_is_a_single_sample(samples: int, pieces: int, sizes: list[int]) -> None:
    found = cut(samples, pieces)
    assert [piece.stop - piece.start for piece in found] == sizes
    assert [row for piece in found for row in range(samples)[piece]] == list(range(samples))


def test_pieces_add_up_to_the_batch(tmp_path: Path) -> None:
    steps: list[tuple[int, int]] = []
    aids = Aids(after=lambda *step: steps.append(step))
    whole = fitted(context(tmp_path / "whole", Mlp))
    ctx = context(tmp_path / "pieces", Mlp)
    found = fitted(ctx, 13, aids)
    assert ctx.pieces == 4 and steps == [(step, 8) for step in range(1, 9)]
    assert 0 < distance(whole, found) < 1e-5
    assert ctx.notes[-1] == (
        "Batches of 48 samples are computed in pieces of 12 at most, because memory ran out, and their gradients are "
        "added up: batch size, learning rate and number of steps are as asked."
    )


def test_a_pass_that_failed_leaves_no_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor in the statistics of norms, which it had moved before memory ran out."""
    ctx = context(tmp_path / "told", Cnn)
    ctx.pieces = 2
    told = fitted(ctx)
    ctx = context(tmp_path / "failed", Cnn)
    assert distance(told, fitted(ctx, 24)) == 0
    assert ctx.pieces == 2 and ctx.notes[-1].endswith(" Batch norms see the pieces, not the batch.")


def test_a_run_that_is_resumed_keeps_to_its_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs out once in each of the runs, and not again after the first has been resumed."""
    gradient = _Training._gradient
    failed: set[Path] = set()

    def scarce(self: _Training, epoch: int, whole: Any, *given: Any) -> Tensor:
        root = self.ctx.folder.root
        if (epoch, whole.batch) == (0, 2) and root not in failed:
            failed.add(root)
            raise RAN_OUT
        return gradient(self, epoch, whole, *given)

    monkeypatch.setattr(_Training, "_gradient", scarce)
    check_resumes(tmp_path, {"kind": "finetune.full", "epochs": 2, "batch_size": 32}, monkeypatch)
    assert len(failed) == 2


def test_the_smallest_pieces_may_be_too_large(tmp_path: Path) -> None:
    ctx = context(tmp_path, Mlp)
    with pytest.raises(PithError, match="out_of_memory"):
        fitted(ctx, 1)
    ctx.events.close()


def test_another_error_is_not_tried_again(tmp_path: Path) -> None:
    ctx, asked = context(tmp_path, Mlp), []

    def loss(batch: Batch) -> Tensor:
        asked.append(batch)
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        train(ctx.baseline.copy(), ctx.training_data(labels=True), OPTIONS, loss, ctx)
    ctx.events.close()
    assert len(asked) == 1


def test_judging_takes_fewer_samples_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, Mlp)
    wanted, run, sizes = ctx.judge(ctx.baseline), Model.run, []

    def scarce(self: Model, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if len(inputs[0]) > 8:
            raise RAN_OUT
        sizes.append(len(inputs[0]))
        return run(self, inputs)

    monkeypatch.setattr(Model, "run", scarce)
    assert ctx.judge(ctx.baseline) == wanted
    monkeypatch.undo()
    ctx.events.close()
    assert sum(sizes) == len(ctx.validation()) and max(sizes) == 8


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_memory_that_really_runs_out(tmp_path: Path) -> None:
    env = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": "1000000", "PATH": ""}
    command = (sys.executable, "-m", "tests.engine.scarce", str(tmp_path))
    subprocess.run(command, cwd=ROOT, env=env, check=True, timeout=600)
    said = json.loads((tmp_path / "said.json").read_text())
    assert said["pieces"] in (2, 4) and "because memory ran out" in said["notes"][-1]
    whole, found = (torch.load(tmp_path / name, weights_only=True) for name in ("whole.pt", "weights.pt"))
    assert max(float((whole[name] - found[name]).abs().max()) for name in whole) < 1e-5
