"""``make bench-quality``: every technique against its paper or its peer, into ``docs/quality.md``.

``python -m bench.quality [case …]`` runs all cases, or those that are named, each in a process of its own, and puts
what each prints into its part of the page. Parts that are not run stay as they were, with their own date.
"""

import datetime
import os
import re
import subprocess
import sys
from pathlib import Path

import torch

from engine.environment import processor

PAGE = Path(__file__).parents[2] / "docs/quality.md"
CASES: dict[str, list[str]] = {
    "lenet": ["bench.quality.lenet", "lenet_300_100", "lenet_5", "--seeds", "3"],
    "coding": ["bench.quality.coding"],
    "lowbits": ["bench.quality.lowbits"],
    "int8": ["bench.quality.int8"],
    "distill": ["bench.quality.distill", "mnist"],
    "soup": ["bench.quality.soup"],
    "channels": ["bench.quality.channels", "20"],
    "transfer": ["bench.quality.transfer"],
    "modalities": ["bench.quality.modalities"],
}


def main(wanted: list[str]) -> int:
    unknown = set(wanted) - set(CASES)
    if unknown:
        print(f"no such case: {', '.join(sorted(unknown))}; there are: {', '.join(CASES)}", file=sys.stderr)
        return 2
    return max(_ran(name) for name in wanted or CASES)


def _ran(name: str) -> int:
    command = ["-m", *CASES[name]]
    done = subprocess.run([sys.executable, *command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        print(f"{name} ended with exit code {done.returncode}", file=sys.stderr)
        return done.returncode
    where = f"{processor()}, {len(os.sched_getaffinity(0))} cores, torch {torch.__version__}"
    head = f"`python {' '.join(command)}`, {datetime.date.today()}, {where}, load {os.getloadavg()[0]:.1f}"
    PAGE.write_text(put(PAGE.read_text(), name, f"{head}\n\n{done.stdout.strip()}"))
    return 0


def put(page: str, name: str, text: str) -> str:
    """The page with this text between the marks of that case.

    Raises:
        ValueError: the page has no such marks.
    """
    start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    marked = re.compile(f"{re.escape(start)}.*?{re.escape(end)}", re.DOTALL)
    if not marked.search(page):
        raise ValueError(f"{PAGE.name} has no place for {name}: {start} and {end}")
    return marked.sub(lambda _: f"{start}\n{text}\n{end}", page)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
