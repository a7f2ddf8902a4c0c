"""Opens files as an unsafe reader would. Run as a script, in a process that the file may end: READER FILE."""

import io
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

if __name__ == "__main__":
    READERS[sys.argv[1]](Path(sys.argv[2]))
