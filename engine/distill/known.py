"""What a plan would know of a model that stands here, so that the engine refuses by the same rules."""

from engine.head import output_layers
from engine.hints import hints
from engine.intake.facts import tensor_facts
from engine.model import Model
from engine.taps import attentions
from pith.facts import HeadFacts, HintFacts, LayerFacts, ModelFacts


def known(model: Model) -> ModelFacts:
    """Its ends, and the blocks and layers of one that has them."""
    ends = {
        "inputs": tuple(map(tensor_facts, model.signature.inputs)),
        "outputs": tuple(map(tensor_facts, model.signature.outputs)),
        "dtype": "float32",
    }
    if not model.trainable:
        return ModelFacts(format="onnx", trainable=False, parameters=0, **ends)
    return ModelFacts(
        format="pt2",
        trainable=True,
        finished_layers=model.integer_layers(),
        parameters=sum(parameter.numel() for parameter in model.graph.parameters()),
        head=_head(model),
        layers=_layers(model),
        hints=tuple(HintFacts(name=hint.name, shape=hint.shape) for hint in hints(model)),
        attentions=len(attentions(model)),
        **ends,
    )


def _layers(model: Model) -> tuple[LayerFacts, ...]:
    return tuple(
        LayerFacts(name=name, kind=type(module).__name__, shape=tuple(module.weight.shape), parameters=0)
        for name, module in model.graph.named_modules()
        if name and hasattr(module, "weight") and module.weight is not None
    )


def _head(model: Model) -> HeadFacts | None:
    heads = sorted(output_layers(model.graph))
    if len(heads) != 1:
        return None
    return HeadFacts(name=heads[0], outputs=model.graph.get_submodule(heads[0]).weight.shape[0])  # type: ignore[index]
