"""Everything that keeps a job from running, each with its place in the spec, as far as facts tell."""

from collections.abc import Iterator, Mapping

from pith.asked import Asked, quality
from pith.augmented import augmentation_problems
from pith.base import OF_DATA
from pith.dataset import DatasetFacts
from pith.errors import FieldProblem, PithError, Problem
from pith.fit import data_problems, label_problems, split_of, trained_on
from pith.job import JobSpec
from pith.kinds import split_way_out
from pith.outlook import Outlook
from pith.recipe import finished_problems
from pith.resources import Dataset, Model


def obstacles(asked: Asked, outlooks: list[Outlook]) -> Iterator[Problem]:
    """What the spec, the data and the steps themselves refuse."""
    yield from _of_spec(asked)
    yield from _of_data(asked)
    yield from _of_labels(asked, outlooks)
    yield from _of_augmentation(asked)
    finished = _finished(asked)
    for index, outlook in enumerate(outlooks):
        if index not in finished:  # its layers are not the reason
            yield from _of_step(asked, index, outlook)


def _finished(asked: Asked) -> set[int]:
    """Steps that are refused because the model is a finished graph, or quantized."""
    if asked.model is not None and asked.model.finished_layers:
        return set(range(len(asked.spec.recipe)))
    if asked.model is None or asked.model.trainable:
        return set()
    return {index for index, _ in finished_problems(asked.spec.recipe)}


def _at(pointer: str, error: PithError) -> Problem:
    """The problem with its place in the spec (RFC 6901)."""
    found = FieldProblem(pointer=pointer, code=error.code, detail=error.problem.detail)
    return error.problem.model_copy(update={"errors": (found,)})


def rejected(
    spec: JobSpec, model: Model, dataset: Dataset | None, others: Mapping[str, Model | Dataset]
) -> Iterator[Problem]:
    """Inputs that intake refused, and those that the spec names and nobody has. ``others`` are those of the steps."""
    named: list[tuple[str, str, str, Model | Dataset | None]] = [("/model", "model", model.id, model)]
    if spec.dataset is not None:
        named.append(("/dataset", "dataset", spec.dataset, dataset))
    named += [(pointer, "model", id, others.get(id)) for id, pointer in spec.models().items()]
    named += [(pointer, "dataset", id, others.get(id)) for id, pointer in spec.datasets().items()]
    for pointer, what, id, found in named:
        if found is None:
            yield _at(pointer, PithError("not_found", what=what, id=id, listing=f"/v1/{what}s"))
        elif found.status == "rejected":
            reason = found.error.detail if found.error else ""
            yield _at(pointer, PithError("input_rejected", what=what, id=id, reason=reason))


def _of_spec(asked: Asked) -> Iterator[Problem]:
    for pointer, problem in asked.spec.problems():
        yield _at(pointer, problem)
    if asked.model is not None and not asked.model.trainable:
        for pointer, problem in asked.spec.finished_problems():
            yield _at(pointer, problem)
    if asked.model is not None and asked.model.finished_layers:
        count, kind = asked.model.finished_layers, asked.spec.recipe[0].kind
        yield _at("/model", PithError("model_finished", count=count, kind=kind))
    if asked.spec.constraints.max_metric_drop is not None and asked.data and asked.model:
        found = quality(asked)
        if found is not None and found[0] == "sqnr_db":
            problem = PithError(
                "dataset_mismatch",
                array="the dataset",
                problem="gives no quality to hold max_metric_drop against",
                way_out="use a model that gives scores of classes, or drop the constraint",
            )
            yield _at("/constraints/max_metric_drop", problem)


def _of_data(asked: Asked) -> Iterator[Problem]:
    if asked.data is None:
        return
    for index, step in enumerate(asked.spec.recipe):
        train, labels = split_of(asked.data, "train"), "labels" in step.required()
        if step.required() & OF_DATA and (train is None or (labels and not train.labelled)):
            needs = "a labelled training split" if labels else "a training split"
            problem = PithError(
                "dataset_split_missing",
                index=index,
                kind=step.kind,
                needs=needs,
                present=_present(asked.data),
                way_out=split_way_out(asked.data.format, there=train is not None),
            )
            yield _at(f"/recipe/{index}", problem)
    if asked.model is not None:
        for problem in data_problems(asked.data, asked.model, asked.spec.preprocessing):
            yield _at("/dataset", problem)


def _of_labels(asked: Asked, outlooks: list[Outlook]) -> Iterator[Problem]:
    """Labels against the uploaded model's output; where a step brings new ones, against what each step trains."""
    if asked.data is None or asked.model is None:
        return
    output = asked.model.outputs[0]
    if not asked.spec.new_outputs():
        yield from (_at("/dataset", problem) for problem in label_problems(asked.data, output))
        return
    for index, (step, outlook) in enumerate(zip(asked.spec.recipe, outlooks, strict=True)):
        if "training_data" in step.required() and not step.new_outputs():
            yield from (_at(f"/recipe/{index}", problem) for problem in label_problems(asked.data, output))
        output = outlook.model.outputs[0] if outlook.model else output


def _of_augmentation(asked: Asked) -> Iterator[Problem]:
    if asked.model is None or (asked.data is None and asked.spec.dataset is not None):
        return
    trained = None
    if asked.data is not None and asked.spec.trains():
        trained = trained_on(asked.data, asked.model, asked.spec.preprocessing)
    for index, problem in augmentation_problems(asked.spec.augmentation, trained):
        yield _at(f"/augmentation/{index}", problem)


def _present(data: DatasetFacts) -> str:
    return " and ".join(f"{'' if split.labelled else 'unlabelled '}{split.name}" for split in data.splits) or "nothing"


def _of_step(asked: Asked, index: int, outlook: Outlook) -> Iterator[Problem]:
    kind = asked.spec.recipe[index].kind
    for refusal in outlook.refusals:
        yield _at(f"/recipe/{index}" + (f"/{refusal.field}" if refusal.field else ""), refusal.error(index, kind))
