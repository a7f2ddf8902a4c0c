"""What steps share that combine the job's model with other models."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated, ClassVar, Literal, Protocol

from pydantic import AfterValidator, Field

from pith.base import Need, Step
from pith.errors import PithError
from pith.facts import LayerFacts, ModelFacts, TensorFacts
from pith.ids import ModelId
from pith.kinds import floating, shown
from pith.outlook import Given, Refusal

MAX_PEERS = 31
ONE_ARCHITECTURE = "weights of one architecture can be merged; an ensemble (merge.weighted) takes different ones"
SAME_INPUTS = "members of an ensemble take the same inputs; send a model that does"
SAME_OUTPUTS = "members of an ensemble give the same outputs; finetune.head gives a model those of a dataset"
SAME_MODEL = "no step before this one changed the model, so it is the baseline still and would be merged with itself"
ANOTHER_MODEL = "name another model, or put a step that trains or prunes the model before this one"
NAMED_TWICE = "leave one of the two out"
AVERAGE = "use merge.weighted"
NEXT_INPUTS = "nothing is converted on the way; send models of which each takes what the one before gives"
Peer = Literal["baseline"] | ModelId


def distinct(peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
    """
    Raises:
        ValueError: a model is named twice.
    """
    twice = [name for name, count in Counter(peers).items() if count > 1]
    if twice:
        raise ValueError(f"names {', '.join(twice)} twice")
    return peers


Peers = Annotated[tuple[Peer, ...], AfterValidator(distinct), Field(min_length=1, max_length=MAX_PEERS)]


class Combining(Step):
    """A step that combines the model, as it stands at this step, with other models."""

    needs: ClassVar[frozenset[Need]] = frozenset({"peers"})

    peers: Peers = Field(
        description='The other models, by id; "baseline" is the job\'s own model as it was before the first step.'
    )

    def named(self) -> dict[str, Peer]:
        """Every model that is named, by its place in the step."""
        return {f"peers/{index}": name for index, name in enumerate(self.peers)}

    def models(self) -> Mapping[str, ModelId]:
        return {place: name for place, name in self.named().items() if name != "baseline"}

    def known(self, given: Given) -> list[tuple[str, Peer, ModelFacts]]:
        """Place, name and facts of the named models of which something is known."""
        found = [(place, name, given.named(name)) for place, name in self.named().items()]
        return [(place, name, facts) for place, name, facts in found if facts is not None]


def check_weights(weights: tuple[float, ...] | None, models: int) -> None:
    """
    Raises:
        ValueError: not one weight a model, or all of them zero.
    """
    if weights is not None and len(weights) != models:
        raise ValueError(f"has {len(weights)} weights for {models} models: the step's own model, then the peers")
    if weights is not None and not any(weights):
        raise ValueError("has weights of zero alone; give at least one model a weight above 0")


def unlike(kind: str, step: Combining, given: Given) -> Iterator[Refusal]:
    """Refusals for models whose weights cannot be put together one by one with the given model's."""
    mine = {layer.name: layer for layer in given.layers}
    again = {refusal.field: refusal for refusal in itself(step, given.own, given.untouched())}
    for place, name, facts in step.known(given):
        if refusal := unusable(kind, place, name, facts) or again.get(place):
            yield refusal
        elif different := _first_difference(mine, {layer.name: layer for layer in facts.layers}):
            yield _mismatch(place, name, *different, ONE_ARCHITECTURE)


def itself(step: Combining, own: ModelId | None, untouched: bool) -> Iterator[Refusal]:
    """Refusals for the job's own model, by its id ``own`` or as the baseline, where the step would combine it with
    itself: because it is ``untouched`` by then, or because it is named in both ways."""
    named = {place: name for place, name in step.named().items() if name in ("baseline", own)}
    for place, name in named.items():
        if untouched:
            is_own = f"{name} is the job's own model: " if name == own else ""
            yield Refusal(reason=f"{is_own}{SAME_MODEL}", way_out=ANOTHER_MODEL, field=place)
        elif name == own and "baseline" in named.values():
            reason = f"{name} is the job's own model, which is named as baseline too"
            yield Refusal(reason=reason, way_out=NAMED_TWICE, field=place)


class Ends(Protocol):
    """What goes into a model and what comes out."""

    @property
    def inputs(self) -> tuple[TensorFacts, ...]: ...
    @property
    def outputs(self) -> tuple[TensorFacts, ...]: ...


