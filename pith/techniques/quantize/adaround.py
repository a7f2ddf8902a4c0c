"""``quantize.adaround``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.lowbit import MEASURED, STORED, Bits, Learned
from pith.outlook import Given, Outlook, count_weights, names, share


class QuantizeAdaround(Learned):
    """Weights up or down to a level, whichever keeps the outputs of the layer; learned from calibration data.

    The right choice for 4 bits and fewer. Needs no labels and no training.
    """

    paper: ClassVar[str] = (
        "AdaRound: Nagel et al. 2020, arXiv 2004.10568, on second moments of the inputs; then coordinate descent as "
        "Zhang et al. 2024, arXiv 2403.07134"
    )
    limits: ClassVar[str] = (
        STORED + "The activation function after a layer is not looked at. Embeddings, and layers of more than 8,192 "
        "inputs, are rounded to nearest. " + MEASURED
    )

    kind: Literal["quantize.adaround"] = "quantize.adaround"
    bits: Bits = Field(4, description="Bits of a weight.")

    def outlook(self, given: Given) -> Outlook:
        layers, all_layers, used = self.chosen(given), self.packable(given), self.calibrated(given)
        groups = "" if self.group_size is None else f", in groups of {self.group_size}"
        return Outlook(
            does=f"Learns from {used:,} samples which way to round {count_weights(layers)} of "
            f"{share(len(layers), len(all_layers), 'layers')}, and stores them as {self.bits}-bit integers{groups}.",
            touched=names(layers),
            left_alone=self.alone(given),
            run=2 * used,
            refusals=self.refused(given),
            notes=(*self.unlearned(given), *self.few(self.bits)),
        )
