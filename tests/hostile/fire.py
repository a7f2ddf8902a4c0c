"""Opens files as an unsafe reader would: READER FILE …, each in a forked process that the file may end.

Prints the exit code of each.
"""

import io
import os
import pickle
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch


def _unpickle(path: Path) -> Any:
    return pickle.loads(path.read_bytes())


def _torch(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def _arrays(path: Path) -> Any:
    with np.load(path, allow_pickle=True) as arrays:
        return dict(arrays)


def _array(path: Path) -> Any:
    return np.load(path, allow_pickle=True)


def _hugging_face(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        return torch.load(io.BytesIO(archive.read("model/pytorch_model.bin")), weights_only=False)


READERS: dict[str, Callable[[Path], Any]] = {
    "pickle": _unpickle,
    "torch": _torch,
    "numpy": _arrays,
    "numpy array": _array,
    "hf bin": _hugging_face,
}


def _code_of(reader: str, path: Path) -> int:
    child = os.fork()
    if not child:
        try:
            READERS[reader](path)
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for reader, name in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        sys.stdout.write(f"{_code_of(reader, Path(name))}\n")
        sys.stdout.flush()
