"""A job's result as a model of its own: of the same project, and without its bytes going through the caller."""

from pydantic import Field

from pith.artifact import Artifact, Name
from pith.base import Frozen
from pith.errors import PithError
from pith.ids import JobId
from pith.intake import Architecture
from pith.job import FINAL, Job

READABLE = ("pt2", "onnx", "safetensors")
BY_ITSELF = ("model.pt2", "model.onnx")


class ModelOfJob(Frozen):
    """Which artifact of which job is to be a model."""

    job: JobId = Field(description="A job that has succeeded.")
    artifact: Name | None = Field(
        None, description="Its name; else model.pt2, which can be trained, or model.onnx where there is none."
    )
    name: Name | None = Field(None, description="What to call it; else after the model that the job began with.")
    architecture: Architecture | None = Field(None, description="For model.safetensors, which has no graph.")

    def chosen(self, job: Job) -> Artifact:
        """The artifact of this job that is meant. Raises PithError ``result_not_model``."""
        models = {each.name: each for each in job.artifacts if each.kind == "model" and each.format in READABLE}
        wanted = BY_ITSELF if self.artifact is None else (self.artifact,)
        found = next((models[name] for name in wanted if name in models), None)
        if found is None:
            raise PithError(
                "result_not_model",
                id=job.id,
                status=job.status,
                wanted=" or ".join(wanted)[:255],
                way_out=_way_out(job, tuple(models)),
            )
        return found


def _way_out(job: Job, models: tuple[str, ...]) -> str:
    if models:
        return f"name one of {', '.join(models)}"
    return "name a job that has succeeded" if job.status in FINAL else "wait until it has succeeded"


def source_of(artifact: Artifact) -> str:
    """What a model says of where it comes from; it stays true when the job is deleted."""
    return f"/v1/jobs/{artifact.job}/artifacts/{artifact.name}"


def name_after(model: str, artifact: Artifact) -> str:
    """``digits.pt2`` and the end of the job's id: ``digits-8c9aqn.onnx``."""
    stem = model.rpartition(".")[0] or model
    return f"{stem[:230]}-{artifact.job[-6:]}.{artifact.format}"
