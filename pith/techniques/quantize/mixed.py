"""``quantize.mixed``."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from pith.idle import refuse_idle
from pith.lowbit import MEASURED, STORED, Bits, Learned
from pith.outlook import Given, Outlook, count_weights, names, share


def _descending(choices: tuple[Bits, ...]) -> tuple[Bits, ...]:
    return tuple(sorted(set(choices), reverse=True))


class QuantizeMixed(Learned):
    """Bits for each layer: many where rounding hurts the outputs, few elsewhere, within a budget.

    What rounding each layer alone does to the model's outputs is measured; the choice is then the best one.
    """

    paper: ClassVar[str] = (
        "ZeroQ: Cai et al. 2020, arXiv 2001.00281, section 3.2 (each layer alone, errors add up), with the "
        "squared error of the outputs; knapsack as HAWQ-V3: Yao et al. 2021, arXiv 2011.10680"
    )
    limits: ClassVar[str] = (
        STORED + "Bits belong to a whole layer. Biases, norms and scales are not in the budget. " + MEASURED
    )

    kind: Literal["quantize.mixed"] = "quantize.mixed"
    bits: Annotated[tuple[Bits, ...], AfterValidator(_descending)] = Field(
        (8, 6, 5, 4, 3, 2), min_length=1, max_length=6, description="What a layer may get."
    )
    average_bits: float = Field(
        4.0, ge=2, le=8, description="Bits of a weight on average; 32 divided by it is how many times smaller they get."
    )
    rounding: Literal["learned", "nearest"] = Field(
        "learned", description="How weights are rounded once the bits are chosen; learned is quantize.adaround."
    )
    sensitivity_samples: int = Field(
        64, ge=1, le=10_000, description="Samples that every layer is tried with, once for each number of bits."
    )

    @model_validator(mode="after")
    def _affordable(self) -> Self:
        if self.average_bits < min(self.bits):
            few = f"average_bits is {self.average_bits:g}, and the fewest of bits are {min(self.bits)}"
            raise ValueError(f"{few}; raise average_bits to {min(self.bits)}, or add fewer bits to bits")
        return self

    @model_validator(mode="after")
    def _rounds(self) -> Self:
        if self.rounding == "nearest":
            way_out = "set rounding to learned"
            refuse_idle(self, "rounding is nearest", way_out, "iterations", "calibration_samples")
        return self

    def outlook(self, given: Given) -> Outlook:
        layers, all_layers = self.chosen(given), self.packable(given)
        tried = min(self.sensitivity_samples, given.samples or self.sensitivity_samples)
        learned = 2 * self.calibrated(given) if self.rounding == "learned" else 0
        return Outlook(
            does=f"Tries {len(self.bits)} numbers of bits on each layer with {tried:,} samples, and stores "
            f"{count_weights(layers)} of {share(len(layers), len(all_layers), 'layers')} as integers of "
            f"{self.average_bits:g} bits on average.",
            touched=names(layers),
            left_alone=self.alone(given),
            run=tried * (1 + len(self.bits) * len(layers)) + learned,
            refusals=self.refused(given),
            notes=(*(self.unlearned(given) if learned else ()), *self.few(max(self.bits))),
        )
