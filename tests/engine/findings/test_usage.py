"""The code that a report tells its reader to run was run, needs what it says, and is nothing but the engine's own."""

import ast
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

import engine.reload
from engine.model import Model
from engine.reload import write_arrays
from engine.run import run
from engine.usage import code_for, explained
from pith.artifact import ResultFormat
from pith.dataset import (
    AudioPreprocessing,
    FittedPreprocessing,
    ImagePreprocessing,
    NumericColumn,
    Preprocessing,
    TabularPreprocessing,
    TextPreprocessing,
)
from pith.errors import PithError
from pith.report import Report
from tests.engine.tiny import Mlp, Tokens, TwoHeads, job_folder, lifted

FORMS: tuple[ResultFormat, ...] = ("onnx", "pt2", "safetensors", "pith")


def used(root: Path, net: type[nn.Module], **spec: Any) -> dict[str, tuple[str, str]]:
    """Code and what it printed, by artifact."""
    folder = job_folder(root, [{"kind": "quantize.weight_only"}], net=net, report="short", **spec)
    report = run(folder.root, engine.reload.main)
    return {each.artifact: (each.code, each.printed) for each in report.usage}


def test_every_output_of_a_job_has_code_that_was_run(tmp_path: Path) -> None:
    recipe = [{"kind": "prune.magnitude"}, {"kind": "encode.entropy"}]
    folder = job_folder(tmp_path, recipe, net=Mlp, data=None, report="short")
    report = run(folder.root, engine.reload.main)
    printed = {each.artifact: each.printed for each in report.usage}
    assert printed["model.onnx"] == printed["model.pith"] == "output float32 (1, 4)\n"
    assert printed["model.pt2"] == "torch.float32 (1, 4)\n"
    assert printed["model.safetensors"].startswith("4 tensors, 2212 numbers\n")
    assert "usage" not in report.left_out and report == Report.model_validate_json(folder.report_json.read_bytes())
    page = folder.report_html.read_text()
    assert "model.safetensors" in page and "4 tensors, 2212 numbers" in page


def test_outputs_with_names_of_their_own_are_printed_by_them(tmp_path: Path) -> None:
    found = used(tmp_path, TwoHeads, outputs=["onnx", "pt2"])
    assert found["model.onnx"][1] == "scores float32 (1, 4)\nrows float32 (1, 8)\n"
    assert found["model.pt2"][1] == "scores torch.float32 (1, 4)\nrows torch.float32 (1, 8)\n"


def test_several_inputs_are_given_in_their_types(tmp_path: Path) -> None:
    found = used(tmp_path, Tokens, outputs=["onnx", "pt2"])
    assert '"ids": np.ones((1, 6), dtype="int64"),' in found["model.onnx"][0]
    assert found["model.pt2"][1] == "torch.float32 (1, 4)\n"


def test_an_onnx_model_is_called_by_its_own_names(tmp_path: Path) -> None:
    recipe = [{"kind": "quantize.weight_only"}]
    first = job_folder(tmp_path / "first", recipe, net=Tokens, outputs=["onnx"], report="short")
    run(first.root, engine.reload.main)
    model = replace(lifted(Mlp), lifted=None, finished=first.output("onnx"))
    assert '"x": np.zeros(' in code_for("onnx", "model.onnx", model, None).text


@pytest.mark.parametrize("form", FORMS)
def test_code_needs_what_it_says_and_holds_names_as_texts(form: ResultFormat) -> None:
    model = named(lifted(Mlp), 'x\'); import os; os.abort()  #\n"""')
    fitted = FittedPreprocessing(preprocessing=ImagePreprocessing(), inputs=("\n import os",), input_shape=(1, 8, 8))
    code = code_for(form, "model'.onnx", model, fitted)
    tree = ast.parse(code.text)
    imported = {name for node in ast.walk(tree) for name in imports(node)}
    needed = {need.partition("[")[0] for need in code.needs}
    assert {name for name in imported if name not in sys.stdlib_module_names} == needed - (
        {"torch"} if form == "safetensors" else set()
    )
    calls = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert "os" not in calls and max(map(len, code.text.splitlines())) < 120


def imports(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [each.name.partition(".")[0] for each in node.names]
    return [str(node.module).partition(".")[0]] if isinstance(node, ast.ImportFrom) else []


def named(model: Model, name: str) -> Model:
    """The same model, its first input and output called so."""
    ends = model.signature
    both = [(replace(ends.inputs[0], name=name),) * 2, (replace(ends.outputs[0], name=name),) * 2]
    return replace(model, signature=replace(ends, inputs=both[0], outputs=both[1]))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        (ImagePreprocessing(size=(32, 24), mean=(0.5,)), "32 by 24 pixels, scaled to 0..1, normalized"),
        (ImagePreprocessing(), "of any size, scaled to 0..1, channels first"),
        (TextPreprocessing(length=64), "by tokenizer.json, padded or cut to 64"),
        (AudioPreprocessing(), "log-mel spectrogram of 40 bands of 1 s of mono sound at 16000 Hz"),
        (AudioPreprocessing(features="waveform", seconds=2.5), "the waveform of 2.5 s"),
        (TabularPreprocessing(), "as preprocessing.json says: 1 columns"),
    ],
)
def test_preprocessing_is_explained_in_a_sentence(how: Preprocessing, said: str) -> None:
    fitted = FittedPreprocessing(preprocessing=how, inputs=("a",), input_shape=(1,), table=(NumericColumn(name="a"),))
    assert said in explained(fitted)
    assert f"# The sample: {explained(fitted)[:20]}" in code_for("pt2", "model.pt2", lifted(Mlp), fitted).text


def test_code_that_does_not_run_is_an_artifact_that_does_not_load(tmp_path: Path) -> None:
    folder = job_folder(
        tmp_path, [{"kind": "quantize.weight_only"}], net=Mlp, data=None, outputs=["onnx"], report="short"
    )

    def wrong(desk: Path) -> int:
        request = json.loads((desk / "request.json").read_text())
        code = request["usage"]["onnx"].replace('"input"', '"inputs"')
        (desk / "request.json").write_text(json.dumps({**request, "usage": {"onnx": code}}))
        return engine.reload.main(desk)

    with pytest.raises(PithError, match="reload_failed") as caught:
        run(folder.root, wrong)
    assert "that the code which uses model.onnx does not run (" in caught.value.problem.detail
    assert not folder.report_json.exists()


def test_the_code_is_run_beside_the_artifact_and_leaves_the_process_where_it_was(tmp_path: Path) -> None:
    beside = tmp_path / "out"
    beside.mkdir()
    write_arrays(beside / "weights.npz", (np.zeros(1),))
    here = Path.cwd()
    assert engine.reload._printed("import os\nprint(sorted(os.listdir()))", beside) == "['weights.npz']\n"
    assert Path.cwd() == here
