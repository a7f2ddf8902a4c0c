"""Artifacts: immutable bytes with a kind, a name and a digest."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from pith.base import Frozen
from pith.ids import ArtifactId, JobId

Digest = Annotated[str, StringConstraints(pattern=r"^sha256:[0-9a-f]{64}$")]
Name = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f/\\]{1,255}$")]
OutputFormat = Literal["onnx", "pt2", "safetensors"]
ResultFormat = Literal["onnx", "pt2", "safetensors", "pith"]
"""What a job hands out: the formats that a spec may ask for, and the packed file of an encoding step."""
ArtifactKind = Literal["model", "report", "preprocessing"]

MEDIA_TYPES: dict[str, str] = {
    "onnx": "application/octet-stream",
    "pt2": "application/zip",
    "safetensors": "application/octet-stream",
    "pith": "application/octet-stream",
    "json": "application/json",
    "html": "text/html; charset=utf-8",
}


class Artifact(Frozen):
    """One result of a job. Its lineage is the job, whose spec names the model, the dataset and the recipe."""

    id: ArtifactId
    job: JobId
    kind: ArtifactKind
    name: Name
    format: str = Field(description="onnx, pt2, safetensors, pith, json or html.")
    digest: Digest
    size_bytes: int = Field(ge=0)
    created_at: datetime
