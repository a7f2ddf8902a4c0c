"""The layers of a report, against models whose noise, sensitivity and sizes are known."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

import engine.reload
from engine.data import Split
from engine.findings import layer_noise, layer_sensitivity
from engine.findings.layer_gains import without_gains
from engine.findings.layer_sensitivity import LAYERS
from engine.findings.layers import _absent, _merged
from engine.measure import Samples
from engine.objective import objective
from engine.run import run
from pith.findings.layers import LayerCost, LayerReport
from pith.metrics import MetricName
from pith.report import Report
from tests.engine import onnx_files as files
from tests.engine.test_onnx_jobs import onnx_job
from tests.engine.tiny import Cnn, Mlp, Regression, Tokens, Transformer, job_folder

Matrix = NDArray[np.float32]
CHANCE = np.random.default_rng(11)
EYE = np.eye(4, dtype=np.float32)


def samples(x: Matrix, classes: bool) -> Samples:
    return Samples(Split((x,), None), (np.dtype("float32"),), classes, "training inputs", objective(None))


def noise(before: Path, after: Path, data: Samples, macs: float = 32.0) -> layer_noise.Noise:
    return layer_noise.noise(before, after, data, macs, 1)


def sensitivity(before: Path, after: Path, data: Samples, macs: float = 32.0) -> layer_sensitivity.Sensitivity:
    return layer_sensitivity.sensitivity(before, after, data, macs, 1)


def chain(path: Path, *weights: Matrix, relu: bool = False) -> Path:
    """Linear layers one after the other, called 0, 1, 2, …, each with its inputs first, and with a bias of zeros."""
    nodes, tensors, last = [], [], "x"
    for index, matrix in enumerate(weights):
        end = "y" if index == len(weights) - 1 else f"v{index}"
        nodes += [files.node("MatMul", [last, f"{index}.weight"], [f"m{index}"])]
        nodes += [files.node("Add", [f"m{index}", f"{index}.bias"], [f"s{index}" if relu and end != "y" else end])]
        nodes += [files.node("Relu", [f"s{index}"], [end])] if relu and end != "y" else []
        tensors += [files.weight(f"{index}.weight", matrix)]
        tensors += [files.weight(f"{index}.bias", np.zeros(matrix.shape[1], np.float32))]
        last = end
    ports = [files.value("x", ("batch", len(weights[0])))], [files.value("y", ("batch", weights[-1].shape[1]))]
    onnx.save(files.model(files.graph(nodes, *ports, tensors)), path)
    return path


def matrices(count: int, size: int = 4) -> list[Matrix]:
    return [CHANCE.standard_normal((size, size)).astype(np.float32) for _ in range(count)]


def rounded(matrix: Matrix, steps: int = 8) -> Matrix:
    scale = np.abs(matrix).max(axis=0) / steps
    return np.asarray(np.round(matrix / scale) * scale, np.float32)


def test_noise_is_that_of_the_outputs_and_of_what_came_before(tmp_path: Path) -> None:
    first, second = matrices(2)
    error = 0.1 * CHANCE.standard_normal((4, 4)).astype(np.float32)
    before = chain(tmp_path / "before.onnx", first, second)
    after = chain(tmp_path / "after.onnx", first + error, second)
    found = noise(before, after, samples(EYE, False))
    for name, signal, lost in (("0", first, error), ("1", first @ second, error @ second)):
        assert found.sqnr_db[name] == pytest.approx(10 * np.log10((signal**2).sum() / (lost**2).sum()), abs=1e-3)
    assert found.samples == 4
    same = noise(before, before, samples(EYE, False))
    assert same.sqnr_db == {"0": 200.0, "1": 200.0}


def test_noise_is_heard_where_shapes_are_equal_and_in_few_samples_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = matrices(2)
    narrow = chain(tmp_path / "narrow.onnx", first[:, :3], second[:3])
    before = chain(tmp_path / "before.onnx", first, second)
    x = CHANCE.standard_normal((100, 4)).astype(np.float32)
    found = noise(before, narrow, samples(x, False))
    assert list(found.sqnr_db) == ["1"] and found.samples == layer_noise.SAMPLES
    assert noise(before, narrow, samples(x, False), macs=1e13).samples == 1
    monkeypatch.setattr(layer_noise, "MOST_BYTES", 1)
    assert noise(before, narrow, samples(x, False)).sqnr_db["1"] == pytest.approx(found.sqnr_db["1"], rel=1e-6)


def test_gains_that_were_moved_between_layers_are_no_noise_and_cost_nothing(tmp_path: Path) -> None:
    first, second = matrices(2, 16)
    gains = np.exp(CHANCE.normal(0, 1, 16)).astype(np.float32)
    before = chain(tmp_path / "before.onnx", first, second, relu=True)
    moved = chain(tmp_path / "moved.onnx", rounded(first * gains), second / gains[:, None], relu=True)
    plain = chain(tmp_path / "plain.onnx", rounded(first), second, relu=True)
    x = samples(np.abs(CHANCE.standard_normal((64, 16))).astype(np.float32), True)
    one, other = noise(before, moved, x).sqnr_db, noise(before, plain, x).sqnr_db
    assert one == {"0": pytest.approx(other["0"], abs=3), "1": pytest.approx(other["1"], abs=3)}
    falls = sensitivity(before, moved, x).falls
    assert max(falls.values()) < 0.25, "each layer alone, with its gains, would be another model"


def test_a_change_that_gains_do_not_explain_stays_whole() -> None:
    (weight,) = matrices(1, 16)
    rows, columns = np.exp(CHANCE.normal(0, 1, (2, 16)))
    scaled = (weight * rows[:, None] * columns).astype(np.float32)
    undone = without_gains(weight, scaled)
    assert undone is not None and np.allclose(undone, weight, atol=1e-4)
    assert without_gains(weight, rounded(weight, 127)) is None and without_gains(weight, weight) is None
    pruned = np.where(np.abs(weight) < 0.7, 0, weight)
    tuned = weight + 0.3 * CHANCE.standard_normal((16, 16)).astype(np.float32)
    assert without_gains(weight, pruned) is None and without_gains(weight, tuned) is None
    assert without_gains(weight[0], 2 * weight[0]) is None, "a bias has no inputs"


def test_sensitivity_is_the_share_of_answers_that_one_layer_changes(tmp_path: Path) -> None:
    """Inputs are the four classes; swapping two outputs of a layer changes half of the answers, and doing so in both
    layers changes none."""
    swapped = np.ascontiguousarray(EYE[:, [1, 0, 2, 3]] + np.float32(0.01))
    before, after = (
        chain(tmp_path / "before.onnx", EYE, EYE, EYE),
        chain(tmp_path / "after.onnx", swapped, swapped, EYE),
    )
    found = sensitivity(before, after, samples(np.repeat(EYE, 10, axis=0), True))
    assert found.falls == {"0": 0.5, "1": 0.5, "2": 0.0} and found.lacks == {}
    assert (found.metric, found.samples, found.lack) == ("agreement", 40, None)


def test_without_classes_it_is_the_fall_of_r2(tmp_path: Path) -> None:
    weight = np.array([[1], [2], [0], [0]], np.float32)
    other = weight + np.array([[0], [0], [1], [0]], np.float32)
    before, after = chain(tmp_path / "before.onnx", EYE, weight), chain(tmp_path / "after.onnx", EYE, other)
    x = CHANCE.standard_normal((200, 4)).astype(np.float32)
    found = sensitivity(before, after, samples(x, False))
    wanted = (x[:, 2] ** 2).mean() / (x @ weight).var()
    assert found.metric == "r2" and found.falls == {"0": 0.0, "1": pytest.approx(wanted, rel=1e-4)}
    constant = sensitivity(before, after, samples(np.ones((8, 4), np.float32), False))
    assert constant.falls == {"0": 0.0} and constant.lacks == {"1": "no numbers"}, "outputs that do not vary have no R²"


def test_the_largest_layers_are_tried_first_and_the_rest_is_said(tmp_path: Path) -> None:
    weights = [*matrices(LAYERS, 4), *matrices(1, 4)[:1]]
    wide = [CHANCE.standard_normal((4, 9)).astype(np.float32), CHANCE.standard_normal((9, 4)).astype(np.float32)]
    layers = [*weights, *wide]
    before = chain(tmp_path / "before.onnx", *layers)
    after = chain(tmp_path / "after.onnx", *(rounded(each) for each in layers))
    found = sensitivity(before, after, samples(EYE, True))
    assert len(found.falls) == LAYERS and {str(len(weights)), str(len(weights) + 1)} <= found.falls.keys()
    assert found.lack == f"sensitivity of the {LAYERS} largest of {LAYERS + 3} layers alone"
    few = sensitivity(before, after, samples(EYE, True), macs=layer_sensitivity.MOST_MACS / 32)
    assert list(few.falls) == [str(len(weights))] and few.samples == 4
    none = sensitivity(before, after, samples(EYE, True), macs=1e13)
    assert set(none.lacks.values()) == {"too many"} and len(few.lacks) == LAYERS + 2
    assert none.falls == {} and none.lack is not None and none.lack.startswith("sensitivity of the 0 largest")


@pytest.mark.parametrize(
    ("layers", "macs", "wanted"),
    [(2, 1e3, (2, 256)), (100, 1e3, (40, 256)), (21, 1.8e9, (16, 16)), (5, 1.8e9, (5, 46)), (5, 1e12, (0, 0))],
)
def test_more_layers_come_before_more_samples(layers: int, macs: float, wanted: tuple[int, int]) -> None:
    most, count = layer_sensitivity._bounds(layers, macs)
    assert (most, count) == wanted and (most + 1) * count * macs <= layer_sensitivity.MOST_MACS


@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        (["a", "b", "c"], ["a", "b", "c"], "a b c"),
        (["a", "b", "c"], ["a", "c"], "a b c"),
        (["a", "b", "c"], ["a", "b.0", "b.1", "c"], "a b.0 b.1 b c"),
        (["a"], ["b"], "b a"),
        ([], ["b"], "b"),
        (["a", "b"], ["b", "a"], "b a"),
    ],
)
def test_what_has_gone_stands_where_it_was(before: Sequence[str], after: Sequence[str], wanted: str) -> None:
    found = _merged(before, after)
    assert set(found) == {*before, *after} and len(found) == len(set(found))
    if wanted != "b a":
        assert " ".join(found) == wanted


def rows(report: Report) -> dict[str, LayerReport]:
    assert report.layers is not None and report.left_out.get("layers") is None
    return {row.name: row for row in report.layers.rows}


def totals(report: Report, side: str) -> dict[MetricName, float]:
    costs: list[LayerCost] = [cost for row in rows(report).values() if (cost := getattr(row, side)) is not None]
    return {
        "parameters": sum(cost.parameters for cost in costs),
        "nonzero_parameters": sum(cost.nonzero for cost in costs),
        "macs": sum(cost.macs or 0 for cost in costs),
    }


def ran(root: Path, recipe: list[dict[str, Any]], **given: Any) -> Report:
    return run(job_folder(root, recipe, outputs=["onnx"], **given).root, engine.reload.main)


def test_a_quantized_result_layer_by_layer(tmp_path: Path) -> None:
    report = ran(tmp_path, [{"kind": "quantize.dynamic"}], net=Mlp)
    found = rows(report)
    assert list(found) == ["layers.1", "layers.3"] and {row.kind for row in found.values()} == {"Linear"}
    assert totals(report, "before") == {name: report.baseline.get(name) for name in totals(report, "before")}
    assert totals(report, "after") == {name: report.result.get(name) for name in totals(report, "after")}
    first = found["layers.1"]
    assert first.before == LayerCost(shape=(32, 64), parameters=2080, nonzero=2080, size_bytes=8320, bits=32, macs=2048)
    assert first.after is not None and (first.after.bits, first.after.macs) == (8, 2048)
    assert first.after.size_bytes == 2048 + 32 * (4 + 1) + 32 * 4, "integers, their scales and zeros, and the bias"
    assert report.layers is not None and (report.layers.metric, report.layers.samples) == ("agreement", 64)
    for row in found.values():
        assert row.sqnr_db is not None and 25 < row.sqnr_db < 80
        assert row.sensitivity is not None and 0 <= row.sensitivity < 0.2


def test_a_pruned_and_encoded_result_keeps_its_names(tmp_path: Path) -> None:
    pruned: dict[str, Any] = {"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4, "recovery": None}
    recipe = [pruned, {"kind": "quantize.codebook", "bits": 3, "recovery": None}, {"kind": "encode.entropy"}]
    report = ran(tmp_path, recipe, net=Cnn)
    found = rows(report)
    assert list(found) == ["stem.0", "block.0", "block.3", "hidden", "head"]
    hidden, head = found["hidden"], found["head"]
    assert hidden.before is not None and hidden.after is not None and hidden.after.parameters < hidden.before.parameters
    assert hidden.sqnr_db is None and hidden.sensitivity is None and head.sqnr_db is not None
    assert hidden.no_noise == hidden.no_sensitivity == head.no_sensitivity == "other shape" and head.no_noise is None
    stem = found["stem.0"]
    assert stem.before is not None and stem.after is not None
    assert stem.before.shape[0] > stem.after.shape[0] and stem.before.shape[1:] == stem.after.shape[1:] == (1, 3, 3)
    assert totals(report, "after")["macs"] == report.result.get("macs")


@pytest.mark.parametrize("net", [Tokens, Transformer])
def test_tables_norms_and_parameters_are_layers_too(net: Any, tmp_path: Path) -> None:
    report = ran(tmp_path, [{"kind": "quantize.static"}], net=net)
    found = rows(report)
    kinds = {row.kind for row in found.values()}
    assert kinds == ({"Linear", "Embedding"} if net is Tokens else {"Linear", "LayerNorm", "Parameter"})
    linear = [row for row in found.values() if row.kind == "Linear"]
    assert all(row.sqnr_db is not None and row.sensitivity is not None for row in linear)
    assert not any(row.name.startswith("val_") for row in found.values())


def test_an_upload_in_onnx_has_layers_too(tmp_path: Path) -> None:
    report = run(onnx_job(tmp_path, [{"kind": "quantize.dynamic"}], Mlp).root, engine.reload.main)
    found = rows(report)
    assert [row.kind for row in found.values()] == ["Linear", "Linear"]
    assert all(
        row.after and row.after.bits == 8 and row.sqnr_db and row.sensitivity is not None for row in found.values()
    )


def test_new_outputs_leave_nothing_to_compare_with(tmp_path: Path) -> None:
    report = ran(tmp_path, [{"kind": "finetune.head", "epochs": 1}], net=Mlp)
    assert report.layers is not None and report.layers.metric is None
    assert all(row.sqnr_db is None and row.sensitivity is None for row in report.layers.rows)
    head = report.layers.rows[-1]
    assert head.no_noise == head.no_sensitivity == "new outputs"
    assert "the last step gave the model its outputs" in report.left_out["layers"]


def test_a_short_report_has_costs_and_runs_nothing(tmp_path: Path) -> None:
    report = ran(tmp_path, [{"kind": "quantize.dynamic"}], net=Regression, report="short")
    assert report.layers is not None and all(row.after for row in report.layers.rows)
    assert {row.no_noise for row in report.layers.rows} == {"short report"}
    assert report.left_out["layers"] == "noise and sensitivity, as the job asked for a short report"
    assert report.result.timings == () and report.result.get("peak_memory_bytes") is None
    assert report.comparison.speedup_interval is not None


def test_every_layer_without_noise_or_sensitivity_says_why(tmp_path: Path) -> None:
    """A norm goes into the weight before it, a table of parameters has no output, and another layer comes."""
    report = ran(tmp_path, [{"kind": "quantize.static"}], net=Transformer)
    found = rows(report)
    assert found, "there are layers"
    for row in found.values():
        assert (row.sqnr_db is None) == (row.no_noise is not None)
        assert (row.sensitivity is None) == (row.no_sensitivity is not None)
    assert {row.no_noise for row in found.values() if row.kind == "Parameter"} == {"no output"}


def test_a_layer_in_one_file_alone_came_or_went() -> None:
    cost = LayerCost(parameters=1, nonzero=1, size_bytes=4, bits=32, macs=None)
    before, after = {"a": ("Linear", cost), "b": ("Linear", cost)}, {"b": ("Linear", cost), "c": ("Linear", cost)}
    said = [_absent(name, before, after, {"b": "merged"}, "new outputs") for name in "abc"]
    assert said == ["went", "merged", "came"]
    assert _absent("b", before, after, {}, "short report") == "short report"
