"""``make fuzz-api``: all phases of schemathesis, without keys and with one. ``python -m tests.fuzz_api [COUNT]``."""

import argparse
import sys
import tempfile
from pathlib import Path

from tests.fuzz_api.run import fuzz


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_api")
    parser.add_argument("count", type=int, nargs="?", default=50, help="requests of each route, besides some 7,000")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    found = False
    for keyed in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            outcome = fuzz(Path(folder), keyed=keyed, examples=asked.count, seed=asked.seed)
        print(f"{'With a key' if keyed else 'Without keys'}\n{outcome.said}")
        found = found or outcome.found
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
