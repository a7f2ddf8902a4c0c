"""The worker's own settings, from the environment (PITH_…). What it shares with the API is in store/settings.py."""

import os
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pith.worker import WorkerQueue
from store.settings import Words, words

_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


def _most_of_the_memory() -> int:
    """80 % of what this machine, or the container around this process, has."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for name in _CGROUP_LIMITS:
        try:
            sizes.append(int(Path(name).read_text()))
        except (OSError, ValueError):
            continue  # no such file, or "max"
    return min(sizes) * 8 // 10


def _usable_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class WorkerSettings(BaseSettings):
    """Read once by each worker: ``WorkerSettings()``."""

    model_config = SettingsConfigDict(env_prefix="PITH_", frozen=True, extra="ignore", validate_default=True)

    job_memory_bytes: int = Field(
        default_factory=_most_of_the_memory,
        ge=1 << 28,
        description="Memory that a job may use (default: 80 % of what there is). Not applied to jobs on a GPU.",
    )
    job_file_bytes: int = Field(1 << 36, ge=1 << 20, description="Size that one file of a job may have.")
    job_disk_bytes: int = Field(1 << 37, ge=1 << 20, description="Size that all files of a job may have together.")
    job_time_seconds: float = Field(86400, gt=0, description="How long a job may run.")
    intake_time_seconds: float = Field(600, gt=0, description="How long the check of an upload may run.")
    checkpoint_seconds: float = Field(
        60, gt=0, description="Training that is lost when a worker is; more where storing takes over a tenth of it."
    )
    drain_seconds: float = Field(
        20, ge=0, description="How long a job that is to stop has to save a checkpoint; then the last one counts."
    )
    worker_queues: Annotated[tuple[WorkerQueue, ...], NoDecode, BeforeValidator(words)] = Field(
        ("intake", "jobs"),
        min_length=1,
        description="What a worker does, with commas: jobs (for its device or for any), own (for its device alone), "
        "intake (checks of uploads, which go first).",
    )
    max_upload_bytes: int = Field(20 * 2**30, ge=1, description="Most bytes of one file that is imported.")
    import_hosts: Words = Field(
        (), description="Hosts that may be imported from, with commas: names, .example.org for all below, * for any."
    )
    import_buckets: Words = Field((), description="Buckets that may be imported from (s3://…), with commas.")
    import_time_seconds: float = Field(7200, gt=0, description="How long the fetching of an import may take.")
    mlflow_tracking_uri: str | None = Field(
        None, pattern="^https?://", description="MLflow's tracking server, for models:/NAME/VERSION."
    )
    hf_endpoint: str | None = Field(
        None, pattern="^https?://", description="The Hugging Face Hub, for hf://OWNER/NAME: https://huggingface.co"
    )
    threads: int = Field(default_factory=_usable_cores, ge=1, le=1024, description="CPU threads of a job.")
    device: Literal["auto", "cpu", "gpu"] = Field(
        "auto", description="Where jobs compute, and so which of them a worker takes; auto takes a GPU if any."
    )
    job_processes: int = Field(
        1, ge=1, le=64, description="Processes that train one job together, each on a GPU of its own if there are any."
    )
    sandbox: Literal["auto", "require", "off"] = Field(
        "auto",
        description="auto: every protection that the system offers; require: refuse to start when one is missing; off.",
    )

    @field_validator("device", mode="before")
    @classmethod
    def _by_its_other_name(cls, value: object) -> object:
        return "gpu" if value == "cuda" else value
