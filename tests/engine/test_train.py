"""The one loop: it learns, keeps zeros, and gives the same bits however its data is held."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

import engine.batches
from engine.collapse import Collapse
from engine.context import Context
from engine.data import Split
from engine.model import Model
from engine.objective import Batch, cross_entropy
from engine.randomness import stream
from engine.train import Aids, train
from pith.errors import PithError
from pith.training import TrainingOptions
from tests.engine.conformance import opened
from tests.engine.tiny import Cnn, Mlp, Regression, Tokens, Transformer, arrays, job_folder, pictures, sentences


def context(root: Path, net: type[torch.nn.Module] = Cnn) -> Context:
    return opened(job_folder(root, [{"kind": "finetune.full"}], net=net))


def trained(ctx: Context, split: Split | None = None, **options: object) -> Model:
    model = ctx.baseline.copy()
    given = TrainingOptions.model_validate({"batch_size": 32, "learning_rate": 0.01, **options})
    train(model, split or ctx.training_data(labels=True), given, cross_entropy(), ctx)
    return model


def accuracy(model: Model) -> float:
    data = arrays()
    chosen = model.graph(torch.from_numpy(data["x_test"])).argmax(1).numpy()
    return float((chosen == data["y_test"]).mean())


SGD = {"optimizer": "sgd", "learning_rate": 0.05, "weight_decay": 1e-4}


@pytest.mark.parametrize(("net", "options"), [(Cnn, {}), (Mlp, {}), (Transformer, {}), (Cnn, SGD), (Mlp, SGD)])
def test_it_learns(net: type[torch.nn.Module], options: dict[str, object], tmp_path: Path) -> None:
    ctx = context(tmp_path, net)
    model = trained(ctx, epochs=8, **options)
    ctx.events.close()
    assert accuracy(ctx.baseline) < 0.6 < 0.9 < accuracy(model)
    assert not model.graph.training


def test_data_that_is_read_batch_by_batch_gives_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)
    whole = trained(ctx, epochs=2).graph.state_dict()
    monkeypatch.setattr(engine.batches, "IN_MEMORY_BYTES", 0)
    piecewise = trained(ctx, epochs=2).graph.state_dict()
    ctx.events.close()
    assert all(torch.equal(whole[name], piecewise[name]) for name in whole)


def test_two_inputs_stay_together_and_both_are_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path, Tokens)
    model = trained(ctx, epochs=8)
    monkeypatch.setattr(engine.batches, "IN_MEMORY_BYTES", 0)
    piecewise = trained(ctx, epochs=8).graph.state_dict()
    ctx.events.close()
    assert all(torch.equal(value, piecewise[name]) for name, value in model.graph.state_dict().items())
    ids, mask, y = sentences(200, 7)
    with torch.no_grad():
        (told,), (blind,) = (
            model.run((torch.from_numpy(ids), torch.from_numpy(given))) for given in (mask, np.ones_like(mask))
        )
    assert float((told.argmax(1).numpy() == y).mean()) > 0.95 > 0.8 > float((blind.argmax(1).numpy() == y).mean())


def test_targets_are_learnt_as_numbers(tmp_path: Path) -> None:
    ctx = context(tmp_path, Regression)
    model = ctx.baseline.copy()
    options = TrainingOptions(epochs=10, batch_size=32, learning_rate=0.01)
    train(model, ctx.training_data(labels=True), options, ctx.objective().loss, ctx)
    ctx.events.close()
    data = arrays(Regression)
    with torch.no_grad():
        (given,) = model.run((torch.from_numpy(data["x_test"]),))
    assert float(((given.numpy() - data["y_test"]) ** 2).mean()) < 0.2 * data["y_test"].var()


def test_a_last_batch_of_one_is_left_out(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    x, y = pictures(33, 3)
    assert engine.batches.Batches(Split((x,), y), 32, ctx.baseline, ctx.device).count == 1
    assert engine.batches.Batches(Split((x[:5],), y[:5]), 32, ctx.baseline, ctx.device).count == 1
    trained(ctx, Split((x,), y))
    ctx.events.close()


def test_a_batch_has_the_labels_of_its_inputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = context(tmp_path)
    ctx.events.close()
    x, y = pictures(50, 3)
    x[:, 0, 0, 0] = y
    for limit in (engine.batches.IN_MEMORY_BYTES, 0):
        monkeypatch.setattr(engine.batches, "IN_MEMORY_BYTES", limit)
        batches = engine.batches.Batches(Split((x,), y), 8, ctx.baseline, ctx.device)
        seen = list(batches.epoch(torch.Generator().manual_seed(1), 0))
        assert len(seen) == 7 and sum(len(batch.labels) for batch in seen) == 50
        for _, rows, (inputs,), labels in seen:
            assert torch.equal(inputs[:, 0, 0, 0].long(), labels)
            assert np.array_equal(inputs.numpy(), x[rows.numpy()])


def test_a_layer_of_zeros_alone_is_not_taken_for_a_pruned_one(tmp_path: Path) -> None:
    ctx = context(tmp_path, Mlp)
    with torch.no_grad():
        ctx.baseline.graph.get_submodule("layers.3").weight.zero_()
    model = trained(ctx)
    ctx.events.close()
    assert model.graph.get_submodule("layers.3").weight.abs().min() > 0


def test_random_streams_differ_by_seed_and_by_place() -> None:
    places = {stream(seed, step, epoch) for seed in range(5) for step in range(5) for epoch in range(5)}
    assert len(places) == 125 and stream(1, 2, 3) == stream(1, 2, 3)
    assert all(0 <= place < 2**63 for place in places)


def _caught(model: Model, at: int, kept: dict[str, torch.Tensor]) -> Callable[[int, int], None]:
    """Keeps a copy of the weights after that step."""

    def after(step: int, steps: int) -> None:
        if step == at:
            kept.update({name: value.clone() for name, value in model.graph.state_dict().items()})

    return after


def test_a_loss_that_is_not_finite_ends_training_with_the_last_good_epoch(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    model, kept, plain = ctx.baseline.copy(), {}, cross_entropy()
    options = TrainingOptions(epochs=4, batch_size=32, learning_rate=0.01)

    def loss(batch: Batch) -> torch.Tensor:
        return plain(batch) * (float("nan") if (batch.epoch, batch.index) == (2, 1) else 1.0)

    train(model, ctx.training_data(labels=True), options, loss, ctx, Aids(after=_caught(model, 12, kept)))
    ctx.events.close()
    assert all(torch.equal(value, kept[name]) for name, value in model.graph.state_dict().items())
    (note,) = ctx.notes
    assert note == (
        "Training ended early: the loss became nan in epoch 3, batch 6. The weights after epoch 2 were kept. Lower the "
        "learning rate, which was 0.01."
    )


def test_a_loss_that_is_never_finite_is_an_error(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    with pytest.raises(PithError, match="training_diverged"):
        train(
            ctx.baseline.copy(),
            ctx.training_data(labels=True),
            TrainingOptions(epochs=2),
            lambda batch: batch.outputs[0].sum() * float("inf"),
            ctx,
        )
    ctx.events.close()


def test_accuracy_that_collapses_ends_training_with_the_last_good_epoch(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    model, kept = ctx.baseline.copy(), {}
    options = TrainingOptions(epochs=5, batch_size=32, learning_rate=0.01)
    keep = _caught(model, 18, kept)

    def after(step: int, steps: int) -> None:
        keep(step, steps)
        if step > 18:
            model.graph.get_submodule("head").weight.zero_()

    train(model, ctx.training_data(labels=True), options, cross_entropy(), ctx, Aids(after=after))
    ctx.events.close()
    assert all(torch.equal(value, kept[name]) for name, value in model.graph.state_dict().items())
    assert "fell from" in ctx.notes[0] and "in epoch 4. The weights after epoch 3 were kept." in ctx.notes[0]


FALLEN = (0.9, 0.26)


@pytest.mark.parametrize(
    ("accuracies", "losses", "last", "collapsed"),
    [
        (FALLEN, (1.0, 1.2), False, True),
        (FALLEN, (1.0, 1.05), False, False),  # statistics of norms that lag behind
        (FALLEN, (1.0, 0.5), True, True),  # nothing comes after it
        ((0.9, 0.5), (1.0, 3.0), False, False),  # more than a quarter is left
        ((0.3, 0.25), (1.0, 3.0), False, False),  # little was learnt
        ((0.25 + 0.1 + 0.01, 0.25), (1.0, 3.0), False, False),  # more than a tenth above chance, by luck
    ],
)
def test_what_a_collapse_is(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    accuracies: tuple[float, float],
    losses: tuple[float, float],
    last: bool,
    collapsed: bool,
) -> None:
    data = {name: rows[:40] for name, rows in arrays(Cnn).items()}
    ctx = opened(job_folder(tmp_path, [{"kind": "finetune.full"}], data=data))
    ctx.events.close()
    told = iter(accuracies)
    monkeypatch.setattr("engine.collapse.judge", lambda *_: next(told))
    collapse = Collapse(ctx.baseline, ctx)
    collapse.chance = 0.25
    assert collapse.margin > 0.15, "a tenth above chance is little of 40 samples"
    assert collapse.of_epoch(losses[0], last=False) is None
    said = collapse.of_epoch(losses[1], last)
    assert (said is not None) == collapsed and (said is None or "fell from 0.900 to 0.260" in said)


def test_what_has_no_rate_stays_with_its_statistics_and_learns_when_it_has_one(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    split, options = ctx.training_data(labels=True), TrainingOptions(epochs=2, batch_size=32, learning_rate=0.01)
    before = ctx.baseline.graph.state_dict()

    def changed(rate: Callable[[str, int], float]) -> set[str]:
        model = ctx.baseline.copy()
        train(model, split, options, cross_entropy(), ctx, Aids(rate=rate))
        assert all(parameter.requires_grad for parameter in model.graph.parameters())
        return {name for name, value in model.graph.state_dict().items() if not torch.equal(value, before[name])}

    assert changed(lambda name, epoch: float(name.startswith("head"))) == {"head.weight", "head.bias"}
    thawed = changed(lambda name, epoch: float(name.startswith("head") or (epoch == 1 and "stem" in name)))
    assert {"stem.0.weight", "stem.1.running_mean", "head.weight"} <= thawed
    assert not any(name.startswith(("block", "hidden")) for name in thawed)
    ctx.events.close()


def test_a_smaller_rate_is_a_smaller_step(tmp_path: Path) -> None:
    ctx = context(tmp_path, Mlp)
    options = TrainingOptions(epochs=1, batch_size=192, learning_rate=0.1, optimizer="sgd", schedule="constant")
    before = ctx.baseline.graph.get_parameter("layers.1.weight").detach()
    steps = []
    for rate in (1.0, 0.25):
        model = ctx.baseline.copy()
        aids = Aids(rate=lambda name, epoch, rate=rate: rate)
        train(model, ctx.training_data(labels=True), options, cross_entropy(), ctx, aids)
        steps.append(model.graph.get_parameter("layers.1.weight").detach() - before)
    ctx.events.close()
    assert torch.allclose(steps[0], 4 * steps[1], rtol=1e-3, atol=1e-6) and steps[0].abs().max() > 1e-4


def test_choices_are_made_on_what_is_not_trained_on(tmp_path: Path) -> None:
    ctx = context(tmp_path, Mlp)
    held, fitted = (split.inputs(slice(None), (torch.float32,))[0] for split in (ctx.validation(), ctx.fitting()))
    whole = ctx.training_data(labels=True).inputs(slice(None), (torch.float32,))[0]
    assert (len(held), len(fitted), len(whole)) == (19, 173, 192)
    assert not any((row == fitted).flatten(1).all(1).any() for row in held)
    right = (ctx.baseline.graph(held).argmax(1) == ctx.validation().labels(slice(None))).float().mean()
    assert ctx.judge(ctx.baseline) == pytest.approx(float(right))
    ctx.events.close()


def test_a_model_that_only_one_epoch_ruins_is_kept_as_it_was(tmp_path: Path) -> None:
    ctx = context(tmp_path)
    good = trained(ctx, epochs=8)
    model, options = good.copy(), TrainingOptions(epochs=1, batch_size=32, learning_rate=10, optimizer="sgd")
    train(model, ctx.training_data(labels=True), options, cross_entropy(), ctx)
    ctx.events.close()
    assert all(torch.equal(value, good.graph.state_dict()[name]) for name, value in model.graph.state_dict().items())
    assert "in epoch 1. The weights from before it were kept." in ctx.notes[0]
