"""Tags: short words by which models, datasets and jobs are found again. They are beside what is computed."""

from typing import Annotated

from pydantic import AfterValidator, Field, StringConstraints

from pith.artifact import Name
from pith.base import Frozen

MOST = 20
Tag = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._:/@+=-]{0,63}$")]


def _each_once(tags: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(set(tags)))


Tags = Annotated[tuple[Tag, ...], Field(max_length=MOST), AfterValidator(_each_once)]


class ResourceChange(Frozen):
    """What is to be changed of a model or a dataset; what is left out stays. ``tags`` replaces all of them."""

    name: Name | None = None
    tags: Tags | None = None


class JobChange(Frozen):
    """What is to be changed of a job; what is left out stays. ``tags`` replaces all of them."""

    tags: Tags | None = None
