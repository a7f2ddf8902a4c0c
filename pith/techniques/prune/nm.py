"""``prune.nm``."""

from math import prod
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pith.base import Change
from pith.facts import LayerFacts
from pith.iterative import Iterative
from pith.outlook import Given, Outlook, Refusal, names, share
from pith.selective import Selective


class PruneNm(Iterative, Selective):
    """Of every M weights in a row along the input of a layer, keep the N largest: 2:4 is what sparse tensor cores run.

    Layers whose number of inputs is no multiple of M are left alone.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"values"})
    paper: ClassVar[str] = "Mishra et al. 2021, arXiv 2104.08378"
    limits: ClassVar[str] = "Only runtimes with kernels for the pattern run it faster; inputs are not permuted."

    kind: Literal["prune.nm"] = "prune.nm"
    n: int = Field(2, ge=1, le=63, description="Weights that stay of every M.")
    m: int = Field(4, ge=2, le=64, description="Weights in a group.")

    @model_validator(mode="after")
    def _some_go(self) -> "PruneNm":
        if self.n >= self.m:
            raise ValueError(f"n is {self.n} and m is {self.m}, so nothing would be pruned; set n to less than m")
        return self

    def outlook(self, given: Given) -> Outlook:
        chosen = self.selected(given)
        layers = tuple(layer for layer in chosen if fits(inputs(layer), self.m))
        weights = sum(prod(layer.shape) for layer in layers)
        odd = {layer.name: self.unfit(inputs(layer)) for layer in chosen if layer not in layers}
        refusals = list(self.unselected(given))
        if chosen and not layers:
            refusals.append(Refusal(reason=self.none_fits(), way_out=NONE_FITS_WAY_OUT, field="m"))
        return Outlook(
            does=f"Keeps {self.n} of every {self.m} weights, {weights * self.n // self.m:,} of {weights:,}, in "
            f"{share(len(layers), len(given.weighted()), 'layers')}{self.recovered(given)}.",
            touched=names(layers),
            left_alone=self.ignored(given) | odd,
            trained=self.trained(given),
            batch=self.together(given),
            refusals=tuple(refusals),
        )

    def unfit(self, inputs: int) -> str:
        """Why a layer of that many inputs is left alone."""
        return f"its {inputs} inputs are no multiple of {self.m}"

    def none_fits(self) -> str:
        return f"no layer has a multiple of {self.m} inputs"


NONE_FITS_WAY_OUT = "choose an m that divides the inputs of a layer, or use prune.magnitude"


def inputs(layer: LayerFacts) -> int:
    """How many inputs meet at one output of the layer: channels, without the places of a kernel."""
    return layer.shape[0] if "Transpose" in layer.kind else layer.shape[1]


def fits(inputs: int, m: int) -> bool:
    return inputs % m == 0
