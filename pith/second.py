"""A dataset that a step names besides the job's own, as far as facts tell."""

from collections.abc import Iterator

from pith.dataset import DatasetFacts
from pith.fit import data_problems, label_problems, split_of
from pith.ids import DatasetId
from pith.outlook import Given, Refusal


def of_dataset(given: Given, id: DatasetId | None, field: str, labelled: bool) -> Iterator[Refusal]:
    """What keeps its training split from being used beside the job's own; nothing while it is not known."""
    facts = given.datasets.get(id) if id else None
    if facts is None:
        return
    if not _has_split(facts, labelled):
        yield no_split(field, labelled)
    for problem in data_problems(facts, given.model, None):
        yield Refusal.of(problem, field)
    if labelled:
        for problem in label_problems(facts, given.model.outputs[0]):
            yield Refusal.of(problem, field)


def no_split(field: str, labelled: bool) -> Refusal:
    reason = f"the dataset that {field} names has no {'labelled ' if labelled else ''}training split"
    return Refusal(reason=reason, way_out="add one, or name another", field=field)


def no_mixing(what: str) -> Refusal:
    reason = f"mixup and cutmix make one sample of two, and {what}"
    return Refusal(reason=reason, way_out="leave the mixing out of augmentation")


def _has_split(facts: DatasetFacts, labelled: bool) -> bool:
    train = split_of(facts, "train")
    return train is not None and (train.labelled or not labelled)
