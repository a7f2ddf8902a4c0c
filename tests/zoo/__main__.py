"""Walk the zoo: ``python -m tests.zoo [MODEL …]``, each model in a process of its own, two at a time.

Results are kept in build/zoo, so that one model can be walked again; docs/zoo.md is written from all that is there.
"""

import argparse
from concurrent.futures import ThreadPoolExecutor

from tests.zoo.apart import server, walk_apart
from tests.zoo.collection import everything, named
from tests.zoo.result import STAGES, Result, load
from tests.zoo.table import write_table


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument("models", nargs="*", help="names, such as resnet18; all without any")
    parser.add_argument("--missing", action="store_true", help="walk only what has no result yet")
    parser.add_argument("--failed", action="store_true", help="walk only what did not pass")
    parser.add_argument("--table", action="store_true", help="write the table and walk nothing")
    options = parser.parse_args()
    entries = [named(name) for name in options.models] or everything()
    if options.missing or options.failed:
        entries = [entry for entry in entries if _wanted(load(entry.name), options.failed)]
    if not options.table:
        context = server()
        with ThreadPoolExecutor(2) as pool:
            for result in pool.map(lambda entry: walk_apart(context, entry), entries):
                print(_line(result), flush=True)
    write_table([result for entry in everything() if (result := load(entry.name))])


def _wanted(result: Result | None, failed: bool) -> bool:
    return result is None or (failed and not result.passed)


def _line(result: Result) -> str:
    if result.passed:
        return f"{result.name}: passes in {sum(result.seconds.values()):.0f} s, lifted in {result.lift} s"
    bad = [f"{stage}: {result.stages.get(stage, 'not reached')}" for stage in STAGES]
    return f"{result.name}: " + "; ".join(line for line in bad if not line.endswith(": ok"))


if __name__ == "__main__":
    main()
