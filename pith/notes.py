"""What is odd about a job without being wrong, or not known yet: a plan's notes, each a sentence."""

from collections.abc import Iterator, Mapping

from pydantic import Field

from pith.asked import Asked, outlooks
from pith.base import Frozen
from pith.fit import class_numbers, split_of
from pith.resources import Dataset, Model
from pith.teaching import Teaching


class Foreseen(Frozen):
    """What a dry run says that is as true when the job runs."""

    job: tuple[str, ...] = ()
    steps: tuple[tuple[str, ...], ...] = Field((), description="One a step; nothing where that is not known.")

    def of_step(self, index: int) -> tuple[str, ...]:
        return self.steps[index] if index < len(self.steps) else ()


def foreseen(asked: Asked) -> Foreseen:
    """What does not hang on whether inputs are still being checked, nor on how much memory there is."""
    steps = tuple(outlook.notes for _, outlook in outlooks(asked))
    return Foreseen(job=(*_on_fresh_weights(asked), *_on_data(asked)), steps=steps)


def notes(
    asked: Asked,
    model: Model,
    dataset: Dataset | None,
    others: Mapping[str, Model | Dataset],
    held: int | None,
    limit: int | None,
) -> Iterator[str]:
    """``held`` is how many bytes the job will need, ``limit`` how many it may use; None where that is not known."""
    for found in (model, dataset, *others.values()):
        if found is not None and found.status == "checking":
            yield f"{found.id} is still being checked ({found.check}); what depends on it is not known yet."
    yield from _on_fresh_weights(asked)
    yield from _on_data(asked)
    if held is not None and limit is not None and held > limit:
        yield (
            f"About {held:,} bytes of memory will be needed, and PITH_JOB_MEMORY_BYTES allows {limit:,}; "
            "lower batch_size or raise it."
        )


def _on_fresh_weights(asked: Asked) -> Iterator[str]:
    if asked.model is None or asked.model.format != "architecture" or asked.spec.new_outputs():
        return
    steps = asked.spec.recipe
    known = asked.spec.constraints.max_metric_drop is not None
    limit = ", and max_metric_drop is held against that" if known else ""
    way_out = "compare with the first step, or train in one job and compress its model.pt2 in the next"
    alone = len(steps) == 1 and steps[0].kind == "finetune.full"
    yield (
        f"The baseline has fresh weights: the report compares quality with a model that knows nothing{limit}"
        + ("." if alone and not known else f"; {way_out}.")
    )
    for index, step in enumerate(steps):
        if isinstance(step, Teaching) and "baseline" in {each.model for each in step.teachers().values()}:
            yield f"recipe[{index}]: the teacher is the baseline, whose weights are fresh; name one that was trained."


def _on_data(asked: Asked) -> Iterator[str]:
    model, data = asked.model, asked.data
    if model is None or data is None:
        return
    if model.task and data.task and model.task != data.task:
        yield f"The model is for {model.task} and the dataset for {data.task}."
    output, classes = model.outputs[0].shape, len(data.classes)
    fixed = not asked.spec.new_outputs()
    if fixed and class_numbers(data) and len(output) == 2 and classes and classes < (output[1] or 0):
        yield f"The model has {output[1]} outputs and the dataset {classes} classes; the other outputs are never right."
    train = split_of(data, "train")
    for index, step in enumerate(asked.spec.recipe):
        size = getattr(getattr(step, "recovery", None) or step, "batch_size", 0)
        if train and size > train.samples:
            yield f"recipe[{index}]: batch_size {size} is more than the {train.samples} samples there are."
