"""What a task trains for and is measured by, and that the paired comparison is of that same metric."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from engine.compare import check_constraints, compare, headline
from engine.data import Dataset, Split
from engine.measure import Answers, Candidate, Samples, measurement, metric, quality, samples_for, sqnr_db
from engine.objective import CLASSIFICATION, Batch, Objective, objective
from pith.errors import PithError
from pith.job import Constraints
from pith.report import Measurement
from pith.task import LossName, Task
from tests.engine.conformance import opened
from tests.engine.tiny import Mlp, Regression, job_folder, lifted

X = np.zeros((64, 1, 8, 8), np.float32)


def dataset(y: NDArray[np.generic], task: Task | None, loss: LossName | None = None) -> Dataset:
    split = Split((X[: len(y)],), y)
    return Dataset(split, split, task, loss)


def loss_of(found: Objective, outputs: Tensor, labels: Tensor) -> Tensor:
    return found.loss(Batch((outputs, torch.zeros(1)), (), labels, torch.arange(len(labels)), 0, 0))


@pytest.mark.parametrize("task", [None, *get_args(Task)])
def test_every_task_has_a_loss_and_a_metric_of_its_own(task: Task | None) -> None:
    found = objective(dataset(np.zeros(4, np.float32), task))
    assert found.classes == (task in CLASSIFICATION) == (found.metric == "accuracy")
    wanted = {"tabular-regression": "r2", "embedding": "cosine_similarity", "generic": "loss"}
    assert found.metric == wanted.get(str(task), "accuracy")


def test_classes_are_trained_with_cross_entropy_and_smoothing() -> None:
    scores, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    for smoothing in (0.0, 0.3):
        wanted = functional.cross_entropy(scores, labels, label_smoothing=smoothing)
        assert torch.equal(loss_of(objective(None, smoothing), scores, labels), wanted)


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("mse", functional.mse_loss),
        ("l1", functional.l1_loss),
        ("smooth_l1", functional.smooth_l1_loss),
        ("bce", functional.binary_cross_entropy_with_logits),
        ("cosine", lambda a, b: 1 - functional.cosine_similarity(a, b).mean()),
    ],
)
def test_a_named_loss_is_torch_s_own(name: LossName, function: object) -> None:
    found = objective(dataset(np.zeros(4, np.float32), "generic", name))
    outputs, targets = torch.randn(6, 5), torch.rand(6, 5)
    assert torch.allclose(loss_of(found, outputs, targets), function(outputs, targets))  # type: ignore[operator]
    assert found.cost(outputs, targets).shape == (6,)


def test_cross_entropy_over_a_map_of_classes() -> None:
    found = objective(dataset(np.zeros((4, 2, 2), np.int64), "generic", "cross_entropy"))
    scores, labels = torch.randn(4, 3, 2, 2), torch.randint(0, 3, (4, 2, 2))
    assert torch.allclose(loss_of(found, scores, labels), functional.cross_entropy(scores, labels))


def test_a_column_of_targets_and_a_row_of_them_are_the_same() -> None:
    found = objective(dataset(np.zeros(4, np.float32), "tabular-regression"))
    outputs, targets = torch.randn(6, 1), torch.randn(6)
    assert torch.allclose(loss_of(found, outputs, targets), ((outputs[:, 0] - targets) ** 2).mean())


def judged(found: Dataset, outputs: NDArray[np.float32]) -> Answers:
    """Answers as ``measure.answers`` makes them, of outputs that are given."""
    test = found.test
    assert test is not None
    targets = test.labels(slice(None))
    assert targets is not None
    return Answers(costs=objective(found).cost(torch.from_numpy(outputs), targets).double().numpy())


def samples(found: Dataset) -> Samples:
    return samples_for(lifted(Regression), found)


def test_r2_is_what_the_textbook_says_and_its_drop_is_paired() -> None:
    noise = np.random.default_rng(0)
    y = noise.normal(3, 2, (40, 2)).astype(np.float32) * np.float32([1, 50])
    found = dataset(y, "tabular-regression")
    good, bad = y + noise.normal(0, 0.5, y.shape).astype(np.float32), y + noise.normal(0, 2, y.shape).astype(np.float32)
    figures = [quality(judged(found, given), judged(found, y), samples(found))[0] for given in (good, bad)]
    for given, figure in zip((good, bad), figures, strict=True):
        by_hand = 1 - ((given - y) ** 2).sum(0) / ((y - y.mean(0)) ** 2).sum(0)
        assert figure.name == "r2" and figure.better == "higher"
        assert figure.value == pytest.approx(float(by_hand.mean()), rel=1e-4)
    before, after = (Measurement(metrics=(figure,)) for figure in figures)
    paired = compare(_sized(before), _sized(after), judged(found, good), judged(found, bad), samples(found))
    assert paired.quality == "r2" and paired.samples == 40 and paired.flipped_to_wrong == 0
    assert paired.quality_drop == pytest.approx(figures[0].value - figures[1].value)
    low, high = paired.quality_drop_interval or (0, 0)
    assert low < paired.quality_drop < high


def _sized(measured: Measurement) -> Measurement:
    return Measurement(metrics=(*measured.metrics, metric("size_bytes", 1), metric("latency_median_ms", 1)))


def test_a_loss_that_rises_is_a_drop_and_is_said_as_a_rise() -> None:
    y = np.zeros((10, 1), np.float32)
    found = dataset(y, "generic", "l1")
    one, two = judged(found, y + 1), judged(found, y + np.linspace(1, 2, 10, dtype=np.float32)[:, None])
    before, after = (_sized(Measurement(metrics=(*quality(each, one, samples(found)),))) for each in (one, two))
    paired = compare(before, after, one, two, samples(found))
    assert paired.quality == "loss" and paired.quality_drop == pytest.approx(0.5)
    (result,) = check_constraints(Constraints(max_metric_drop=0.4), paired)
    assert not result.met and result.margin == pytest.approx(-0.1)
    said = headline(paired, (result,), before, after)[-1]
    assert said.startswith("Loss 1.0000 → 1.5000 on 10 samples of the test split: +0.5000, 95 % interval +0.2")


def test_an_embedding_is_measured_by_its_direction() -> None:
    y = np.float32([[1, 0], [0, 2], [3, 3]])
    found = dataset(y, "embedding")
    figure = quality(judged(found, np.float32([[5, 0], [1, 0], [1, 1]])), judged(found, y), samples(found))[0]
    assert figure.name == "cosine_similarity" and figure.value == pytest.approx(2 / 3)


def test_targets_that_never_differ_have_no_r2() -> None:
    with pytest.raises(PithError, match="dataset_mismatch") as caught:
        samples(dataset(np.ones((8, 1), np.float32), "tabular-regression"))
    assert "one target for all samples" in caught.value.problem.detail
    mixed = np.stack([np.ones(8), np.arange(8)], 1).astype(np.float32)
    assert np.isfinite(judged(dataset(mixed, "tabular-regression"), mixed * 2).costs).all()


def test_label_smoothing_without_classes_is_refused(tmp_path: Path) -> None:
    ctx = opened(job_folder(tmp_path, [{"kind": "finetune.full", "label_smoothing": 0.1}], net=Regression))
    ctx.events.close()
    with pytest.raises(PithError, match="technique_inapplicable") as caught:
        ctx.objective(0.1)
    assert "leave it out" in caught.value.problem.detail


def test_the_worst_output_is_the_signal_to_noise() -> None:
    good, bad = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    mine, baseline = Answers(raw=(good * 0.99, bad * 0.5)), Answers(raw=(good, bad))
    found = quality(mine, baseline, samples_for(lifted(Mlp), None))
    assert [(each.name, each.value) for each in found] == [("sqnr_db", sqnr_db(bad, bad * 0.5))]


def test_latency_and_quality_stand_side_by_side() -> None:
    found = measurement(Candidate({}, Path()), np.ones(3), [metric("rmse", 2.0)])
    assert found.get("rmse") == 2.0 and found.get("latency_median_ms") == 1000
