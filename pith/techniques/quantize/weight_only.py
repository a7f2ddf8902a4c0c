"""``quantize.weight_only``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.lowbit import MEASURED, STORED, Bits, LowBit
from pith.outlook import Given, Outlook, count_weights, names, share


class QuantizeWeightOnly(LowBit):
    """Weights to the nearest of a few levels, the levels being those with the least squared error.

    Needs no data. 8 bits lose next to nothing; for 4 and fewer compare quantize.adaround and quantize.mixed.
    """

    paper: ClassVar[str] = (
        "Uniform affine quantization with steps of least squared error, as Banner et al. 2019, arXiv 1810.05723, "
        "section 4, find their clipping; groups as Dettmers et al. 2022, arXiv 2110.02861"
    )
    limits: ClassVar[str] = STORED + "3, 5 and 6 bits are really stored as such. " + MEASURED

    kind: Literal["quantize.weight_only"] = "quantize.weight_only"
    bits: Bits = Field(8, description="Bits of a weight.")

    def outlook(self, given: Given) -> Outlook:
        layers, all_layers = self.chosen(given), self.packable(given)
        groups = "" if self.group_size is None else f", in groups of {self.group_size}"
        learned = ("Few levels without learned rounding lose much; compare quantize.adaround.",)
        return Outlook(
            does=f"Stores {count_weights(layers)} of {share(len(layers), len(all_layers), 'layers')} as "
            f"{self.bits}-bit integers{groups}.",
            touched=names(layers),
            left_alone=self.alone(given),
            refusals=self.refused(given),
            notes=(*learned, *self.few(self.bits)) if self.bits < 4 else (),
        )
