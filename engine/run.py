"""The whole story of one job: read, measure, apply each step, measure, write, reload, report."""

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import torch

from engine.checkpoint import Followed
from engine.compare import check_constraints, compare, headline, step_change, verdict_of
from engine.context import Context, scratch_file
from engine.data import Dataset
from engine.data.fits import check_labels
from engine.data.prepare import open_dataset
from engine.environment import environment
from engine.export import WRITERS, write_onnx
from engine.findings.evidence import Evidence
from engine.findings.gather import gather
from engine.group import ALONE, Group
from engine.intervals import Interval
from engine.jobdir import EngineJob, JobDir
from engine.measure import (
    Answers,
    Candidate,
    Samples,
    answers,
    counts,
    first_alike,
    quality,
    samples_for,
)
from engine.model import Model, read_model
from engine.news import disturbed, of_steps
from engine.outputs import write_outputs
from engine.page import render
from engine.position import Finished
from engine.registry import technique
from engine.reload import Reload, in_subprocess
from engine.replay import replay
from engine.trade import trade
from pith.base import Step
from pith.errors import PithError
from pith.findings.usage import Usage
from pith.job import undefined_drop
from pith.metrics import MetricName
from pith.report import Environment, Measurement, OutputReport, Report, StepChange, StepReport


def run(root: Path, reload: Reload = in_subprocess, sandbox: tuple[str, ...] = (), group: Group = ALONE) -> Report:
    """Run the job in this folder (``engine.jobdir`` draws it) and leave its results in ``out``.

    A checkpoint in ``out/checkpoint`` is resumed from. ``reload`` loads the outputs back in a fresh process;
    ``sandbox`` names the protections that the caller has put around this one. The other processes of the ``group``
    ``follow``.

    Raises:
        PithError: the model, the dataset or a step did not work; nothing but the event stream is to be used then.
    """
    started = time.monotonic()
    folder, job = JobDir(root), JobDir(root).read()
    folder.scratch.mkdir(parents=True, exist_ok=True)
    ctx = open_job(folder, job, group)
    try:
        _check_constraints(ctx)
        candidates, model = _apply_all(ctx)
        ctx.events.step = None
        samples = samples_for(model, ctx.dataset)
        _check_comparable(ctx, candidates)
        outputs, usage = write_outputs(model, candidates[-1].onnx, job.spec.outputs, samples, folder, reload)
        where = environment(ctx.device, sandbox)
        report = _report(ctx, model, candidates, samples, outputs, usage, where, started)
        folder.report_json.write_text(report.model_dump_json(indent=2))
        folder.report_html.write_text(render(report), encoding="utf-8")
        ctx.events.progress(1.0, "done")
    finally:
        ctx.events.close()
    for done_with in (folder.scratch, folder.checkpoint):
        shutil.rmtree(done_with, ignore_errors=True)
    return report


def follow(root: Path, group: Group) -> None:
    """Go the same way as the process that leads, as far as its last training, and leave nothing.

    Raises:
        PithError: what that one raises too.
    """
    folder, job = JobDir(root).aside(group.rank), JobDir(root).read()
    folder.scratch.mkdir(parents=True, exist_ok=True)
    ctx = open_job(folder, job, group)
    ctx.checkpoints = Followed(JobDir(root).checkpoint, job.checkpoint_seconds, folder.stop)
    model = _begun(ctx)
    trains = [index for index, step in enumerate(ctx.spec.recipe) if "training_data" in step.required()]
    for index in range(ctx.step, trains[-1] + 1):
        step = ctx.spec.recipe[index]
        ctx.begin(index)
        _check_labels(ctx, model, step)
        model = technique(step.kind)(model, step, ctx)


