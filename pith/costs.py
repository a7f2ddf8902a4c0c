"""What a job will cost in time and memory, from the estimate that intake made of its model."""

from math import prod

from pydantic import Field

from pith.asked import Asked
from pith.base import Frozen
from pith.dataset import DatasetFacts
from pith.facts import Estimate, ModelFacts
from pith.fit import split_of
from pith.outlook import Given, Outlook

DATA_IN_MEMORY_BYTES = 2 << 30
# How far one thread's estimate may be off: many threads or a GPU, and a machine that is busy.
FASTEST, SLOWEST = 0.05, 3.0
# Exporting, measuring and loading back, for the baseline and for each step.
LEAST_AROUND, MOST_AROUND = 0.3, 30.0
# What a whole report runs each candidate for, in samples, and where it stops: larger batches, more threads, layers.
REPORT_RUNS, MOST_REPORT = 3000, 60.0
# How often the sections on trust and looks run both models on a sample at most: so many samples, undisturbed, in each
# strength of each disturbance and by an attack, which texts are spared; and a few samples, once for each part.
TRUSTED, ATTACKS, WORDS_LOST, LOOKED = 256, 55, 4, 6 * 65
# Where each of the two stops, in multiply-accumulates, and what a run costs beside its own.
SECTION_MACS, RUN_MACS = 1e12, 200_000
# Each artifact is loaded and used in one fresh process, which first has to start.
FRESH_PROCESS = 10.0


class Seconds(Frozen):
    """An estimate of time. ``least`` is for many threads or a GPU, ``most`` for one thread of a busy machine."""

    least: float = Field(ge=0)
    most: float = Field(ge=0)


def seconds(asked: Asked, index: int, given: Given, outlook: Outlook) -> Seconds | None:
    costs = asked.model.estimate if asked.model else None
    if costs is None or (asked.spec.dataset is not None and given.samples is None):
        return None
    smaller = given.macs / asked.model.macs if given.macs and asked.model and asked.model.macs else 1.0
    training = costs.training_seconds or 3 * costs.inference_seconds
    work = outlook.trained * training * smaller + outlook.run * _runner(asked, index, costs).inference_seconds
    return Seconds(least=round(work * FASTEST + LEAST_AROUND, 1), most=round(work * SLOWEST + MOST_AROUND, 1))


def _runner(asked: Asked, index: int, own: Estimate) -> Estimate:
    """Whose forward passes they are: the slowest of the models that the step names, or the model's own."""
    named = [asked.others.get(id) for id in asked.spec.recipe[index].models().values()]
    known = [other.estimate for other in named if other and other.estimate]
    return max(known, key=lambda estimate: estimate.inference_seconds, default=own)


def all_seconds(asked: Asked, times: list[Seconds | None]) -> Seconds | None:
    """The steps, and measuring: every sample of the test split by every candidate, and what a whole report adds."""
    known = [time for time in times if time]
    if not asked.model or not asked.model.estimate or not known or len(known) < len(times):
        return None
    test = (split_of(asked.data, "test") or split_of(asked.data, "train")) if asked.data else None
    measuring = (test.samples if test else 0) * (len(times) + 1) * asked.model.estimate.inference_seconds
    runs = REPORT_RUNS * (len(times) + 1) if asked.spec.report == "full" else 0
    report = runs * asked.model.estimate.inference_seconds
    sections = _section_runs(asked, asked.model, test.samples if test else 0) * asked.model.estimate.inference_seconds
    least, most = ((measuring + sections) * pace + min(report * pace, MOST_REPORT) for pace in (FASTEST, SLOWEST))
    return Seconds(
        least=round(sum(time.least for time in known) + least + LEAST_AROUND, 1),
        most=round(sum(time.most for time in known) + most + MOST_AROUND + FRESH_PROCESS, 1),
    )


def _section_runs(asked: Asked, model: ModelFacts, samples: int) -> float:
    """Of single samples, for trust and looks. Without data there is nothing to disturb or to look at."""
    if asked.spec.report != "full" or not samples:
        return 0.0
    attacked = any(tensor.dtype.startswith("float") for tensor in model.inputs)
    affordable = SECTION_MACS / ((model.macs or 0) + RUN_MACS)
    trust = 2 * min(TRUSTED, samples) * (ATTACKS if attacked else WORDS_LOST)
    return min(trust, affordable) + min(2 * LOOKED, affordable)


def memory(asked: Asked, outlooks: list[tuple[Given, Outlook]]) -> int | None:
    costs = asked.model.estimate if asked.model else None
    if costs is None or asked.model is None:
        return None
    others = sum(4 * other.parameters for other in asked.others.values())
    batch = max([outlook.batch for _, outlook in outlooks], default=0)
    return costs.fixed_bytes + max(1, batch) * costs.sample_bytes + others + _data_bytes(asked.model, asked.data)


def _data_bytes(model: ModelFacts, data: DatasetFacts | None) -> int:
    """The training split is held in memory where it is small, and mapped where it is not."""
    train = split_of(data, "train") if data else None
    values = sum(prod(size or 1 for size in tensor.shape[1:]) for tensor in model.inputs)
    whole = 4 * values * (train.samples if train else 0)
    return whole if whole <= DATA_IN_MEMORY_BYTES else 0
