"""What a plan says of steps behind one that takes blocks away, when only running tells which blocks those are."""

from collections.abc import Iterable, Iterator
from fnmatch import filter as matching

from pith.facts import BlockFacts, ModelFacts
from pith.outlook import Doubt, Foresees, Given, Outlook

_PATTERNS = ("ignore", "train", "freeze", "targets")


def parts(model: ModelFacts, blocks: Iterable[BlockFacts]) -> frozenset[str]:
    """These blocks and all that goes with them, by name."""
    blocks = tuple(blocks)
    every = {*_names(model), *(each.name for each in model.hints)}
    roots = {name for block in blocks for name in (block.name, *block.layers)}
    return frozenset(name for name in every if any(name == root or name.startswith(f"{root}.") for root in roots)) | {
        block.name for block in blocks
    }


def _names(model: ModelFacts) -> Iterator[str]:
    yield from (each.name for each in model.layers)
    yield from (each.name for each in model.attention_layers)


def without(model: ModelFacts, blocks: Iterable[BlockFacts]) -> ModelFacts:
    """The model when these blocks are gone; its sums stay as they are."""
    gone = parts(model, blocks)
    lists = ("layers", "attention_layers", "hints", "blocks")
    return model.model_copy(
        update={name: tuple(each for each in getattr(model, name) if each.name not in gone) for name in lists}
    )


def doubted(step: Foresees, given: Given, outlook: Outlook) -> Outlook:
    """The outlook of a step on a model of which it is not known what is left: with a note of that, and with a note in
    place of the refusal of a pattern that names only what may be gone."""
    if given.doubt is None:
        return outlook
    unsure = dict(_unsure(step, given, given.doubt))
    return outlook.model_copy(
        update={
            "refusals": tuple(each for each in outlook.refusals if each.field not in unsure),
            "notes": (*outlook.notes, given.doubt.sentence, *unsure.values()),
        }
    )


def _unsure(step: Foresees, given: Given, doubt: Doubt) -> Iterator[tuple[str, str]]:
    sure = {*_names(given.model), *(each.name for each in given.model.blocks)} - doubt.names
    for field in _PATTERNS:
        patterns = getattr(step, field, ())
        for index, pattern in enumerate(patterns if isinstance(patterns, tuple) else ()):
            if matching(doubt.names, pattern) and not matching(sure, pattern):
                said = f"{field} has {pattern!r}; should prune.layer take all that it names, the job ends there."
                yield f"{field}/{index}", said
