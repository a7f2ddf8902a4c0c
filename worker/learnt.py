"""What the process that looked at an upload left in out/, taken over. Nothing in there is trusted: ``learnt.json`` is
bounded, cleaned and validated, and of the canonical files only those are stored that a model or a dataset may have."""

from typing import Any, Literal

from pydantic import ValidationError

from engine.jobdir import JobDir
from pith.intake import LearntDataset, LearntModel, PartName
from store.blobs import Blobs
from store.checks import Learnt, NewPart
from store.clean import Unclean, clean_json
from worker.results import fault, opened, plain_text, small, store_file

LEARNT_BYTES = 16 << 20
PREVIEW_BYTES = 2 << 20
NOTES = 100
NAMES = 100_000
"""Most layers, hints, blocks, columns or classes that are kept of one upload."""
_ONE_OF: dict[str, tuple[frozenset[PartName], ...]] = {
    "model": (frozenset({"model.pt2"}), frozenset({"model.onnx"})),
    "dataset": (frozenset({"dataset.arrow", "dataset.json"}),),
}
_BESIDES: frozenset[PartName] = frozenset({"tokenizer.json"})
_LISTED = ("layers", "hints", "attention_layers", "blocks")


def collect(folder: JobDir, resource: Literal["model", "dataset"], blobs: Blobs) -> Learnt:
    """Store the canonical files. On an error some blobs stay; the store sweeps them.

    Raises:
        PithError: ``engine_fault`` when what is there is not what was promised, or ``storage_full``.
    """
    with opened(folder.out) as out:
        said = _said(small(out, folder.learnt.name, LEARNT_BYTES), resource)
        _check_parts(said.parts, resource)
        parts = tuple(NewPart(name, *store_file(out, folder.part(name).name, blobs)) for name in said.parts)
    facts, details = _divided(said)
    return Learnt(facts, details, parts)


def _said(text: bytes, resource: str) -> LearntModel | LearntDataset:
    try:
        known = clean_json(text, {"preview": PREVIEW_BYTES})
        said = LearntModel.model_validate(known) if resource == "model" else LearntDataset.model_validate(known)
    except Unclean as error:
        raise fault(f"a learnt.json that is no JSON: {error}") from None
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = plain_text(".".join(map(str, first["loc"])), 200)
        raise fault(f"a learnt.json that does not validate: {place}: {first['msg']}") from None
    _check_counts(said)
    return said


def _check_counts(said: LearntModel | LearntDataset) -> None:
    facts = said.facts.model_dump()
    if isinstance(said, LearntModel) and not (said.facts.inputs and said.facts.outputs):
        raise fault("a model without an input or an output")
    for name, most in (("notes", NOTES), *((name, NAMES) for name in (*_LISTED, "classes", "columns"))):
        if len(facts.get(name, ())) > most:
            raise fault(f"{len(facts[name])} {name}, and {most} is the most")
    if isinstance(said, LearntDataset) and (size := len(said.preview.model_dump_json())) > PREVIEW_BYTES:
        raise fault(f"a preview of {size} bytes, and {PREVIEW_BYTES} is the most")


def _check_parts(parts: tuple[PartName, ...], resource: str) -> None:
    if len(set(parts)) != len(parts):
        raise fault(f"the parts {list(parts)}, one of them twice")
    if frozenset(parts) - _BESIDES not in _ONE_OF[resource]:
        raise fault(f"the parts {list(parts)}, which are not those of a {resource}")


def _divided(said: LearntModel | LearntDataset) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts, and what is left out of lists."""
    facts = said.facts.model_dump(mode="json")
    if isinstance(said, LearntDataset):
        return facts, said.preview.model_dump(mode="json")
    return facts, {name: facts.pop(name) for name in _LISTED}
