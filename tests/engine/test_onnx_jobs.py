"""Jobs on a model that came as ONNX: quantized, measured, a teacher, and refused where it would be trained."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

import engine.reload
from engine.jobdir import JobDir
from engine.model import Model, read_model
from engine.onnx_model import read_onnx
from engine.quantize.source import quantized
from engine.run import run
from pith.errors import PithError
from pith.job import JobSpec
from tests.engine import onnx_files as files
from tests.engine.tiny import TEACHER_ID, Cnn, Mlp, Transformer, built, job_folder, pictures


def staged(folder: Path, made: bytes | onnx.ModelProto, name: str) -> Path:
    """What the check of an ONNX upload leaves."""
    desk = folder / "uploaded"
    desk.mkdir()
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return read_onnx(files.write(desk, made), target).path


def onnx_job(
    root: Path,
    recipe: list[dict[str, Any]],
    net: type[nn.Module],
    opset: int = 17,
    batch: int | None = None,
    **more: Any,
) -> JobDir:
    folder = job_folder(root, recipe, net=net, **{"outputs": ["onnx"], **more})
    folder.model.unlink()
    staged(root, files.exported_bytes(net, opset, batch), "model.onnx")
    return folder


def operators(path: Path) -> set[str]:
    return {node.op_type for node in onnx.load(path).graph.node}


@pytest.mark.parametrize(
    ("kind", "net", "opset", "made"),
    [
        ("quantize.dynamic", Mlp, 17, "MatMulInteger"),
        ("quantize.dynamic", Transformer, 20, "MatMulInteger"),
        ("quantize.static", Cnn, 13, "QuantizeLinear"),
        ("quantize.static", Cnn, 20, "QuantizeLinear"),
    ],
)
def test_it_is_quantized_and_measured(kind: str, net: type[nn.Module], opset: int, made: str, tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": kind}], net, opset, constraints={"min_compression_ratio": 1.5})
    report = run(folder.root, engine.reload.main)
    assert made in operators(folder.output("onnx")) and report.outputs[0].agreement_with_result == 1.0
    assert report.comparison.quality == "accuracy" and report.result.get("agreement") > 0.9
    assert report.comparison.compression_ratio > 1.2 and report.constraints[0].name == "min_compression_ratio"
    for name in ("parameters", "macs"):
        before, after = report.baseline.get(name), report.result.get(name)
        assert before is not None and after == pytest.approx(before, rel=0.02), name
    assert read_model(folder.output("onnx"), tmp_path).integer_layers() > 0


@pytest.mark.parametrize(("kind", "output"), [("quantize.bfloat16", "onnx"), ("encode.entropy", "pith")])
def test_what_leaves_its_values_works_on_it_too(kind: str, output: str, tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": kind}], Mlp, report="short")
    report = run(folder.root, engine.reload.main)
    assert report.result.get("agreement") == 1.0 and report.comparison.compression_ratio > 1
    assert (folder.out / f"model.{output}").exists()


def test_a_dataset_is_checked_against_it(tmp_path: Path) -> None:
    wrong = {"x_test": np.zeros((4, 1, 9, 9), np.float32), "y_test": np.arange(4)}
    folder = onnx_job(tmp_path, [{"kind": "quantize.dynamic"}], Mlp, data=wrong)
    with pytest.raises(PithError, match="dataset_mismatch"):
        run(folder.root, engine.reload.main)


def test_calibration_data_goes_in_under_the_names_of_the_file(tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.static"}], Cnn, 17, 1, data={"x": pictures(64, 3)[0]})
    report = run(folder.root, engine.reload.main)
    assert report.comparison.quality == "agreement" and report.result.get("agreement") > 0.9
    assert [value.name for value in onnx.load(folder.output("onnx")).graph.input] == ["x"]


TRAINING = ["finetune.full", "prune.channel", "prune.magnitude", "distill.logits"]


@pytest.mark.parametrize("kind", TRAINING)
def test_steps_that_train_or_reshape_are_refused_with_the_way_out(kind: str, tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.dynamic"}, {"kind": kind}][::-1], Mlp)
    with pytest.raises(PithError, match="model_not_trainable") as caught:
        run(folder.root, engine.reload.main)
    assert f"recipe[0] ({kind})" in caught.value.problem.detail and "pith export" in caught.value.problem.detail
    assert not (folder.out / "model.onnx").exists()


def test_outputs_besides_onnx_are_refused_before_any_work(tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.dynamic"}], Mlp, outputs=["onnx", "pt2"])
    with pytest.raises(PithError, match="output_unavailable") as caught:
        run(folder.root, engine.reload.main)
    assert "outputs[1] is pt2" in caught.value.problem.detail


def test_everything_that_a_finished_graph_cannot_do_is_told_at_once() -> None:
    recipe = [{"kind": kind} for kind in ("prune.channel", "finetune.full", "quantize.static")]
    spec = JobSpec.model_validate({"model": TEACHER_ID, "recipe": recipe, "outputs": ["safetensors", "onnx"]})
    found = [(pointer, problem.code) for pointer, problem in spec.finished_problems()]
    assert found == [
        ("/recipe/0", "model_not_trainable"),
        ("/recipe/1", "model_not_trainable"),
        ("/outputs/0", "output_unavailable"),
    ]


def test_a_quantized_upload_is_not_quantized_again(tmp_path: Path) -> None:
    first = onnx_job(tmp_path / "first", [{"kind": "quantize.dynamic"}], Mlp)
    run(first.root, engine.reload.main)
    again = onnx_job(tmp_path / "again", [{"kind": "quantize.dynamic"}], Mlp)
    facts = read_onnx(first.output("onnx"), again.root / "model.onnx").facts
    assert facts.finished_layers == 2 and facts.dtype == "int8" and "already hold integers" in facts.notes[0]
    with pytest.raises(PithError, match="model_finished"):
        run(again.root, engine.reload.main)


def test_it_teaches_a_student(tmp_path: Path) -> None:
    step = {"kind": "distill.logits", "teacher": TEACHER_ID, "epochs": 20, "hard_label_weight": 0}
    step |= {"learning_rate": 0.01, "batch_size": 32}
    folder = job_folder(tmp_path, [step], net=Mlp, outputs=["onnx"], data={"x": pictures(192, 1)[0]})
    staged(tmp_path, files.exported_bytes(Mlp, 17, 1, seed=5), f"others/{TEACHER_ID}/model.onnx")
    run(folder.root, engine.reload.main)
    x = pictures(256, 9)[0]
    teacher = files.run(tmp_path / "others" / TEACHER_ID / "model.onnx", x)[0]
    before, after = built(Mlp)(torch.from_numpy(x)).detach().numpy(), files.run(folder.output("onnx"), x)[0]
    assert apart(after, teacher) < apart(before, teacher) / 2


def apart(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    """How far scores are from one another; what all classes share says nothing."""
    return float(np.abs(one - one.mean(1, keepdims=True) - other + other.mean(1, keepdims=True)).mean())


def test_a_teacher_gives_the_same_as_its_file_without_a_gradient(tmp_path: Path) -> None:
    path = staged(tmp_path, files.exported_bytes(Cnn, 13, None), "model.onnx")
    model = read_model(path, tmp_path).frozen(torch.device("cpu"))
    x = torch.randn(3, 1, 8, 8, requires_grad=True)
    (given,) = model.run((x,))
    assert not model.trainable and not given.requires_grad
    assert np.array_equal(given.numpy(), files.run(path, x.detach().numpy())[0])
    with pytest.raises(AssertionError, match="no layers"):
        model.graph.eval()


def test_an_opset_without_scales_for_channels_is_raised(tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.static"}], Mlp, 11)
    assert onnx.load(folder.root / "model.onnx").opset_import[0].version == 11
    report = run(folder.root, engine.reload.main)
    assert report.result.get("agreement") > 0.9 and onnx.load(folder.output("onnx")).opset_import[0].version >= 13


def test_batch_norms_are_folded_before_an_upload_is_quantized(tmp_path: Path) -> None:
    norm = [files.weight(name, np.linspace(0.5, 1.5, 4, dtype=np.float32)) for name in ("s", "b", "m", "v")]
    kernel = files.weight("w", np.random.default_rng(0).standard_normal((4, 1, 3, 3)).astype(np.float32))
    nodes = [
        files.node("Conv", ["x", "w"], ["c"]),
        files.node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"]),
        files.node("GlobalAveragePool", ["n"], ["p"]),
        files.node("Flatten", ["p"], ["y"]),
    ]
    made = files.model(files.graph(nodes, [files.value("x", ("n", 1, 8, 8))], [files.value("y")], [kernel, *norm]))
    folder = job_folder(tmp_path, [{"kind": "quantize.static"}], net=Cnn, outputs=["onnx"])
    folder.model.unlink()
    staged(tmp_path, made, "model.onnx")
    report = run(folder.root, engine.reload.main)
    assert "BatchNormalization" not in operators(folder.output("onnx"))
    assert all("calibration alone" in note for note in report.steps[0].notes) and report.result.get("agreement") > 0.9


def test_what_was_quantized_is_counted_by_its_file(tmp_path: Path) -> None:
    folder = onnx_job(tmp_path, [{"kind": "quantize.dynamic"}], Mlp)
    run(folder.root, engine.reload.main)
    signature = read_model(folder.root / "model.onnx", tmp_path).signature
    result, count, total = quantized(Model(None, signature, folder.root / "model.onnx"), folder.output("onnx"))
    assert (count, total) == (2, 2) and result.finished == folder.output("onnx")
