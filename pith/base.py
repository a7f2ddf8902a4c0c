"""The two things every class of the contract is made of: frozen data, and a recipe step."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from pith.ids import DatasetId, ModelId

Need = Literal["training_data", "labels", "calibration_data", "teacher", "peers"]
Change = Literal["shapes", "values", "dtype", "outputs", "encoding"]
OF_DATA: frozenset[Need] = frozenset({"training_data", "labels", "calibration_data"})


class Frozen(BaseModel):
    """Immutable data: unknown fields are refused, and so are infinities and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Step(Frozen):
    """One configured technique. Subclasses add a ``kind`` literal, their options, an ``outlook``, and these facts.

    ``needs``    what the job spec must bring for the step to run
    ``changes``  what it does to the model; recipe order is decided by this alone. ``outputs``: they mean other things
    ``paper``    the paper or standard that it implements
    ``limits``   what it does not do, in one sentence
    """

    needs: ClassVar[frozenset[Need]] = frozenset()
    changes: ClassVar[frozenset[Change]] = frozenset()
    paper: ClassVar[str] = ""
    limits: ClassVar[str] = ""

    def required(self) -> frozenset[Need]:
        """What this step needs as it is configured."""
        return self.needs

    def asks(self) -> tuple[str, ...]:
        """The options that make it need more than the technique always does, each with the way without."""
        return ()

    def new_outputs(self) -> bool:
        """Whether the first output means something else after this step, as it is configured."""
        return "outputs" in self.changes

    def models(self) -> Mapping[str, ModelId]:
        """Other models that this step names, by the place in the step that names them: ``teacher``, ``models/0``."""
        return {}

    def datasets(self) -> Mapping[str, DatasetId]:
        """Other datasets that this step names, by the place that names them."""
        return {}
