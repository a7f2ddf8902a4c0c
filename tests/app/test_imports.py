"""The API is importable where there is no torch, and importing it does nothing."""

import subprocess
import sys
from pathlib import Path

from tests.app.api_process import environment

BLOCKED = ("torch", "numpy", "onnx", "onnxruntime", "onnxscript", "safetensors", "engine", "worker")
PROGRAM = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {BLOCKED!r}:
            raise ImportError(name + " is blocked")
sys.meta_path.insert(0, Blocked())
import app.main, app.serve, app.up, app.broker, pith.client, pith.cli
app.main.app.openapi()
assert not [name for name in {BLOCKED!r} if name in sys.modules]
try:
    import torch
except ImportError:
    print("imported without", *{BLOCKED!r})
"""


def test_the_api_needs_no_torch_and_touches_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        cwd=Path(__file__).parents[2],
        env=environment(tmp_path / "data", PITH_HOST="0.0.0.0"),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "imported without torch" in done.stdout
    assert list(tmp_path.iterdir()) == []
