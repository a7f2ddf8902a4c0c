"""The memory of the GPUs, as nvidia-smi tells it: the worker itself imports no torch, and jobs tell nothing outside."""

import shutil
import subprocess
from collections.abc import Iterable, Iterator

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_QUERY = ("--query-gpu=index,memory.used,memory.total", "--format=csv,noheader,nounits")
_MIB = 1 << 20
_PATIENCE_SECONDS = 5


class Gpus(Collector):
    """No numbers where there is no nvidia-smi, or it does not answer."""

    def __init__(self, program: str = "nvidia-smi") -> None:
        self._program = shutil.which(program)

    def describe(self) -> Iterable[Metric]:
        return _families([])

    def collect(self) -> Iterator[Metric]:
        return _families(self._read())

    def _read(self) -> list[tuple[str, int, int]]:
        if self._program is None:
            return []
        try:
            command = (self._program, *_QUERY)
            told = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE_SECONDS, check=True).stdout
            rows = [[cell.strip() for cell in line.split(",")] for line in told.splitlines()]
            return [(index, int(used) * _MIB, int(total) * _MIB) for index, used, total in rows]
        except (OSError, subprocess.SubprocessError, ValueError):  # "[N/A]" where a driver does not tell
            return []


def _families(gpus: list[tuple[str, int, int]]) -> Iterator[Metric]:
    used = GaugeMetricFamily("pith_gpu_memory_used_bytes", "GPU memory in use, by whomever.", labels=["gpu"])
    total = GaugeMetricFamily("pith_gpu_memory_total_bytes", "GPU memory that there is.", labels=["gpu"])
    for index, of_it, all_of_it in gpus:
        used.add_metric([index], of_it)
        total.add_metric([index], all_of_it)
    yield from (used, total)
