"""Intake: the job that looks at an upload before anything else may use it."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints

from pith.base import Frozen
from pith.dataset import DatasetFacts, Preview
from pith.facts import ModelFacts
from pith.ids import DatasetId, ModelId

PartName = Literal["model.pt2", "model.onnx", "tokenizer.json", "dataset.arrow", "dataset.json"]


class Architecture(Frozen):
    """A network by name and keyword arguments, for weights that come without a graph, or for fresh ones."""

    name: Annotated[
        str, StringConstraints(pattern=r"^(timm|torchvision|transformers|pith)/[A-Za-z0-9_.\-]{1,200}$")
    ] = Field(description="Library and name: timm/resnet18, torchvision/vgg11, transformers/BertModel, pith/resnet20.")
    arguments: dict[str, Any] = Field(default_factory=dict, description="Keyword arguments, such as num_classes.")
    input_shape: tuple[int, ...] | None = Field(
        None, min_length=1, max_length=8, description="Of one sample, where the architecture does not fix it."
    )
    seed: int = Field(0, ge=0, lt=2**63, description="Of the weights, when none are uploaded.")


class IntakeSpec(Frozen):
    """What an intake job is asked: look at this upload."""

    check: ModelId | DatasetId


class LearntModel(Frozen):
    """What the check of a model leaves: facts, and the canonical files it wrote."""

    facts: ModelFacts
    parts: tuple[PartName, ...]


class LearntDataset(Frozen):
    """What the check of a dataset leaves: facts, a preview, and the canonical files it wrote."""

    facts: DatasetFacts
    preview: Preview
    parts: tuple[PartName, ...]
