"""Models whose every answer is known, as ONNX files of a few operators, and samples for them."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto
from tokenizers import Tokenizer, models, pre_tokenizers

from engine.data import Dataset, Split, TokenIds
from engine.findings.form import Form
from engine.measure import Samples
from engine.objective import objective
from pith.dataset import (
    CategoricalColumn,
    FittedPreprocessing,
    ImagePreprocessing,
    NumericColumn,
    TabularPreprocessing,
)
from pith.task import Task
from tests.engine.onnx_files import graph, model, node, value, weight

WORDS = ("[PAD]", "[UNK]", "[SEP]", "good", "bad", "film", "the", "very")
COLUMNS = (
    NumericColumn(name="age", mean=40.0, std=10.0),
    NumericColumn(name="income", mean=100.0, std=50.0, marked=True),
    CategoricalColumn(name="town", categories=("Bath", "York")),
)


def samples_of(
    *x: NDArray[Any], y: NDArray[Any] | None = None, classes: bool = True, task: Task | None = None
) -> Samples:
    split = Split(x, y)
    wanted = objective(Dataset(split, split, task))
    return Samples(split, tuple(each.dtype for each in x), classes, "test split", wanted)


def linear_model(path: Path, matrix: NDArray[Any], shape: tuple[int, ...], probabilities: bool = False) -> Path:
    """Each output is a weighted sum of all numbers of the sample: ``matrix`` is (numbers, outputs)."""
    nodes = [node("Flatten", ["x"], ["flat"]), node("MatMul", ["flat", "w"], ["s" if probabilities else "y"])]
    if probabilities:
        nodes.append(node("Softmax", ["s"], ["y"], axis=1))
    return _written(path, nodes, [value("x", ("batch", *shape))], matrix)


def word_model(path: Path, weights: NDArray[Any]) -> Path:
    """Scores are the sum over the words that the mask lets through: ``weights`` is (words, classes)."""
    nodes = [
        node("Gather", ["w", "ids"], ["each"]),
        node("Cast", ["mask"], ["seen"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["seen", "axes"], ["wide"]),
        node("Mul", ["each", "wide"], ["kept"]),
        node("ReduceSum", ["kept", "one"], ["y"], keepdims=0),
    ]
    inputs = [value(name, ("batch", "length"), TensorProto.INT64) for name in ("ids", "mask")]
    axes = (weight("axes", np.array([2], np.int64)), weight("one", np.array([1], np.int64)))
    return _written(path, nodes, inputs, weights, *axes)


def _written(path: Path, nodes: list[Any], inputs: list[Any], matrix: NDArray[Any], *others: Any) -> Path:
    outputs = [value("y", ("batch", matrix.shape[1]))]
    weights = [weight("w", matrix.astype(np.float32)), *others]
    path.write_bytes(model(graph(nodes, inputs, outputs, weights)).SerializeToString())
    return path


def pictured(mean: tuple[float, ...] = (0.5, 0.4, 0.3), std: tuple[float, ...] = (0.1, 0.2, 0.3)) -> Form:
    """Pictures of three channels, normalized so."""
    how = ImagePreprocessing(mean=mean, std=std)
    ends = [(np.array([[[end]] for end in (bound,) * 3]) - _up(mean)) / _up(std) for bound in (0.0, 1.0)]
    return Form("image", 0, *ends, FittedPreprocessing(preprocessing=how, inputs=("x",), input_shape=(3, None, None)))


def _up(values: tuple[float, ...]) -> NDArray[Any]:
    return np.array(values).reshape(3, 1, 1)


def worded() -> Form:
    """Texts of the words above, padded with 0, where 2 is a mark."""
    return Form("text", 0, tokenizer=tokenizer(), tokens=TokenIds(0, 1, (0, 2)))


def tokenizer(words: tuple[str, ...] = WORDS) -> Tokenizer:
    made = Tokenizer(models.WordLevel({word: index for index, word in enumerate(words)}, "[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def tabled() -> Form:
    """Six numbers a row: age, income and its mark, and a town of two or another."""
    return Form("table", fitted=table_facts())


def table_facts() -> FittedPreprocessing:
    names = tuple(column.name for column in COLUMNS)
    return FittedPreprocessing(preprocessing=TabularPreprocessing(), inputs=names, input_shape=(6,), table=COLUMNS)
