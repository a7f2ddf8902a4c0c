"""Who may do what: projects, which share nothing, and the keys that open one of them."""

from datetime import datetime
from typing import Annotated, Literal, get_args

from pydantic import AwareDatetime, Field

from pith.artifact import Name
from pith.base import Frozen
from pith.ids import KeyId, ProjectId

Scope = Literal["upload", "jobs", "delete", "admin", "operate"]
"""What a key may do besides reading, which every key may do within its project.

upload: bring models and datasets; jobs: submit, cancel, pause and resume; delete: what is stored; admin: the keys of
its project; operate: all projects, their quotas and their keys.
"""
SCOPES: tuple[Scope, ...] = get_args(Scope)
USUAL: tuple[Scope, ...] = ("upload", "jobs", "delete")
DEFAULT_PROJECT = "prj_" + "0" * 26
"""The project of a service without keys; it is there from the beginning and stays."""

Bytes = Annotated[int | None, Field(ge=0, le=2**62)]


class Quotas(Frozen):
    """What a project may use; null is as much as there is."""

    storage_bytes: Bytes = Field(None, description="Bytes of its models, datasets, uploads and artifacts together.")
    upload_bytes: Bytes = Field(None, description="Most bytes of one uploaded file.")
    jobs_at_once: int | None = Field(None, ge=0, le=10**6, description="Jobs that run at once; the others wait.")
    jobs_unfinished: int | None = Field(None, ge=0, le=10**9, description="Jobs that run or wait, together.")
    requests_per_minute: int | None = Field(None, ge=1, le=10**6, description="Requests of each of its keys.")


class NewProject(Frozen):
    """What is asked of a project that is made."""

    name: Name
    quotas: Quotas = Quotas()


class ProjectChange(Frozen):
    """What is to be changed; what is left out stays. ``quotas`` replaces all of them."""

    name: Name | None = None
    quotas: Quotas | None = None


class Project(Frozen):
    """A tenant: its models, datasets, jobs and keys are seen by nobody else."""

    id: ProjectId
    name: Name
    quotas: Quotas
    created_at: datetime


class Usage(Frozen):
    """What a project uses now, measured as its quotas are. Bytes that it has stored twice count twice."""

    storage_bytes: int = Field(ge=0)
    jobs_at_once: int = Field(ge=0)
    jobs_unfinished: int = Field(ge=0)


class NewKey(Frozen):
    """What is asked of a key that is made."""

    name: Name = Field(description="Who or what uses it.")
    scopes: tuple[Scope, ...] = Field(USUAL, max_length=len(SCOPES), description="What it may do besides reading.")
    expires_at: AwareDatetime | None = Field(None, description="When it ends; never, if nothing is said.")
    project: ProjectId | None = Field(None, description="Another project than the caller's own: needs operate.")


class ApiKey(Frozen):
    """A key as it is shown afterwards: without its secret, which nobody has kept."""

    id: KeyId
    project: ProjectId
    name: Name
    begins: str = Field(description="How the secret begins, by which it is found in a file or a log.")
    scopes: tuple[Scope, ...]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None


class IssuedKey(ApiKey):
    """A key that has just been made."""

    secret: str | None = Field(
        description="Goes into `Authorization: Bearer SECRET`. It is shown this once; null where the request was "
        "sent before, under the same Idempotency-Key."
    )


class Me(Frozen):
    """Whom the service takes the caller for."""

    project: Project
    usage: Usage
    key: KeyId | None = Field(description="Null where the service trusts everybody who reaches it.")
    name: str
    scopes: tuple[Scope, ...]
