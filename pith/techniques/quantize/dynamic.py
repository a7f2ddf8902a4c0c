"""``quantize.dynamic``."""

from typing import ClassVar, Literal

from pydantic import Field

from pith.base import Change, Step
from pith.outlook import Given, Outlook, Refusal, count_weights, names, share


class QuantizeDynamic(Step):
    """Weights of linear layers and embeddings to 8 bits; activation ranges are found while the model runs.

    The right choice for transformers. Convolutions stay in floating point: dynamic ones run slower.
    """

    changes: ClassVar[frozenset[Change]] = frozenset({"dtype"})
    paper: ClassVar[str] = "ONNX operators DynamicQuantizeLinear and MatMulInteger, opset 11"
    limits: ClassVar[str] = "Linear layers and embeddings only; a table has one scale."

    kind: Literal["quantize.dynamic"] = "quantize.dynamic"
    bits: Literal[8] = Field(8, description="Bits of a weight.")
    granularity: Literal["tensor", "channel"] = Field("channel", description="What shares one weight scale.")

    def outlook(self, given: Given) -> Outlook:
        layers = given.weighted()
        linear = tuple(layer for layer in layers if layer.kind == "Linear")
        way_out = "use quantize.static, which takes convolutions too"
        return Outlook(
            does=f"Stores {count_weights(linear)} of {share(len(linear), len(layers), 'layers')} as {self.bits}-bit "
            "integers.",
            touched=names(linear) + tuple(layer.name for layer in given.layers if layer.kind == "Embedding"),
            left_alone={layer.name: "a convolution" for layer in layers if layer.kind != "Linear"},
            refusals=() if linear else (Refusal(reason="the model has no linear layer", way_out=way_out),),
        )
