"""Whether data and teachers fit a model, from what intake learnt of each. The engine checks the bytes again."""

from collections.abc import Iterator

from pith.dataset import (
    ColumnFacts,
    DatasetFacts,
    ImagePreprocessing,
    Preprocessing,
    SplitFacts,
    TextPreprocessing,
)
from pith.errors import PithError
from pith.facts import ModelFacts, TensorFacts

Sizes = tuple[int | None, ...]


def class_numbers(data: DatasetFacts | None) -> bool:
    """Whether labels are class numbers; so it is where nothing says otherwise."""
    return data is None or data.task is None or data.task.endswith("classification")


def split_of(data: DatasetFacts, name: str) -> SplitFacts | None:
    return next((split for split in data.splits if split.name == name), None)


def data_problems(data: DatasetFacts, model: ModelFacts, wanted: Preprocessing | None) -> Iterator[PithError]:
    """``dataset_mismatch`` for each thing that does not fit; ``wanted`` is the job's own preprocessing."""
    if any(column.type == "tensor" for column in _inputs(data)):
        yield from _tensors(data, model)
    else:
        yield from _made(data, model, wanted or _agreed(data, model))
    if any(split.labelled for split in data.splits):
        yield from _labels(data, model.outputs[0])


def _agreed(data: DatasetFacts, model: ModelFacts) -> Preprocessing | None:
    """The dataset's where its schema asked for it, then the model's, then what was derived from the data."""
    return data.preprocessing if data.preprocessing_declared else model.preprocessing or data.preprocessing


def teacher_problem(teacher: ModelFacts, student: ModelFacts) -> PithError | None:
    """``teacher_mismatch`` where inputs or the first output differ."""
    if _ends(teacher) == _ends(student):
        return None
    return PithError("teacher_mismatch", teacher=_ends_shown(teacher), student=_ends_shown(student))


# ---- inputs


def _inputs(data: DatasetFacts) -> list[ColumnFacts]:
    return [column for column in data.columns if column.role == "input"]


def _tensors(data: DatasetFacts, model: ModelFacts) -> Iterator[PithError]:
    """Arrays go into the model as they are: by name, or in order where no name is an input's."""
    columns = {column.name: column for column in _inputs(data)}
    if not columns.keys() & {tensor.name for tensor in model.inputs}:
        columns = {tensor.name: column for tensor, column in zip(model.inputs, columns.values(), strict=False)}
    for tensor in model.inputs:
        column = columns.get(tensor.name)
        if column is None:
            yield _mismatch(f"the input {tensor.name}", "has no column", "the model takes it; add it")
            continue
        if column.shape is not None and not _fits(column.shape, tensor.shape[1:]):
            yield _shape_mismatch(f"the column {column.name}", column.shape, tensor)
        if (_floating(tensor.dtype)) != (_floating(column.dtype)):
            way_out = f"the model takes {tensor.dtype}; save the values so, scaled as in training"
            yield _mismatch(f"the column {column.name}", f"has the dtype {column.dtype}", way_out)


def _made(data: DatasetFacts, model: ModelFacts, preprocessing: Preprocessing | None) -> Iterator[PithError]:
    """Samples become tensors by preprocessing: what it gives must be what the first input takes."""
    first = model.inputs[0]
    shape = data.input_shape if preprocessing == data.preprocessing else given_shape(preprocessing)
    if shape is not None and not _fits(shape, first.shape[1:]):
        yield _shape_mismatch("preprocessing", shape, first)
    if isinstance(preprocessing, TextPreprocessing):
        yield from _text(data, model, preprocessing)


def _text(data: DatasetFacts, model: ModelFacts, preprocessing: TextPreprocessing) -> Iterator[PithError]:
    first, own = model.inputs[0], preprocessing.tokenizer == "model"
    if own and not model.tokenizer:
        way_out = "upload the model's Hugging Face folder with its tokenizer, or set preprocessing.tokenizer to words"
        yield _mismatch("the dataset's text", "needs the model's tokenizer, and the model brought none", way_out)
    if _floating(first.dtype):
        problem = f"becomes token numbers, and the model's input {first.name} takes {first.dtype}"
        yield _mismatch("the dataset's text", problem, "use a model that takes integers")
    tables = [layer.shape[0] for layer in model.layers if layer.kind == "Embedding" and layer.shape]
    if not own and data.vocabulary and tables and data.vocabulary > max(tables):
        problem = f"has a vocabulary of {data.vocabulary:,} tokens, and the model's table {max(tables):,} rows"
        yield _mismatch("the dataset's text", problem, "lower preprocessing.vocabulary or use a larger table")


def given_shape(preprocessing: Preprocessing | None) -> Sizes | None:
    """The shape of one sample, as far as preprocessing alone says it."""
    if isinstance(preprocessing, ImagePreprocessing):
        return (preprocessing.channels, *(preprocessing.size or (None, None)))
    if isinstance(preprocessing, TextPreprocessing):
        return (preprocessing.length,)
    return None


# ---- labels


def _labels(data: DatasetFacts, output: TensorFacts) -> Iterator[PithError]:
    shown = f"the model's output is ({_shown(output.shape)})"
    if class_numbers(data):
        width = output.shape[1] if len(output.shape) == 2 else None
        if width is None:
            yield _mismatch("the dataset", "has class numbers", f"{shown}, and labels need (samples, classes)")
        elif len(data.classes) > width:
            problem = f"has {len(data.classes)} classes and the model {width} outputs"
            yield _mismatch("the dataset", problem, "use a model with an output for each class")
        return
    label = next((column for column in data.columns if column.role == "label"), None)
    if label is not None and label.shape is not None and not _targets_fit(label.shape, output.shape):
        problem = f"has targets of the shape ({_shown(label.shape)})"
        yield _mismatch(f"the column {label.name}", problem, f"{shown}; targets need the same, without the batch")


def _targets_fit(target: Sizes, output: Sizes) -> bool:
    return _fits(target, output[1:]) or (target == () and len(output) == 2 and output[1] in (None, 1))


# ---- words


def _fits(shape: Sizes, wanted: Sizes) -> bool:
    return len(shape) == len(wanted) and all(
        have is None or want in (None, have) for have, want in zip(shape, wanted, strict=True)
    )


def _floating(dtype: str) -> bool:
    return "float" in dtype or dtype == "double"


def _shown(sizes: Sizes) -> str:
    return ", ".join("any" if size is None else str(size) for size in sizes)


def _shape_mismatch(what: str, shape: Sizes, tensor: TensorFacts) -> PithError:
    way_out = f"the model's input {tensor.name} takes ({_shown(tensor.shape[1:])}); change preprocessing or reshape"
    return _mismatch(what, f"gives samples of the shape ({_shown(shape)})", way_out)


def _mismatch(array: str, problem: str, way_out: str) -> PithError:
    return PithError("dataset_mismatch", array=array, problem=problem, way_out=way_out)


def _ends(model: ModelFacts) -> tuple[object, ...]:
    return tuple((tensor.shape[1:], tensor.dtype) for tensor in model.inputs), model.outputs[0].shape


def _ends_shown(model: ModelFacts) -> str:
    inputs = " and ".join(f"({_shown(tensor.shape[1:])})" for tensor in model.inputs)
    return f"({_shown(model.outputs[0].shape[1:])}) for {inputs}"
