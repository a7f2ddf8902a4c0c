"""docs/zoo.md: what works, stage by stage, and why not where it does not."""

from tests.zoo.result import Result


def write_table(results: list[Result]) -> None:
    """Not here yet."""
