"""What nvidia-smi tells, read from a program that stands in for it."""

from pathlib import Path

import pytest

from worker.gpu import Gpus


def told(tmp_path: Path, script: str) -> dict[tuple[str, str], float]:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    families = Gpus(str(program)).collect()
    return {(one.name, sample.labels["gpu"]): sample.value for one in families for sample in one.samples}


def test_every_gpu_has_its_numbers_in_bytes(tmp_path: Path) -> None:
    script = '[ "$1" = --query-gpu=index,memory.used,memory.total ] && printf "0, 512, 143771\\n1, 0, 143771\\n"'
    total = 143771 * 2**20
    assert told(tmp_path, script) == {
        ("pith_gpu_memory_used_bytes", "0"): 2**29,
        ("pith_gpu_memory_used_bytes", "1"): 0,
        ("pith_gpu_memory_total_bytes", "0"): total,
        ("pith_gpu_memory_total_bytes", "1"): total,
    }


@pytest.mark.parametrize("script", ["exit 9", 'echo "0, [N/A], [N/A]"', "echo nonsense"])
def test_what_is_not_told_is_no_number(tmp_path: Path, script: str) -> None:
    assert told(tmp_path, script) == {}


def test_without_the_program_there_is_nothing() -> None:
    assert [one.samples for one in Gpus("no-such-program").collect()] == [[], []]
