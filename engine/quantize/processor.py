"""What the processor does with 8-bit products."""

import platform
from functools import cache
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


@cache
def needs_reduced_range() -> bool:
    """Whether sums of unsigned times signed bytes saturate: x86 without VNNI, or one that we cannot look at."""
    if platform.machine().lower() in ("aarch64", "arm64"):
        return False
    try:
        flags = next(line for line in _CPUINFO.read_text().splitlines() if line.startswith("flags")).split()
    except (OSError, StopIteration):
        return True
    return not {"avx512_vnni", "avx_vnni"} & set(flags)
