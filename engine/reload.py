"""Loading the outputs back in a process that has never seen the model: ``python -m engine.reload FOLDER``.

The folder holds ``request.json`` (``files``, format to path; ``usage``, format to code; ``threads``) and
``inputs.npz``. For every runnable format ``<format>.npz`` is written with its outputs, for safetensors
``safetensors.json`` with a digest of each tensor, and ``usage.json`` with what each code has printed. The code is the
engine's own (``engine.usage``).
"""

import contextlib
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from engine.model import first_line
from engine.pt2.load import load
from engine.session import Arrays, open_session, run_session
from engine.signature import as_tuple
from pith.packed.container import unpack

Reload = Callable[[Path], int]


def main(folder: Path) -> int:
    """Serve one request; 0 when every file could be loaded and run, else ``problem.txt`` says which was not."""
    request = json.loads((folder / "request.json").read_text())
    files = {form: Path(path) for form, path in request["files"].items()}
    torch.set_num_threads(request["threads"])  # sums are made in the same order as where they are compared
    inputs = read_arrays(folder / "inputs.npz")
    for form, path in files.items():
        try:
            _READERS[form](path, inputs, folder)
        except Exception as error:
            (folder / "problem.txt").write_text(f"that {path.name} does not run ({first_line(error)})")
            return 1
    return _use(files, request["usage"], folder)


def _use(files: dict[str, Path], codes: dict[str, str], folder: Path) -> int:
    """Run the code that is to be handed out with each file, which has been read as untrusted data by now."""
    printed = {}
    for form, code in codes.items():
        try:
            printed[form] = _printed(code, files[form].parent)
        except Exception as error:
            said = f"that the code which uses {files[form].name} does not run ({first_line(error)})"
            (folder / "problem.txt").write_text(said)
            return 1
    (folder / "usage.json").write_text(json.dumps(printed))
    return 0


def _printed(code: str, beside: Path) -> str:
    said = io.StringIO()
    with contextlib.chdir(beside), contextlib.redirect_stdout(said):
        # safe: engine.usage wrote it; what comes from the model stands in it as quoted texts and numbers alone
        exec(compile(code, "usage.py", "exec"), {"__name__": "__main__"})
    return said.getvalue()


def in_subprocess(folder: Path) -> int:
    """The ordinary way: a new interpreter."""
    return subprocess.run([sys.executable, "-m", "engine.reload", str(folder)], check=False).returncode


class Forked:
    """The way inside a sandbox, where no program may be started: a child forked before the model was opened.

    It must be made before torch has computed anything in this process; a later fork would hang.
    """

    def __init__(self) -> None:
        reader, self._writer = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._writer)
            _serve(reader)
        os.close(reader)

    def __call__(self, folder: Path) -> int:
        with contextlib.suppress(BrokenPipeError):  # the child is dead; its exit code will say so
            os.write(self._writer, os.fsencode(folder))
        os.close(self._writer)
        return os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])


def write_arrays(path: Path, arrays: Arrays) -> None:
    """An ``.npz`` of arrays in their order."""
    np.savez(path, *arrays)


def read_arrays(path: Path) -> Arrays:
    """What ``write_arrays`` wrote."""
    with np.load(path, allow_pickle=False) as file:
        return tuple(file[f"arr_{index}"] for index in range(len(file.files)))


def digests(tensors: dict[str, Tensor]) -> dict[str, str]:
    """What a fresh process must find in the safetensors file: shape, dtype and bytes of every tensor, by name."""
    return {name: _digest(tensor) for name, tensor in tensors.items()}


def _serve(reader: int) -> None:
    code = 1
    try:
        with os.fdopen(reader, "rb") as pipe:
            request = pipe.read()
        if request:
            code = main(Path(os.fsdecode(request)))
    except Exception as error:
        print(error, file=sys.stderr)  # noqa: T201
    finally:
        os._exit(code)


def _onnx(path: Path, inputs: Arrays, folder: Path) -> None:
    write_arrays(folder / "onnx.npz", run_session(open_session(path, 1), inputs))


def _pith(path: Path, inputs: Arrays, folder: Path) -> None:
    """The packed file, decoded here, must give the same ONNX file again."""
    decoded = folder / "unpacked.onnx"
    decoded.write_bytes(unpack(path.read_bytes()).model)
    write_arrays(folder / "pith.npz", run_session(open_session(decoded, 1), inputs))


def _pt2(path: Path, inputs: Arrays, folder: Path) -> None:
    with torch.no_grad():
        outputs = as_tuple(load(path, folder).module()(*map(torch.from_numpy, inputs)))
    write_arrays(folder / "pt2.npz", tuple(output.numpy() for output in outputs))


def _safetensors(path: Path, inputs: Arrays, folder: Path) -> None:
    (folder / "safetensors.json").write_text(json.dumps(digests(load_file(path))))


def _digest(tensor: Tensor) -> str:
    """Of the bytes, so that dtypes which numpy lacks have one too."""
    head = f"{tensor.dtype}{tuple(tensor.shape)}".encode()
    data = tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return hashlib.sha256(head + data).hexdigest()


_READERS: dict[str, Callable[[Path, Arrays, Path], None]] = {
    "onnx": _onnx,
    "pt2": _pt2,
    "safetensors": _safetensors,
    "pith": _pith,
}

if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