def unfit(step: Combining, given: Given) -> Iterator[Refusal]:
    """Refusals for models that cannot stand beside the given one in an ensemble."""
    again = {refusal.field: refusal for refusal in itself(step, given.own, given.untouched())}
    for place, name, facts in step.known(given):
        if refusal := unusable(step.kind, place, name, facts) or again.get(place):  # type: ignore[attr-defined]
            yield refusal
        else:
            yield from beside(place, name, facts, given.model)
    yield from no_average(given.model)


def beside(place: str, name: str, theirs: Ends, mine: Ends) -> Iterator[Refusal]:
    """What keeps two models from taking the same samples and giving outputs that can be combined."""
    if _sizes(theirs.inputs) != _sizes(mine.inputs):
        wanted = f"{shown_all(mine.inputs)} of the step's own model"
        yield _mismatch(place, name, "what it takes", shown_all(theirs.inputs), wanted, SAME_INPUTS)
    elif _sizes(theirs.outputs) != _sizes(mine.outputs):
        wanted = f"{shown_all(mine.outputs)} of the step's own model"
        yield _mismatch(place, name, "what it gives", shown_all(theirs.outputs), wanted, SAME_OUTPUTS)


def behind(place: str, name: str, theirs: Ends, before: Ends) -> Iterator[Refusal]:
    """What keeps a model from taking the outputs of the one before it: as many as it has inputs, in order, each of the
    same numbers and sizes. An input of a free size takes any."""
    fits = len(theirs.inputs) <= len(before.outputs) and all(
        (given.dtype, len(given.shape)) == (taken.dtype, len(taken.shape))
        and all(want is None or have == want for have, want in zip(given.shape[1:], taken.shape[1:], strict=True))
        for given, taken in zip(before.outputs, theirs.inputs, strict=False)
    )
    if not fits:
        wanted = f"{shown_all(before.outputs)} of the model before it"
        yield _mismatch(place, name, "what it takes", shown_all(theirs.inputs), wanted, NEXT_INPUTS)


def no_average(model: Ends) -> Iterator[Refusal]:
    for output in model.outputs:
        if not floating(output.dtype):
            reason = f"the output {output.name} holds integers, which have no average"
            yield Refusal(reason=reason, way_out="export models that give scores")


def no_classes(kind: str, model: Ends, classes: bool) -> Iterator[Refusal]:
    """``classes``: whether labels are class numbers."""
    shape = model.outputs[0].shape
    if not classes or len(shape) != 2 or (shape[1] or 0) < 2:
        reason = f"{kind} is for scores of classes, and the first output is ({shown(shape)})"
        yield Refusal(reason=reason if classes else f"{kind} is for classes, which this task has not", way_out=AVERAGE)


def unusable(kind: str, place: str, name: str, facts: ModelFacts) -> Refusal | None:
    """Why no step can combine this model with another: it is an ONNX file, or quantized."""
    if not facts.trainable:
        reason, way_out = finished(name)
        return Refusal(reason=reason, way_out=way_out, field=place)
    if facts.finished_layers:
        return Refusal.of(PithError("model_finished", count=facts.finished_layers, kind=kind), place)
    return None


def finished(name: str) -> tuple[str, str]:
    """Why an ONNX model cannot be combined, and the way out."""
    return f"{name} is an ONNX file, whose graph cannot be merged", "send its source model as .pt2"


def _mismatch(place: str, name: str, what: str, theirs: str, wanted: str, way_out: str) -> Refusal:
    error = PithError("merge_mismatch", other=name, what=what, theirs=theirs, wanted=wanted, way_out=way_out)
    return Refusal.of(error, place)


def _sizes(tensors: tuple[TensorFacts, ...]) -> tuple[object, ...]:
    """Sizes without the batch, and the kind of number."""
    return tuple((tensor.shape[1:], tensor.dtype) for tensor in tensors)


def shown_all(tensors: tuple[TensorFacts, ...]) -> str:
    """``float32 (1, 8, 8) and int64 (6)``, without the batch."""
    return " and ".join(f"{tensor.dtype} ({shown(tensor.shape[1:])})" for tensor in tensors)


def _first_difference(mine: Mapping[str, LayerFacts], theirs: Mapping[str, LayerFacts]) -> tuple[str, str, str] | None:
    for name in dict.fromkeys((*mine, *theirs)):
        here, there = mine.get(name), theirs.get(name)
        if here is None or there is None or (here.kind, here.shape) != (there.kind, there.shape):
            return f"the layer {name}", _layer(there), f"{_layer(here)} in the step's own model"
    return None


def _layer(layer: LayerFacts | None) -> str:
    return "missing" if layer is None else f"{layer.kind} ({shown(layer.shape)})"
