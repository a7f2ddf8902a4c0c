"""``pith unpack``."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from safetensors.numpy import load_file

from engine.encode.packing import pack
from pith.cli.unpack import unpack
from pith.errors import PithError
from tests.engine.encode.graphs import SKELETON, sparse_picture_weights, tensors

WEIGHTS, BIASES = sparse_picture_weights(), np.arange(5, dtype=np.int64)
PACKED = pack(SKELETON, tensors(WEIGHTS, BIASES))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.pith"
    path.write_bytes(PACKED.data)
    return path


def test_the_onnx_file_and_the_weights_come_out(file: Path) -> None:
    done = CliRunner().invoke(unpack, [str(file), "--safetensors"])
    assert done.exit_code == 0, done.output
    assert file.with_suffix(".onnx").read_bytes() == PACKED.model
    found = load_file(file.with_suffix(".safetensors"))
    assert np.array_equal(found["0"], WEIGHTS) and np.array_equal(found["1"], BIASES)


def test_the_name_of_the_file_can_be_chosen(file: Path) -> None:
    out = file.with_name("other.onnx")
    assert CliRunner().invoke(unpack, [str(file), "-o", str(out)]).exit_code == 0
    assert out.read_bytes() == PACKED.model and not file.with_suffix(".onnx").exists()


def test_the_weights_go_beside_the_onnx_file_and_never_over_it(file: Path) -> None:
    out = file.with_name("u.st")
    assert CliRunner().invoke(unpack, [str(file), "-o", str(out), "--safetensors"]).exit_code == 0
    assert out.read_bytes() == PACKED.model and "0" in load_file(out.with_suffix(".safetensors"))
    wrong = file.with_name("v.safetensors")
    refused = CliRunner().invoke(unpack, [str(file), "-o", str(wrong), "--safetensors"])
    assert refused.exit_code == 2 and "names the ONNX file" in refused.output and not wrong.exists()


@pytest.mark.parametrize(("name", "code"), [("none.pith", "file_unreadable"), ("damaged.pith", "packed_malformed")])
def test_what_cannot_be_read_is_one_error_and_no_file(file: Path, name: str, code: str) -> None:
    file.with_name("damaged.pith").write_bytes(PACKED.data[:-9])
    refused = CliRunner().invoke(unpack, [str(file.with_name(name))])
    assert isinstance(refused.exception, PithError) and refused.exception.code == code
    assert not list(file.parent.glob("*.onnx"))


def test_the_client_alone_says_what_is_missing(file: Path) -> None:
    """numpy is blocked, as where only the client is installed."""
    code = "import sys; sys.modules['numpy'] = None; from pith.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code, "unpack", str(file)], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'pith[unpack]'" in done.stderr
