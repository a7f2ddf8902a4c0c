"""``python examples/run.py FAMILY``: the job of a family against a service that runs, printed as it would be typed.

The service's address is PITH_URL, or http://127.0.0.1:8000 (``make serve``). What it prints is ``transcript.txt``.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import digits

HERE = Path(__file__).parent
PITH = str(Path(sys.executable).with_name("pith"))
INPUTS = {"finetune": ("low.pt2", "high.npz")}


def main(family: str) -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        digits.main(root)
        job = root / "job.json"
        job.write_text(_filled((HERE / family / "job.json").read_text(), root))
        model, data = INPUTS.get(family, ("model.pt2", "dataset.npz"))
        said = _typed("run", "job.json", "--model", model, "--data", data, "--out", "out", at=root)
        if (root / "out/model.pith").exists():
            said |= _typed("unpack", "out/model.pith", "-o", "unpacked.onnx", at=root)
            same = (root / "unpacked.onnx").read_bytes() == (root / "out/model.onnx").read_bytes()
            print(f"$ cmp unpacked.onnx out/model.onnx   # {'the same bytes' if same else 'they differ'}")
            said |= not same
    return said


def _filled(spec: str, root: Path) -> str:
    """The spec with each ``<file>`` replaced by the id of that model, uploaded."""
    for path in sorted(root.glob("*.pt2")):
        if f"<{path.name}>" in spec:
            print(f"$ pith models upload {path.name}")
            command = [PITH, "models", "upload", path.name, "--json"]
            sent = subprocess.run(command, cwd=root, check=True, capture_output=True, text=True)
            id = json.loads(sent.stdout)["id"]
            print(id)
            spec = spec.replace(f"<{path.name}>", id)
    return spec


def _typed(*arguments: str, at: Path) -> int:
    print(f"$ pith {' '.join(arguments)}", flush=True)
    done = subprocess.run([PITH, *arguments], cwd=at, check=False, env=_plain(), stderr=subprocess.STDOUT)
    return done.returncode


def _plain() -> dict[str, str]:
    return {**os.environ, "NO_COLOR": "1", "COLUMNS": "110", "PYTHONUNBUFFERED": "1"}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