def open_job(folder: JobDir, job: EngineJob, group: Group = ALONE) -> Context:
    """Read the model and the dataset, and refuse what the recipe cannot start from.

    Raises:
        PithError: any ``model_…`` or ``dataset_…`` code, or one of ``JobSpec.check``.
    """
    torch.set_num_threads(max(1, job.threads // group.size))
    job.spec.check()
    baseline = read_model(folder.given_model(), folder.scratch)
    if not baseline.trainable:
        for _, problem in job.spec.finished_problems():
            raise problem
    if integers := baseline.integer_layers():
        kind = job.spec.recipe[0].kind
        raise PithError("model_finished", count=integers, kind=kind)
    dataset = _dataset(folder, job, baseline) if job.spec.dataset else None
    return Context(folder, job, baseline, dataset, group)


def _dataset(folder: JobDir, job: EngineJob, baseline: Model) -> Dataset:
    asked, model = job.spec.preprocessing, job.model_preprocessing
    return open_dataset(folder, baseline.signature, asked, model, baseline.words(), job.spec.new_outputs())


def _check_constraints(ctx: Context) -> None:
    """What the report could not say at the end is refused at the beginning."""
    samples = samples_for(ctx.baseline, ctx.dataset)
    comes = ctx.spec.new_outputs() and samples.objective.classes and ctx.dataset is not None
    if ctx.spec.constraints.max_metric_drop is not None and samples.quality is None and not comes:
        raise PithError(
            "dataset_mismatch",
            array="the dataset",
            problem="gives no quality to hold max_metric_drop against",
            way_out="add x_test and y_test, use a model that gives scores of classes, or drop the constraint",
        )


def _check_comparable(ctx: Context, candidates: list[Candidate]) -> None:
    """A drop that nothing can be counted from is no drop of zero."""
    last = len(candidates) - 1
    if ctx.spec.constraints.max_metric_drop is not None and _compared_from(ctx, candidates) == last:
        raise undefined_drop(last - 1, ctx.spec.recipe[-1].kind)


def _compared_from(ctx: Context, candidates: list[Candidate]) -> int:
    """The first candidate whose outputs mean what the result's do, and have their shape."""
    new = [index + 1 for index, step in enumerate(ctx.spec.recipe) if step.new_outputs()]
    return max([first_alike([candidate.onnx for candidate in candidates]), *new])


def _apply_all(ctx: Context) -> tuple[list[Candidate], Model]:
    """Every step in order, from the last checkpoint on; the baseline comes first in the list."""
    model = _begun(ctx)
    onnx = scratch_file(ctx.folder, "baseline.onnx")
    candidates = [Candidate(_written(ctx, ctx.baseline, onnx), onnx)]
    candidates += [Candidate(done.counts, ctx.checkpoints.measured(i)) for i, done in enumerate(ctx.finished)]
    for index in range(ctx.step, len(ctx.spec.recipe)):
        model = _apply(ctx, model, index)
        candidates.append(Candidate(ctx.finished[-1].counts, ctx.checkpoints.measured(index)))
        if ctx.spec.keep_steps and model.finished is None:
            ctx.checkpoints.keep(model, tuple(ctx.finished), ctx.folder.steps)
        if ctx.checkpoints.due() and model.finished is None:
            ctx.save(model, None, step=index + 1)
    return candidates, model


def _begun(ctx: Context) -> Model:
    """The model of the checkpoint, or the one that was uploaded; nobody goes on before the whole group has read it.

    Raises:
        PithError: ``step_not_kept`` for a fork whose checkpoint cannot be read.
    """
    resumed = ctx.resume()
    if resumed is None and (origin := ctx.job.forked_from) is not None:
        reason, way_out = "another version of the engine kept it", "replay that job, and fork the replay"
        raise PithError("step_not_kept", id=origin.job, step=origin.step - 1, reason=reason, way_out=way_out)
    model = resumed or ctx.baseline.copy()
    ctx.group.wait()
    return model


def _apply(ctx: Context, model: Model, index: int) -> Model:
    step = ctx.spec.recipe[index]
    ctx.begin(index)
    ctx.events.emit("step_started", step.kind)
    started = time.monotonic()
    _check_labels(ctx, model, step)
    model = technique(step.kind)(model, step, ctx)
    seconds = time.monotonic() - started
    figures = _written(ctx, model, ctx.checkpoints.measured(index))
    told = {"notes": tuple(ctx.notes), "curves": ctx.curves.drawn()}
    ctx.finished.append(Finished(kind=step.kind, seconds=seconds, counts=figures, **told))
    ctx.events.emit("step_finished", f"{step.kind} took {seconds:.1f} s", seconds=round(seconds, 3))
    return model


def _check_labels(ctx: Context, model: Model, step: Step) -> None:
    """Where a step brings new outputs, the labels were let through; what trains must be for them nevertheless."""
    split = ctx.dataset.train if ctx.dataset else None
    trains = "training_data" in step.required() and not step.new_outputs()
    if ctx.spec.new_outputs() and trains and split is not None and split.y is not None:
        check_labels("the training split", split.y, model.signature)


def _written(ctx: Context, model: Model, onnx: Path) -> dict[MetricName, float]:
    """Export the model to be measured, and count what needs no running. The first output is the one weighed; where a
    step encodes, its packed file is, and before it the ONNX file that such a file holds."""
    write_onnx(model, onnx)
    form = "onnx" if ctx.spec.encodes() else ctx.spec.outputs[0]
    weighed = model.packed or onnx
    if form != "onnx" and model.packed is None:
        weighed = scratch_file(ctx.folder, f"weighed.{form}")
        WRITERS[form](model, weighed)
    return counts(model, weighed)


def _report(
    ctx: Context,
    model: Model,
    candidates: list[Candidate],
    samples: Samples,
    outputs: tuple[OutputReport, ...],
    usage: tuple[Usage, ...],
    where: Environment,
    started: float,
) -> Report:
    job = ctx.job
    first = _compared_from(ctx, candidates)
    given = [answers(candidate.onnx, samples, job.threads) for candidate in candidates[first:]]
    found = [*[[]] * first, *(quality(mine, given[0], samples) for mine in given)]
    numbers, speedup, each = trade(candidates, found, samples.take(1), job.threads, job.spec.report == "short")
    comparison = compare(numbers[0], numbers[-1], given[0], given[-1], samples, first, speedup)
    constraints = check_constraints(job.spec.constraints, comparison)
    sections = gather(Evidence(ctx, model, candidates, first, samples, given, outputs, usage))
    changes = _changes(numbers, given, samples, each)
    steps = [_step(job, index, done, numbers[index + 1], changes[index]) for index, done in enumerate(ctx.finished)]
    news = (*disturbed(sections.get("trust")), *of_steps(job.spec.recipe, numbers[0], steps))
    report = Report(
        job=job.job,
        created_at=datetime.now(UTC),
        verdict=verdict_of(constraints),
        headline=(*headline(comparison, constraints, numbers[0], numbers[-1], numbers[first]), *news),
        spec=job.spec,
        model_digest=job.model_digest,
        uploaded_bytes=job.model_bytes,
        dataset_digest=job.dataset_digest,
        baseline=numbers[0],
        result=numbers[-1],
        steps=tuple(steps),
        foreseen=job.foreseen.job,
        comparison=comparison,
        constraints=constraints,
        outputs=outputs,
        environment=where,
        seconds=time.monotonic() - started,
        forked_from=job.forked_from,
        **sections,
    )
    return report.model_copy(update={"replay": replay(ctx.folder, job, report)})


def _changes(
    numbers: Sequence[Measurement], given: Sequence[Answers], samples: Samples, speedups: Sequence[Interval]
) -> list[StepChange]:
    """Of each step. ``given`` are the answers of the last candidates; those before meant something else."""
    said = [None] * (len(numbers) - len(given)) + list(given)
    return [
        step_change(*measured, *answered, samples, speedup)
        for measured, answered, speedup in zip(pairwise(numbers), pairwise(said), speedups, strict=True)
    ]


def _step(job: EngineJob, index: int, done: Finished, after: Measurement, change: StepChange) -> StepReport:
    said = job.foreseen.of_step(index)
    taken = job.forked_from.job if job.forked_from and index < job.forked_from.step else None
    return StepReport(
        index=index,
        kind=done.kind,
        seconds=done.seconds,
        after=after,
        change=change,
        notes=done.notes,
        foreseen=said,
        taken_from=taken,
    )
