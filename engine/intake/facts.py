"""What can be said of a model before any job: its layers, what may be pruned, where hints are, what it costs."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from engine.head import output_layers
from engine.hints import hints
from engine.intake.estimate import estimate
from engine.model import Model
from engine.prune.blocks import blocks
from engine.prune.heads import HeadGroup, Heads, proven
from engine.prune.map import prunable
from engine.signature import TensorSpec
from engine.taps import attentions
from pith.dataset import Preprocessing
from pith.facts import (
    AttentionFacts,
    BlockFacts,
    HeadFacts,
    HintFacts,
    LayerFacts,
    ModelFacts,
    ModelFormat,
    TensorFacts,
)
from pith.task import Task


@dataclass(frozen=True)
class Origin:
    """What the upload itself said, besides the graph."""

    format: ModelFormat
    task: Task | None = None
    dtype: str = "float32"
    preprocessing: Preprocessing | None = None
    tokenizer: bool = False
    notes: tuple[str, ...] = field(default=())


def describe(model: Model, origin: Origin) -> ModelFacts:
    """All facts about a model that can be trained; the graph is run a few times for it."""
    macs = macs_by_module(model)
    return ModelFacts(
        format=origin.format,
        trainable=True,
        task=origin.task,
        inputs=tuple(tensor_facts(spec) for spec in model.signature.inputs),
        outputs=tuple(tensor_facts(spec) for spec in model.signature.outputs),
        dtype=origin.dtype,
        parameters=sum(parameter.numel() for parameter in model.graph.parameters()),
        macs=macs.pop("", None),
        head=_head(model),
        layers=_layers(model, macs),
        hints=tuple(HintFacts(name=hint.name, shape=hint.shape) for hint in hints(model)),
        attentions=len(attentions(model)),
        attention_layers=_attention_layers(model, macs),
        blocks=_blocks(model, macs),
        preprocessing=origin.preprocessing,
        tokenizer=origin.tokenizer,
        estimate=estimate(model),
        finished_layers=model.integer_layers(),
        notes=origin.notes,
    )


def tensor_facts(spec: TensorSpec) -> TensorFacts:
    return TensorFacts(name=spec.name, shape=spec.shape, dtype=str(spec.dtype).removeprefix("torch."))


def macs_by_module(model: Model) -> dict[str, int]:
    """Multiply-accumulates of one sample by dotted module name; the empty name has the whole model's."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model.at_rest()(*model.signature.tensors(1))
    found = {_dotted(name): sum(by_op.values()) // 2 for name, by_op in counter.get_flop_counts().items()}
    return {**found, "": counter.get_total_flops() // 2}


def _dotted(counted: str) -> str:
    """The counter puts the class of the whole model before every name."""
    return counted.partition(".")[2]


def _layers(model: Model, macs: dict[str, int]) -> tuple[LayerFacts, ...]:
    groups = {layer.name: layer for layer in prunable(model)}
    return tuple(_layer(name, module, macs.get(name), groups.get(name)) for name, module in _weighted(model))


def _weighted(model: Model) -> list[tuple[str, nn.Module]]:
    """Modules that own a weight, in the graph's order of names."""
    return [(name, module) for name, module in model.graph.named_modules() if hasattr(module, "weight") and name]


def _layer(name: str, module: nn.Module, macs: int | None, group: Any) -> LayerFacts:
    weight = module.weight
    return LayerFacts(
        name=name,
        kind=type(module).__name__,
        shape=tuple(weight.shape) if isinstance(weight, torch.Tensor) else (),
        parameters=sum(parameter.numel() for parameter in module.parameters(recurse=False)),
        macs=macs,
        width=None if group is None else group.width,
        group=None if group is None else group.group,
        left_alone=None if group is None else group.left_alone,
    )


def _attention_layers(model: Model, macs: dict[str, int]) -> tuple[AttentionFacts, ...]:
    heads = proven(model)
    groups = {name: (index, group) for index, group in enumerate(heads.groups) for name in group.attentions}
    shares = [_share(heads, group, macs) for group in heads.groups]
    found = []
    for each in heads.attentions:
        index, group = groups.get(each.name, (None, None))
        parameters, counted = (0, None) if index is None else shares[index]
        found.append(
            AttentionFacts(
                name=each.name,
                heads=each.heads,
                head_size=each.size,
                together=1 if group is None else len(each.units) // len(group.units),
                group=index,
                parameters=parameters,
                macs=counted,
                left_alone=each.left_alone,
            )
        )
    return tuple(found)


def _share(heads: Heads, group: HeadGroup, macs: dict[str, int]) -> tuple[int, int]:
    """What goes with all heads of a group, for each of its attentions."""
    parameters, parts = heads.lost(group.units)
    counted = sum(round(part * macs.get(name, 0)) for name, part in parts.items())
    return parameters // len(group.attentions), counted // len(group.attentions)


def _blocks(model: Model, macs: dict[str, int]) -> tuple[BlockFacts, ...]:
    return tuple(
        BlockFacts(
            name=block.name,
            shape=block.shape,
            parameters=block.parameters,
            macs=sum(macs.get(name, 0) for name in block.layers),
            residual=block.residual,
            layers=block.layers,
        )
        for block in blocks(model)
    )


def _head(model: Model) -> HeadFacts | None:
    layers = [(name, module) for name, module in model.layers() if name in output_layers(model.graph)]
    if len(layers) != 1:
        return None
    name, module = layers[0]
    return HeadFacts(name=name, outputs=module.weight.shape[0])
