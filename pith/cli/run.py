"""`pith run`: upload, wait for the checks, submit, watch, compare, download, and say whether it is good enough."""

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from pith.cli import given, spec
from pith.cli.gate import Gate, ended, gate_options, possible
from pith.cli.output import Output, connected
from pith.cli.steps import with_words
from pith.cli.uploads import checked, sent, tag_option
from pith.client import Pith
from pith.dataset import DatasetSchema
from pith.intake import Architecture
from pith.job import JobSpec
from pith.patience import patiently

_FILE = click.Path(path_type=Path)
_ID = re.compile(r"(mdl|dts)_[0-9a-z]{26}")


@dataclass(frozen=True)
class Inputs:
    """What is uploaded for this run, and the ids of what is there already."""

    model: Path | None
    built: Architecture | None
    data: Path | None
    schema: DatasetSchema | None
    ids: dict[str, str]

    @property
    def own_model(self) -> bool:
        return self.model is not None or self.built is not None


@click.command()
@click.argument("file", metavar="[SPEC]", required=False)
@click.option("--model", metavar="FILE|ID", help="To upload, or already there; SPEC may name an id too.")
@given.architecture_options
@click.option("--data", metavar="FILE|ID", help="The dataset, likewise.")
@given.schema_option
@click.option("--step", "steps", multiple=True, metavar="KIND[,KEY=VALUE]", help="Instead of a recipe in SPEC.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Of SPEC: constraints.min_speedup=2.")
@click.option("--out", "to", default="pith-out", show_default=True, type=_FILE, help="Folder for the results.")
@click.option("--key", help="Names this run: the same again under it is the same job, and makes nothing new.")
@gate_options
@tag_option
@connected
def run(
    pith: Pith,
    out: Output,
    file: str | None,
    model: str | None,
    data: str | None,
    steps: tuple[str, ...],
    settings: tuple[str, ...],
    to: Path,
    key: str | None,
    words: tuple[str, ...],
    tags: tuple[str, ...],
    **options: Any,
) -> int:
    """Do the whole thing: upload, have it checked, run the recipe, download the results.

    SPEC is a job spec in JSON (- is stdin); --step gives a recipe without one, such as prune.channel,pruning_ratio=0.5.

    Exits with 3 when a constraint or a --require is not met, with 4 when the job fails or is cancelled, with 5 when the
    service is away, with 1 when something is refused.
    """
    architecture = {name: options.pop(name) for name in ("architecture", "arguments", "input_shape", "seed")}
    gate, inputs = Gate(**options), _inputs(model, given.architecture(**architecture), data, given.schema(words))
    document = {**with_words(_document(file, steps), steps, settings), **inputs.ids}
    if not inputs.own_model and "model" not in document:
        raise click.UsageError(f"{file or '--step'} names no model; give the file with --model FILE, or an id")
    # Found wrong before gigabytes are sent.
    standin = spec.parse(
        document,
        f"mdl_{spec.STANDIN}" if inputs.own_model else None,
        f"dts_{spec.STANDIN}" if inputs.data else None,
    )
    possible(gate, standin)
    asked = spec.parse(document, *_uploaded(pith, out, inputs, key))
    job = _submitted(pith, asked, key, tags)
    out.note(f"{pith.jobs.url(job)}")
    return ended(pith, out, job, gate, to)


def _document(file: str | None, steps: tuple[str, ...]) -> dict[str, Any]:
    if file is None and not steps:
        raise click.UsageError("give a SPEC, or the steps of a recipe: --step quantize.dynamic")
    return {} if file is None else spec.read(file)


def _inputs(model: str | None, built: Architecture | None, data: str | None, schema: DatasetSchema | None) -> Inputs:
    named = {"model": model, "dataset": data}
    ids = {noun: word for noun, word in named.items() if word is not None and _ID.fullmatch(word)}
    if built is not None and "model" in ids:
        raise click.UsageError(
            "--architecture belongs to a --model FILE, or stands alone; a model with an id has its own"
        )
    if schema is not None and (data is None or "dataset" in ids):
        raise click.UsageError("--schema belongs to --data FILE")
    files = {noun: None if word is None or noun in ids else Path(word) for noun, word in named.items()}
    return Inputs(files["model"], built, files["dataset"], schema, ids)


def _uploaded(pith: Pith, out: Output, inputs: Inputs, key: str | None) -> tuple[str | None, str | None]:
    """The ids of what is uploaded here, once both were checked.

    Raises:
        PithError: why one of them was rejected.
    """
    of_model, of_data = (None if key is None else f"{key} {noun}" for noun in ("model", "dataset"))
    fresh = pith.build(inputs.built, key=of_model) if inputs.model is None and inputs.built is not None else None
    net = fresh if inputs.model is None else sent(out, pith.models, inputs.model, said=inputs.built, key=of_model)
    dataset = None if inputs.data is None else sent(out, pith.datasets, inputs.data, said=inputs.schema, key=of_data)
    if net is not None:
        checked(out, pith.models, net)
    if dataset is not None:
        checked(out, pith.datasets, dataset)
    return None if net is None else net.id, None if dataset is None else dataset.id


def _submitted(pith: Pith, asked: JobSpec, key: str | None, tags: tuple[str, ...]) -> str:
    """Under a key in any case: an answer that was lost on its way makes no second job."""
    name = key or secrets.token_hex(16)
    return patiently(lambda: pith.jobs.submit(asked, name, tags)).id
