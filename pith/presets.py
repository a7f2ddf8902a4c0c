"""Presets: recipes for common aims, as a beginning. Each says what it costs as well as what it gives."""

from typing import Any

from pydantic import Field

from pith.base import Frozen
from pith.facts import ModelFacts
from pith.ids import DatasetId, ModelId
from pith.job import JobSpec
from pith.recipe import takes


class Preset(Frozen):
    """Part of a job spec; ``of`` completes it."""

    name: str
    aim: str
    says: str = Field(description="What it does, what it costs, and when another one is better.")
    needs_data: bool
    part: dict[str, Any]

    def of(self, model: ModelId, dataset: DatasetId | None = None) -> JobSpec:
        return JobSpec.model_validate({"model": model, "dataset": dataset, **self.part})

    def suits(self, model: ModelFacts | None) -> bool:
        """Whether such a model can take all of its steps."""
        return takes(model) >= {step["kind"] for step in self.part["recipe"]}


PRESETS = (
    Preset(
        name="smaller",
        aim="Smaller, without data",
        says="Stores weights as 8-bit numbers: about a quarter of the size, within seconds. It is no faster, since "
        "weights are widened again when the model runs, and without data nobody knows what it loses.",
        needs_data=False,
        part={"recipe": [{"kind": "quantize.weight_only", "bits": 8}]},
    ),
    Preset(
        name="faster",
        aim="Smaller and faster, with a dataset",
        says="Removes half of the channels in three rounds, trains after each, and calculates in 8 bits. Takes time to "
        "train; what it loses is in the report. Of most use for convolutional models.",
        needs_data=True,
        part={
            "recipe": [
                {"kind": "prune.channel", "pruning_ratio": 0.5, "iterations": 3, "recovery": {"epochs": 2}},
                {"kind": "quantize.static"},
            ]
        },
    ),
    Preset(
        name="distilled",
        aim="Distil and quantize, with a dataset",
        says="Trains a copy of half the width to answer as the model does, and calculates in 8 bits. Takes the most "
        "training time; more epochs lose less.",
        needs_data=True,
        part={
            "recipe": [
                {"kind": "distill.logits", "student": {"width": 0.5}, "epochs": 8},
                {"kind": "quantize.static"},
            ]
        },
    ),
    Preset(
        name="smallest",
        aim="The smallest file, with a dataset",
        says="Sets seven of ten weights to zero and trains the rest, lets weights share 32 values, and encodes them in "
        "model.pith. The file is as small as it gets; unpacked it is as large and as fast as before.",
        needs_data=True,
        part={
            "recipe": [
                {"kind": "prune.magnitude", "sparsity": 0.7, "scope": "global", "recovery": {"epochs": 3}},
                {"kind": "quantize.codebook", "bits": 5},
                {"kind": "encode.entropy"},
            ]
        },
    ),
)
