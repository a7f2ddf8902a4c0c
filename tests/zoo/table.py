"""docs/zoo.md: what works, stage by stage, and why not where it does not."""

from pathlib import Path

from tests.zoo.result import STAGES, Result

PAGE = Path("docs/zoo.md")
_TITLES = {
    "read": "graph",
    "modes": "modes",
    "train": "train",
    "head": "new head",
    "prune": "prune",
    "export": "export",
}
_INTRO = """# The conformance zoo

Every model here is built fresh and small, exported to a `.pt2` file, and then goes one road:

- **graph**: the file is read as untrusted data and lifted to the one graph; its outputs equal the eager model's, bit
  for bit, at a batch size that no example had.
- **modes**: in train mode batch norms follow the eager model's statistics and dropout drops; eval mode is
  deterministic.
- **train**: every parameter that has a gradient in the eager model has one here, and one step leaves all finite.
- **new head**: the output layer is replaced by one for another number of classes, and it learns.
- **prune**: 30 % of the channels are made zero and then removed; nothing may change (where a norm averages over
  channels that go, the result must run, be finite and train).
- **export**: the pruned model is written as `.pt2` and ONNX, loaded again, and computes the same at another batch size.

*Prunable* counts the convolutions and linear layers that lose channels, out of all; `GET /v1/models/{id}` tells for
each layer of a model with which others it goes, or why it stays. *Lifted in* is processor time from the file to the
graph. `make zoo` writes this page; `python -m tests.zoo NAME` walks one model again.
"""


def write_table(results: list[Result]) -> None:
    """The page, made of these results."""
    PAGE.write_text(page(results))


def page(results: list[Result]) -> str:
    passed, slowest = [result for result in results if result.passed], max(result.lift or 0 for result in results)
    share = f"**{len(passed)} of {len(results)} models ({len(passed) / len(results):.1%}) pass every stage.** "
    lines = [_INTRO, share + f"The slowest is lifted in {slowest:.1f} s.", "", *_table(results), *_why(results)]
    return "\n".join([*lines, *_untouched(results)]) + "\n"


def _table(results: list[Result]) -> list[str]:
    titles = " | ".join(_TITLES[stage] for stage in STAGES)
    head = f"| model | parameters | {titles} | prunable | lifted in |"
    return [head, "|---" * (len(STAGES) + 4) + "|", *map(_row, results)]


def _row(result: Result) -> str:
    marks = " | ".join(_mark(result.stages.get(stage)) for stage in STAGES)
    lift = "" if result.lift is None else f"{result.lift:.1f} s"
    prunable = f"{result.prunable} of {result.layers}" if result.layers else ""
    return f"| {result.name} | {result.parameters:,} | {marks} | {prunable} | {lift} |"


def _mark(said: str | None) -> str:
    return "–" if said is None else "yes" if said == "ok" else "**no**"


def _why(results: list[Result]) -> list[str]:
    lines = [
        f"- **{result.name}**, {_TITLES[stage]}: {said}"
        for result in results
        for stage, said in result.stages.items()
        if said != "ok"
    ]
    return ["", "## What does not pass, and why", "", *(lines or ["Nothing."])]


def _untouched(results: list[Result]) -> list[str]:
    """Models of which less than half of the layers can be pruned, with the commonest reasons."""
    lines = [
        f"- {result.name} ({result.prunable} of {result.layers}): {'; '.join(result.notes)}"
        for result in results
        if result.layers and result.prunable < result.layers / 2
    ]
    return ["", "## Where most layers are left alone", "", *(lines or ["Nowhere."])]
