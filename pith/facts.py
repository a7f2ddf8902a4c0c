"""What intake learns about an uploaded model, before any job."""

from typing import Literal

from pydantic import Field

from pith.base import Frozen
from pith.dataset import Preprocessing
from pith.task import Task

ModelFormat = Literal["pt2", "state_dict", "hugging_face", "onnx", "architecture"]


class TensorFacts(Frozen):
    """One input or output. ``null`` in the shape is a dynamic size; the first is the batch."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str


class LayerFacts(Frozen):
    """One layer with weights, under its dotted name."""

    name: str
    kind: str = Field(description="The module's class, such as Conv2d.")
    shape: tuple[int, ...] = Field(description="Of its weight.")
    parameters: int = Field(ge=0)
    macs: int | None = Field(None, ge=0, description="Of one sample; null where they cannot be counted.")
    inputs: int | None = Field(
        None, ge=0, description="Numbers that a matrix of an ONNX file reads, which its shape does not tell."
    )
    width: int | None = Field(None, description="Output channels, which prune.channel would remove.")
    group: int | None = Field(None, description="Layers with the same number lose their channels together.")
    left_alone: str | None = Field(
        None, description="Why prune.channel leaves this layer alone; null when it does not."
    )


class HintFacts(Frozen):
    """A place at which features can be tapped for a distillation, and their shape."""

    name: str
    shape: tuple[int | None, ...]


class AttentionFacts(Frozen):
    """One attention layer, and what ``prune.head`` may take from it."""

    name: str
    heads: int = Field(ge=0, description="0 where it is not known.")
    head_size: int
    together: int = Field(1, ge=1, description="Heads that go together, because they share a key.")
    group: int | None = Field(None, description="Attentions with the same number lose their heads together.")
    parameters: int = Field(0, ge=0, description="That go with its heads.")
    macs: int | None = Field(None, ge=0, description="Of the layers that go with its heads, of one sample.")
    left_alone: str | None = Field(None, description="Why prune.head leaves it alone; null when it does not.")


class BlockFacts(Frozen):
    """A block that prune.layer may remove, because it gives what it reads in the same shape."""

    name: str
    shape: tuple[int | None, ...] = Field(description="Of what it reads and of what it gives.")
    parameters: int = Field(ge=0)
    macs: int | None = Field(None, ge=0, description="Of its layers, of one sample.")
    residual: bool = Field(description="Whether what it reads runs through it beside its layers.")
    layers: tuple[str, ...] = Field((), description="Convolutions and linear layers that go with it.")


class HeadFacts(Frozen):
    """The layer that gives the first output. ``outputs`` is its width: the classes of a classifier."""

    name: str
    outputs: int


class Estimate(Frozen):
    """What work on this model costs, from its graph and from one timed run on the worker that checked it."""

    inference_seconds: float = Field(ge=0, description="Of one sample, forward, on one thread.")
    training_seconds: float | None = Field(None, ge=0, description="Of one sample in training, on one thread.")
    fixed_bytes: int = Field(ge=0, description="Memory of weights, gradients and optimizer, and of the process itself.")
    sample_bytes: int = Field(ge=0, description="Memory that each sample of a training batch adds.")


class ModelFacts(Frozen):
    """What was learnt. ``layers``, ``hints``, ``attention_layers`` and ``blocks`` are left out of lists."""

    format: ModelFormat
    trainable: bool = Field(description="False for a finished graph (ONNX): steps that train or reshape refuse it.")
    task: Task | None = Field(None, description="What it is for, as far as its format says so.")
    inputs: tuple[TensorFacts, ...]
    outputs: tuple[TensorFacts, ...]
    dtype: str = Field(description="Of the weights, as they arrived.")
    opset: int | None = Field(None, description="Of an ONNX model.")
    parameters: int = Field(ge=0)
    macs: int | None = Field(None, ge=0, description="Multiply-accumulates of one sample.")
    head: HeadFacts | None = None
    layers: tuple[LayerFacts, ...] = ()
    hints: tuple[HintFacts, ...] = ()
    attention_layers: tuple[AttentionFacts, ...] = ()
    blocks: tuple[BlockFacts, ...] = ()
    attentions: int = Field(0, ge=0, description="Attention layers whose probabilities can be compared.")
    preprocessing: Preprocessing | None = Field(None, description="What the model's folder or architecture asks for.")
    tokenizer: bool = Field(False, description="Whether the upload brought a tokenizer.")
    estimate: Estimate | None = None
    finished_layers: int = Field(0, ge=0, description="Layers that hold integers or halves already.")
    notes: tuple[str, ...] = Field((), description="What was done on the way: prefixes taken off, precision converted.")
