"""What steps share that work on the weights of convolutions and linear layers, without those that the caller names."""

from collections.abc import Iterator

from pydantic import Field

from pith.base import Step
from pith.facts import LayerFacts
from pith.outlook import Given, Refusal, names
from pith.patterns import LayerPattern, named_by, unmatched

NO_LAYERS = "there is no convolution and no linear layer to work on"


class Selective(Step):
    """All convolutions and linear layers but some."""

    ignore: tuple[LayerPattern, ...] = Field(
        (), max_length=1000, description="Layers left alone: shell patterns over dotted names, such as layer4.*"
    )

    def ignored(self, given: Given) -> dict[str, str]:
        """The layers that are left alone, each with the reason."""
        return {name: f"matches {by}" for name, by in named_by(self.ignore, names(given.weighted())).items()}

    def selected(self, given: Given) -> tuple[LayerFacts, ...]:
        ignored = self.ignored(given)
        return tuple(layer for layer in given.weighted() if layer.name not in ignored)

    def unselected(self, given: Given) -> Iterator[Refusal]:
        """What is wrong with the choice: a pattern without a layer, or no layer at all."""
        yield from unmatched(self.ignore, names(given.weighted()), "ignore")
        if not self.selected(given):
            yield Refusal(reason=NO_LAYERS, way_out=self.without_layers())

    def without_layers(self) -> str:
        """The way out where no layer may be touched."""
        return "leave this step out or shorten ignore" if self.ignore else "leave this step out"
