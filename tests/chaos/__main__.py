"""``make chaos``: 50 jobs, struck 200 times; prints what was done to them. ``python -m tests.chaos [--seed N]``."""

import argparse
import tempfile
from pathlib import Path

from tests.chaos.trial import trial
from tests.store.postgres_process import PostgresProcess


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--pause", type=float, default=0.15, help="seconds of a step; a job has 40")
    parser.add_argument("--postgresql", action="store_true", help="instead of SQLite; it is made to crash, too")
    asked = parser.parse_args()
    postgres = PostgresProcess() if asked.postgresql else None
    with tempfile.TemporaryDirectory() as folder:
        found = trial(Path(folder) / "town", asked.seed, asked.jobs, asked.faults, asked.pause, postgres)
    if postgres is not None:
        postgres.close()
    print("| fault | times |\n|---|---|")
    for name, times in found.struck.most_common():
        print(f"| {name.replace('_', ' ')} | {times} |")
    print(
        f"\n{asked.jobs} jobs, {found.attempts} attempts, {found.seconds:.0f} s (seed {asked.seed}): every job "
        "succeeded with the undisturbed result, every client saw each event once, no file was left over."
    )


if __name__ == "__main__":
    main()
