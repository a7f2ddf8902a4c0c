"""Files that run code when torch loads them. Each is first shown to be real, then refused."""

import subprocess
import sys
from pathlib import Path

import pytest

from engine.pt2 import clean
from engine.pt2.load import load
from pith.errors import PithError
from tests.engine import exploits, exported, tampering

# Every exploit, with the code and a part of the sentence that it meets.
EXPLOITS: dict[str, tuple[exploits.Exploit, str, str]] = {
    "sample inputs": (exploits.sample_inputs, "model_unsafe", "sample inputs that ask for"),
    "a pickled weight": (exploits.pickled_weight, "model_unsafe", "a pickled tensor"),
    "a pickled constant": (exploits.pickled_constant, "model_unsafe", "a pickled tensor"),
    "an opaque object": (exploits.opaque_object, "model_unsafe", "opaque_obj_0"),
    "weights of an older torch": (exploits.old_weights, "model_unsafe", "data/weights/model.pt"),
    "constants of an older torch": (exploits.old_constants, "model_unsafe", "data/constants/model.pt"),
    "a size": (exploits.size_expression, "model_unsafe", "the symbolic expression"),
    "a computed size": (exploits.size_value, "model_unsafe", "the symbolic expression"),
    "a guard": (exploits.guards, "model_unsafe", "the guard"),
    "a text that goes into a guard": (exploits.quoted_text, "model_unsafe", "the text"),
    "the name of an input": (exploits.input_name, "model_unsafe", "the name"),
    "the names of arguments": (exploits.argument_names, "model_unsafe", "the name"),
    "the name of a parameter": (exploits.parameter_name, "model_unsafe", "the dotted name"),
    "a default factory": (exploits.default_factory, "model_unsupported", "collections.defaultdict"),
    "an enumeration as a key": (exploits.enumeration_key, "model_malformed", "out_spec"),
    "the layout of torch 2.7": (exploits.old_layout, "model_unsafe", "PyTorch 2.7"),
}


def _build(name: str, folder: Path) -> tuple[Path, Path]:
    """The hostile file, and the canary that its code would create."""
    stem = name.replace(" ", "_").replace(".", "_")
    canary, path = folder / f"{stem}_canary", folder / f"{stem}.pt2"
    exploit = EXPLOITS[name][0]
    good = "text input" if exploit is exploits.quoted_text else "convolutional"
    members = exploit(tampering.read_members(exported.saved(good)), canary)
    tampering.write_members(path, members, top="" if exploit is exploits.old_layout else "top/")
    return path, canary


def test_every_exploit_is_real(tmp_path: Path) -> None:
    """Otherwise the tests below would pass on files that do nothing."""
    built = {name: _build(name, tmp_path) for name in EXPLOITS}
    script = Path(__file__).with_name("fire.py")
    command = [sys.executable, str(script), *(str(path) for path, _ in built.values())]
    subprocess.run(command, cwd=tmp_path, env={"PYTHONPATH": str(tmp_path), "PATH": "/usr/bin:/bin"}, check=True)
    assert [name for name, (_, canary) in built.items() if not canary.exists()] == []


@pytest.mark.parametrize("name", EXPLOITS)
def test_an_exploit_is_refused_and_nothing_runs(name: str, tmp_path: Path) -> None:
    path, canary = _build(name, tmp_path)
    _, code, words = EXPLOITS[name]
    with pytest.raises(PithError) as caught:
        load(path, tmp_path)
    assert caught.value.code == code
    assert words in caught.value.problem.detail
    assert not canary.exists()


def test_a_refused_file_leaves_nothing_behind(tmp_path: Path) -> None:
    path, _ = _build("a guard", tmp_path)
    target = tmp_path / "out" / "clean.pt2"
    target.parent.mkdir()
    with pytest.raises(PithError):
        clean(path, target)
    assert not list(target.parent.iterdir())
    target.write_bytes(b"what was here before")
    with pytest.raises(PithError):
        clean(path, target)
    assert target.read_bytes() == b"what was here before"
