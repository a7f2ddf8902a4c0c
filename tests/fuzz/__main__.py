"""The fuzzer: ``python -m tests.fuzz [COUNT] [--seed N] [--kind K] [--keep FOLDER]``.

Ends with 1 when a file was neither accepted nor refused in words; those files are kept and their defects printed.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import torch

from tests.fuzz.batch import Outcome, changed, outcomes
from tests.fuzz.seeds import SEEDS


def main() -> int:
    options = _options()
    torch.set_num_threads(1)  # children are forked from here
    kinds = options.kind or list(SEEDS)
    counts: Counter[tuple[str, str]] = Counter()
    defects: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="pith-fuzz-") as scratch:
        for outcome in outcomes(kinds, options.seed, options.count, Path(scratch)):
            counts[outcome.kind, outcome.code] += 1
            if outcome.defect:
                defects.append(outcome)
                _keep(outcome, kinds, options.seed, options.keep)
            if options.verbose:
                print(f"{outcome.number}: {outcome.kind}: {outcome.code}", flush=True)
    for (kind, code), count in sorted(counts.items()):
        print(f"{kind:20} {code:28} {count:6}")
    print(f"{options.count} files, {len(defects)} defects (seed {options.seed})")
    return 1 if defects else 0


def _keep(outcome: Outcome, kinds: list[str], number: int, keep: Path) -> None:
    name, one = changed(kinds, number, outcome.number)
    path = keep / f"{name.replace(' ', '-')}-{number}-{outcome.number}-{one.file_name}"
    keep.mkdir(parents=True, exist_ok=True)
    path.write_bytes(one.data)
    print(f"DEFECT in {path}: {outcome.code}\n{outcome.defect}", flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=list(SEEDS), help="may be given again")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-found"), help="where files with defects go")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
