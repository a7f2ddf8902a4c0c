"""A new output layer, as far as facts tell: how many outputs a dataset asks for, and what the model looks like then."""

from collections.abc import Iterable, Iterator
from math import prod

from pith.dataset import DatasetFacts
from pith.errors import PithError
from pith.facts import LayerFacts, ModelFacts
from pith.fit import class_numbers, count_classes
from pith.outlook import Given, Refusal

NO_HEAD = "no linear layer and no convolution makes the first output"


def labelled_outputs(data: DatasetFacts | None) -> int | None:
    """The dataset's classes, or the numbers in one of its targets; None where that is not known."""
    if data is None:
        return None
    if class_numbers(data):
        return max(len(data.classes), count_classes(data)) or None
    label = next((column for column in data.columns if column.role == "label"), None)
    return prod(label.shape) if label is not None and label.shape is not None else None


def classes_problem(asked: int | None, data: DatasetFacts | None) -> str | None:
    """Why a head with so many outputs is none for these labels."""
    if asked is None or data is None:
        return None
    if class_numbers(data):
        there = count_classes(data)
        return f"classes is {asked}, and the dataset has {there}" if asked < max(there, 2) else None
    wanted = labelled_outputs(data)
    return (
        f"classes is {asked}, and a target of the dataset has {wanted} numbers" if wanted not in (None, asked) else None
    )


def headless(given: Given) -> Iterator[Refusal]:
    """``head_not_found`` where the model has no layer that could be a head, or has one of a kind that is not replaced.
    A head of several layers is left to the engine."""
    head = given.model.head
    kind = next((layer.kind for layer in given.layers if head and layer.name == head.name), "")
    if head is None and given.model.trainable and not given.weighted():
        yield Refusal.of(PithError("head_not_found", reason=NO_HEAD))
    elif "Transpose" in kind:
        yield Refusal.of(PithError("head_not_found", reason=f"a {kind} makes it"))


def with_outputs(model: ModelFacts, count: int) -> ModelFacts:
    """The model with so many first outputs. Macs stay as they are; a head that is several layers stays unknown."""
    first = model.outputs[0]
    shape = (first.shape[0], count, *first.shape[2:])
    outputs = (first.model_copy(update={"shape": shape}), *model.outputs[1:])
    if model.head is None:
        return model.model_copy(update={"outputs": outputs})
    layers = tuple(_widened(layer, count) if layer.name == model.head.name else layer for layer in model.layers)
    grown = sum(layer.parameters for layer in layers) - sum(layer.parameters for layer in model.layers)
    changed = {
        "outputs": outputs,
        "layers": layers,
        "parameters": model.parameters + grown,
        "head": model.head.model_copy(update={"outputs": count}),
    }
    return model.model_copy(update=changed)


def _widened(layer: LayerFacts, count: int) -> LayerFacts:
    weight = (count, *layer.shape[1:])
    bias = layer.parameters > prod(layer.shape)
    return layer.model_copy(update={"shape": weight, "parameters": prod(weight) + (count if bias else 0)})


def with_second_head(model: ModelFacts, count: int) -> ModelFacts:
    """The model with a further head of so many outputs in front, and its first output last, called ``old``."""
    first = model.outputs[0]
    taken = {tensor.name for tensor in (*model.inputs, *model.outputs)}
    kept = first.model_copy(update={"name": free_name("old", taken)})
    head = next((layer for layer in model.layers if model.head and layer.name == model.head.name), None)
    if head is None or model.head is None:
        fresh = first.model_copy(update={"shape": (first.shape[0], count, *first.shape[2:])})
        return model.model_copy(update={"outputs": (fresh, *model.outputs[1:], kept)})
    grown = with_outputs(model, count)
    name = free_name(f"{head.name}_new", {layer.name for layer in model.layers})
    second = _widened(head, count).model_copy(update={"name": name})
    changed = {
        "outputs": (*grown.outputs, kept),
        "layers": (*model.layers, second),
        "parameters": model.parameters + second.parameters,
        "head": model.head.model_copy(update={"name": name, "outputs": count}),
    }
    return model.model_copy(update=changed)


def free_name(wanted: str, taken: Iterable[str]) -> str:
    """``wanted``, or with the first number behind it that nothing has."""
    known = set(taken)
    return next(name for name in (wanted, *(f"{wanted}_{n}" for n in range(1, len(known) + 2))) if name not in known)
