"""The check of an upload, through the engine's one door."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.architectures.build import build
from engine.jobdir import IntakeJob, JobDir
from engine.main import FAILED, SUCCEEDED, main
from engine.model import read_model
from engine.weights import read_tensors
from pith.intake import Architecture, LearntModel
from tests.engine.tiny import Cnn, built, exported, saved

DIGEST = "sha256:" + "0" * 64
MLP = Architecture(name="pith/mlp", arguments={"in_features": 12, "hidden": [16], "out_features": 3})


def folder_for(root: Path, name: str, digest: str | None = DIGEST, **declared: Any) -> JobDir:
    folder = JobDir(root)
    root.mkdir(exist_ok=True)
    job = IntakeJob(resource="model", file_name=name, digest=digest, **declared)
    folder.intake.write_text(job.model_dump_json())
    return folder


def learnt(folder: JobDir) -> LearntModel:
    assert main(folder.root) == SUCCEEDED, folder.error.read_text()
    return LearntModel.model_validate_json(folder.learnt.read_bytes())


def refused(folder: JobDir) -> dict[str, Any]:
    assert main(folder.root) == FAILED
    assert not folder.learnt.exists()
    problem: dict[str, Any] = json.loads(folder.error.read_text())
    return problem


def test_a_program_is_cleaned_and_described(tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "job", "net.pt2")
    folder.upload.write_bytes(saved(Cnn))
    found = learnt(folder)
    facts = found.facts
    assert found.parts == ("model.pt2",) and folder.part("model.pt2").exists()
    assert (facts.format, facts.trainable, facts.inputs[0].shape, facts.outputs[0].shape) == (
        "pt2",
        True,
        (None, 1, 8, 8),
        (None, 4),
    )
    assert facts.head is not None and (facts.head.name, facts.head.outputs) == ("head", 4)
    layers = {layer.name: layer for layer in facts.layers}
    assert layers["stem.0"].macs == 16 * 9 * 64 and layers["stem.0"].width == 16
    assert layers["stem.0"].group == layers["block.0"].group == layers["block.3"].group
    assert layers["head"].left_alone == "its channels are the model's output"
    assert facts.parameters == sum(parameter.numel() for parameter in built(Cnn).parameters())
    assert facts.estimate is not None and facts.estimate.sample_bytes > 64 * 16 * 4


def test_a_state_dict_meets_its_architecture(tmp_path: Path) -> None:
    net = build(MLP.name, MLP.arguments, seed=5)
    folder = folder_for(tmp_path / "job", "weights.pth", architecture=MLP)
    wrapped = {"state_dict": {f"module.{name}": tensor for name, tensor in net.module.state_dict().items()}}
    torch.save(wrapped, folder.upload)
    found = learnt(folder)
    assert found.facts.format == "state_dict"
    assert any("module." in note for note in found.facts.notes)
    model = read_model(folder.part("model.pt2"), folder.scratch)
    with torch.no_grad():
        assert torch.equal(model.run(net.inputs)[0], net.module(*net.inputs))


def test_half_precision_is_converted_and_said(tmp_path: Path) -> None:
    net = build(MLP.name, MLP.arguments)
    folder = folder_for(tmp_path / "job", "weights.pth", architecture=MLP)
    torch.save(net.module.half().state_dict(), folder.upload)
    facts = learnt(folder).facts
    assert facts.dtype == "float16" and any("float16" in note for note in facts.notes)


def test_an_architecture_alone_has_fresh_weights_from_its_seed(tmp_path: Path) -> None:
    one = folder_for(tmp_path / "one", "mlp", None, architecture=MLP)
    two = folder_for(tmp_path / "two", "mlp", None, architecture=MLP)
    other = folder_for(tmp_path / "other", "mlp", None, architecture=MLP.model_copy(update={"seed": 1}))
    facts = [learnt(folder).facts for folder in (one, two, other)]
    weights = [read_model(folder.part("model.pt2"), folder.scratch).graph.state_dict() for folder in (one, two, other)]
    assert {fact.format for fact in facts} == {"architecture"}
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert not all(torch.equal(weights[0][name], weights[2][name]) for name in weights[0])


def test_a_state_dict_without_an_architecture_is_told_so(tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "job", "weights.pth")
    torch.save(build(MLP.name, MLP.arguments).module.state_dict(), folder.upload)
    problem = refused(folder)
    assert problem["code"] == "architecture_missing" and "such as architecture=timm/resnet18." in problem["detail"]
    assert len(read_tensors(folder.upload).tensors) == 4


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "send it again with architecture=pith/lenet_5, which fits exactly."),
        ({"num_classes": 3}, 'architecture=pith/lenet_5 and arguments={"num_classes": 3}, which fits exactly.'),
    ],
)
def test_the_architecture_that_fits_is_the_only_one_that_is_named(
    arguments: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = folder_for(tmp_path / "job", "weights.pth")
    torch.save(build("pith/lenet_5", arguments).module.state_dict(), folder.upload)
    problem = refused(folder)
    assert problem["code"] == "architecture_missing"
    assert said in problem["detail"] and "timm" not in problem["detail"]


def test_a_mismatch_lists_what_differs(tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "job", "weights.pth", architecture=MLP)
    torch.save(build(MLP.name, {**MLP.arguments, "out_features": 7}).module.state_dict(), folder.upload)
    problem = refused(folder)
    assert problem["code"] == "weights_mismatch"
    assert {error["code"] for error in problem["errors"]} == {"wrong_shape"}
    assert "[7, 16]" in problem["errors"][0]["detail"] and "[3, 16]" in problem["errors"][0]["detail"]


def test_a_graph_needs_no_architecture(tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "job", "net.pt2", architecture=MLP)
    folder.upload.write_bytes(saved(Cnn))
    assert refused(folder)["code"] == "architecture_needless"


def test_an_onnx_file_is_a_finished_graph(tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "job", "net.onnx")
    torch.onnx.export(exported(built(Cnn)), dynamo=True, verbose=False).save(folder.upload)
    found = learnt(folder)
    assert (found.parts, found.facts.format, found.facts.trainable) == (("model.onnx",), "onnx", False)
    assert found.facts.opset is not None


@pytest.mark.parametrize("content", [b"", b"<!DOCTYPE html><html>", b"version https://git-lfs.github.com/spec/v1\n"])
def test_what_is_no_model_is_refused(content: bytes, tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "job", "net.pt2")
    folder.upload.write_bytes(content)
    assert refused(folder)["code"] == "model_format_unknown"


def test_a_fixed_batch_is_made_dynamic_once_and_said(tmp_path: Path) -> None:
    folder, net = folder_for(tmp_path / "job", "net.pt2"), built(Cnn)
    torch.export.save(torch.export.export(net, (torch.randn(2, 1, 8, 8),)), folder.upload)
    facts = learnt(folder).facts
    assert facts.inputs[0].shape[0] is None and any("dynamic" in note for note in facts.notes)
    x = torch.randn(5, 1, 8, 8)
    with torch.no_grad():
        assert torch.equal(read_model(folder.part("model.pt2"), folder.scratch).run((x,))[0], net(x))


def test_blocks_are_named_as_places_for_hints(tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "job", "net.pt2")
    folder.upload.write_bytes(saved(Cnn))
    hints = {hint.name: hint.shape for hint in learnt(folder).facts.hints}
    assert hints["stem"] == hints["block"] == (None, 16, 8, 8) and hints["hidden"] == (None, 32)
