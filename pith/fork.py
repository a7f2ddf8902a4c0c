"""A fork: a new job from a step of an old one on, whose earlier steps are not run again."""

from pydantic import Field, ValidationError

from pith.artifact import OutputFormat
from pith.base import Frozen
from pith.errors import PithError
from pith.job import FINAL, Constraints, Job, JobSpec, Limits, Priority
from pith.pointers import malformed
from pith.recipe import MAX_STEPS, AnyStep


class ForkSpec(Frozen):
    """What is asked of a fork. What is left out is as it is in the old job's spec."""

    from_step: int = Field(
        ge=1, le=MAX_STEPS, description="The first step that is run; those before it are taken over."
    )
    recipe: tuple[AnyStep, ...] | None = Field(
        None, max_length=MAX_STEPS, description="The steps from there on, in the place of the old ones."
    )
    constraints: Constraints | None = None
    outputs: tuple[OutputFormat, ...] | None = None
    priority: Priority | None = None
    limits: Limits | None = None
    keep_steps: bool | None = Field(None, description="Keep what each step leaves, for forks of the fork.")


def refuse_check(job: Job) -> JobSpec:
    """The spec of a job that can be run again.

    Raises:
        PithError: ``check_not_repeatable``.
    """
    if not isinstance(job.spec, JobSpec):
        what = "models" if job.spec.check.startswith("mdl_") else "datasets"
        raise PithError("check_not_repeatable", id=job.id, checked=f"/v1/{what}/{job.spec.check}")
    return job.spec


def forked(job: Job, asked: ForkSpec) -> JobSpec:
    """The spec of the fork: the old one's steps up to ``from_step``, and then what is asked. It is not yet checked for
    sense (``JobSpec.check``).

    Raises:
        PithError: ``check_not_repeatable``, ``step_out_of_range``, ``step_not_kept``, ``fork_weighed_otherwise``,
            ``malformed_request``.
    """
    old = refuse_check(job)
    if asked.from_step > len(old.recipe):
        raise PithError("step_out_of_range", id=job.id, from_step=asked.from_step, count=len(old.recipe))
    _check_kept(job, old, asked.from_step - 1)
    said = {name: value for name in ForkSpec.model_fields if (value := getattr(asked, name)) is not None}
    said.pop("from_step")
    rest = old.recipe[asked.from_step :] if asked.recipe is None else asked.recipe
    document = {**dict(old), **said, "recipe": (*old.recipe[: asked.from_step], *rest)}
    try:
        spec = JobSpec.model_validate(document)
    except ValidationError as fault:
        raise malformed(fault.errors(include_url=False, include_context=False), document) from fault
    if spec.weighed() != old.weighed():
        raise PithError("fork_weighed_otherwise", before=old.weighed(), now=spec.weighed(), id=job.id)
    return spec


def _check_kept(job: Job, old: JobSpec, last: int) -> None:
    """Whether what the last step before the fork has left is there."""
    if last in job.kept_steps:
        return
    if not old.keep_steps:
        reason, way_out = "its spec does not ask for it", 'send it again with "keep_steps": true'
    elif last <= max(job.kept_steps, default=-1) or job.status == "succeeded":
        reason, way_out = "the model is a finished graph there", _earlier(job)
    elif job.status in FINAL:
        reason, way_out = f"it {_ended(job)} before that step was finished", _earlier(job)
    else:
        reason, way_out = "that step is not finished yet", "wait for its step_finished event"
    raise PithError("step_not_kept", id=job.id, step=last, reason=reason, way_out=way_out)


def _ended(job: Job) -> str:
    return "was cancelled" if job.status == "cancelled" else job.status


def _earlier(job: Job) -> str:
    if not job.kept_steps:
        return "replay the job instead"
    return f"fork it from step {max(job.kept_steps) + 1} or before"
