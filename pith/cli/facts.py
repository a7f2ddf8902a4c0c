"""What the check of an upload has learnt, for people."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from pith.cli.output import Output
from pith.dataset import DatasetFacts, Preview, SplitFacts
from pith.facts import ModelFacts, TensorFacts
from pith.resources import Dataset, Model

COLUMNS = ("id", "name", "status", "size_bytes", "created_at", "digest", "check")
_WIDTH = 60


def print_resource(out: Output, found: Model | Dataset) -> None:
    out.one(found, COLUMNS)
    if out.as_json:
        return
    if found.source is not None:
        came = "made by a job:" if found.source.uri.startswith("/v1/jobs/") else "imported from"
        revision = "" if found.source.revision is None else f", {found.source.revision}"
        out.console.print(Text(f"{came} {found.source.uri}{revision}"), soft_wrap=True)
    if found.error is not None:
        out.console.print(Text(f"{found.error.title}: {found.error.detail}", style="red"), soft_wrap=True)
    if found.facts is not None:
        _print_facts(out, found.facts)


def print_preview(out: Output, preview: Preview) -> None:
    if out.as_json:
        out.one(preview, ())
        return
    _print_splits(out, preview.splits)
    columns = list(dict.fromkeys(name for sample in preview.samples for name in sample))
    table = Table(*columns, box=None)
    for sample in preview.samples:
        table.add_row(*(Text(_short(sample.get(name))) for name in columns))
    out.console.print(table)


def _print_facts(out: Output, facts: ModelFacts | DatasetFacts) -> None:
    table = Table(show_header=False, box=None)
    for name, value in _of_model(facts) if isinstance(facts, ModelFacts) else _of_dataset(facts):
        table.add_row(name, Text(value))
    out.console.print(table)
    if isinstance(facts, DatasetFacts):
        _print_splits(out, facts.splits)
    for note in facts.notes:
        out.console.print(Text(note))


def _of_model(facts: ModelFacts) -> Iterator[tuple[str, str]]:
    yield "format", facts.format if facts.trainable else f"{facts.format}, a finished graph"
    if facts.task:
        yield "task", facts.task
    yield "inputs", _shown(facts.inputs)
    yield "outputs", _shown(facts.outputs)
    yield "parameters", f"{facts.parameters:,} of {facts.dtype}"
    if facts.macs is not None:
        yield "macs", f"{facts.macs:,}"
    if facts.layers:
        prunable = sum(layer.width is not None and layer.left_alone is None for layer in facts.layers)
        yield "layers", f"{len(facts.layers)}, {prunable} of them can lose channels"
    if facts.head is not None:
        yield "head", f"{facts.head.name}, {facts.head.outputs} outputs"
    if facts.estimate is not None:
        yield "inference", f"{facts.estimate.inference_seconds:.3g} s for a sample, on one thread"


def _of_dataset(facts: DatasetFacts) -> Iterator[tuple[str, str]]:
    yield "format", facts.format
    yield "task", facts.task or "-"
    yield "samples", f"{facts.samples:,}"
    if facts.classes:
        yield "classes", f"{len(facts.classes)}: {_short(', '.join(facts.classes))}"
    inputs = [f"{column.name} ({column.type})" for column in facts.columns if column.role == "input"]
    yield "inputs", _short(", ".join(inputs))


def _print_splits(out: Output, splits: Sequence[SplitFacts]) -> None:
    table = Table("split", "samples", "labels", box=None)
    for split in splits:
        counts = ", ".join(f"{name} {count}" for name, count in split.classes.items())
        labels = _short(counts) if counts else "yes" if split.labelled else "none"
        table.add_row(f"{split.name}{' (made here)' if split.made else ''}", f"{split.samples:,}", Text(labels))
    out.console.print(table)


def _shown(tensors: Sequence[TensorFacts]) -> str:
    shapes = ("×".join("?" if size is None else str(size) for size in tensor.shape) for tensor in tensors)
    return ", ".join(f"{tensor.name} {shape} {tensor.dtype}" for tensor, shape in zip(tensors, shapes, strict=True))


def _short(value: object) -> str:
    text = "-" if value is None else str(value)
    return text if len(text) <= _WIDTH else f"{text[: _WIDTH - 1]}…"
