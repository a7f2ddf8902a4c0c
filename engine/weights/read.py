"""From an untrusted file of weights to plain tensors under their names, whatever its extension says."""

import mmap
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch

from engine.weights.limits import WeightLimits
from engine.weights.pickle_data import DTYPES, TensorRecord
from engine.weights.refusals import too_large, unreadable
from engine.weights.safetensors_file import looks_like_safetensors, read_safetensors
from engine.weights.state_dict import find_state_dict
from engine.weights.torch_file import TorchFile, read_torch_file, tensor_of

_CHUNK: Final = 1 << 22
_KNOWN_DTYPES: Final = frozenset(DTYPES.values())


class Weights(NamedTuple):
    """Tensors by name, over a private mapping of the file; ``notes`` say what was done to find them."""

    tensors: dict[str, torch.Tensor]
    notes: tuple[str, ...] = ()


def read_tensors(path: Path, limits: WeightLimits = WeightLimits()) -> Weights:
    """The state dict in a ``.pt``, ``.pth``, ``.th``, ``.bin`` or ``.safetensors`` file.

    Nothing is unpickled: see ``engine.weights.pickle_data``. What a checkpoint wraps its weights in (``state_dict``,
    ``model``) is taken off and noted. The numbers are read once, to find those that are none.

    Raises:
        PithError: ``model_pickled``, ``model_unsafe``, ``model_too_large`` or ``weights_unreadable``.
    """
    weights = _safetensors(path, limits) if looks_like_safetensors(path) else _torch(path, limits)
    for name, tensor in weights.tensors.items():
        _check_name(name, limits)
        _check_numbers(name, tensor)
    return weights


def _safetensors(path: Path, limits: WeightLimits) -> Weights:
    tensors = read_safetensors(path, limits)
    _check_total(sum(tensor.numel() * tensor.itemsize for tensor in tensors.values()), path, limits)
    return Weights(tensors)


def _torch(path: Path, limits: WeightLimits) -> Weights:
    saved: TorchFile = read_torch_file(path, limits)
    named, notes = find_state_dict(saved.value)
    if len(named) > limits.tensors:
        too_large("The number of tensors", len(named), limits.tensors)
    _check_total(sum(_bytes(record) for record in named.values()), path, limits)
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
    return Weights({name: tensor_of(record, saved.spans, mapped) for name, record in named.items()}, notes)


def _bytes(record: TensorRecord) -> int:
    count = record.storage.dtype.itemsize
    for size in record.shape:
        count *= size
    return count


def _check_total(total: int, path: Path, limits: WeightLimits) -> None:
    """Tensors may share a storage (tied weights), and not so often that a small file unfolds."""
    if total > 4 * path.stat().st_size:
        too_large("The size of all tensors", total, 4 * path.stat().st_size)
    if total > limits.total:
        too_large("The size of all tensors", total, limits.total)


def _check_name(name: Any, limits: WeightLimits) -> None:
    if not isinstance(name, str) or not 0 < len(name) <= limits.name or not name.isprintable():
        unreadable(f"it has a tensor with the name {ascii(name)[:80]}")


def _check_numbers(name: str, tensor: torch.Tensor) -> None:
    if tensor.dtype not in _KNOWN_DTYPES:
        unreadable(f"{name} has numbers of the type {tensor.dtype}; save them as float32")
    if tensor.is_floating_point() and tensor.numel() and not _finite(tensor):
        unreadable(f"{name} holds numbers that are not finite (NaN or infinity)")


def _finite(tensor: torch.Tensor) -> bool:
    """Smallest and largest number, piece by piece: both are NaN if any is."""
    flat = tensor.reshape(-1)
    for piece in torch.split(flat, _CHUNK):
        low, high = torch.aminmax(piece)
        if not bool(torch.isfinite(low) & torch.isfinite(high)):
            return False
    return True
