"""The two things every class of the contract is made of: frozen data, and a recipe step."""

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

Need = Literal["training_data", "labels", "calibration_data", "teacher"]
Change = Literal["shapes", "values", "dtype"]


class Frozen(BaseModel):
    """Immutable data: unknown fields are refused, and so are infinities and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Step(Frozen):
    """One configured technique. Subclasses add a ``kind`` literal, their options, and these facts.

    ``needs``    what the job spec must bring for the step to run
    ``changes``  what it does to the model; recipe order is decided by this alone
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
