"""The GPUs of this machine, found without torch, and how workers share them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")


def visible(environment: Mapping[str, str]) -> tuple[str, ...]:
    """As CUDA names them: those of CUDA_VISIBLE_DEVICES up to the first that is none, else all that the driver has."""
    said = environment.get("CUDA_VISIBLE_DEVICES")
    if said is None:
        return tuple(str(index) for index, _ in enumerate(DRIVER.iterdir())) if DRIVER.is_dir() else ()
    names = [name.strip() for name in said.split(",")]
    ends = [index for index, name in enumerate(names) if name in ("", "-1")]
    return tuple(names[: ends[0]] if ends else names) if DRIVER.is_dir() else ()


def shared(gpus: Sequence[str], each: int) -> tuple[tuple[str, ...], ...]:
    """So many for each worker; what is left over at the end is nobody's."""
    return tuple(tuple(gpus[at : at + each]) for at in range(0, len(gpus) - each + 1, each))
