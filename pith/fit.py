"""Whether data and teachers fit a model, from what intake learnt of each. The engine checks the bytes again."""

from collections.abc import Iterator

from pith.augmented import Trained
from pith.dataset import (
    AudioPreprocessing,
    ColumnFacts,
    DatasetFacts,
    ImagePreprocessing,
    Preprocessing,
    SplitFacts,
    TextPreprocessing,
)
from pith.errors import PithError
from pith.facts import ModelFacts, TensorFacts
from pith.kinds import Sizes, floating, shown, wrong_kind

_FAMILIES = {"image": "image", "audio": "audio", "text": "text", "numeric": "tabular", "categorical": "tabular"}


def class_numbers(data: DatasetFacts | None) -> bool:
    """Whether labels are class numbers; so it is where nothing says otherwise."""
    if data is None or data.task is None:
        return data is None or not any(floating(column.dtype) for column in data.columns if column.role == "label")
    return data.task.endswith("classification")


def split_of(data: DatasetFacts, name: str) -> SplitFacts | None:
    return next((split for split in data.splits if split.name == name), None)


def family_of(data: DatasetFacts) -> str:
    """image, audio, text, tabular, or tensor for arrays that go in as they are."""
    return _FAMILIES.get(next((column.type for column in _inputs(data)), "tensor"), "tensor")


def trained_on(data: DatasetFacts, model: ModelFacts, wanted: Preprocessing | None) -> Trained | None:
    """What the training split will be to the model; None where there is no such split."""
    if split_of(data, "train") is None:
        return None
    how, first, family = settled(data, model, wanted), model.inputs[0], family_of(data)
    return Trained(
        family="image" if isinstance(how, ImagePreprocessing) and family in ("image", "tensor") else family,
        shape=first.shape[1:],
        floating=floating(first.dtype),
        classes=class_numbers(data),
        mel=isinstance(how, AudioPreprocessing) and how.features == "mel",
        tokens=family == "text",
    )


def data_problems(data: DatasetFacts, model: ModelFacts, wanted: Preprocessing | None) -> Iterator[PithError]:
    """``dataset_mismatch`` for each thing about the inputs that does not fit; ``wanted`` is the job's own
    preprocessing."""
    family = family_of(data)
    told = wanted or (data.preprocessing if data.preprocessing_declared else None)
    if told is not None and told.kind != family and (family, told.kind) != ("tensor", "image"):
        way_out = "leave it out: tensors go in as they are" if family == "tensor" else f"declare the kind {family}"
        yield _mismatch("preprocessing", f"is for {told.kind}, and the inputs are {family}", way_out)
    elif family == "tensor" and told is None:
        yield from _tensors(data, model)
    elif family != "tensor":
        yield from _made(data, model, settled(data, model, wanted))


def label_problems(data: DatasetFacts, output: TensorFacts) -> Iterator[PithError]:
    """``dataset_mismatch`` for labels that such an output is not for."""
    if any(split.labelled for split in data.splits):
        yield from _labels(data, output)


def settled(data: DatasetFacts, model: ModelFacts, wanted: Preprocessing | None) -> Preprocessing | None:
    """The job's own, then the dataset's where its schema asked for it, then the model's, then what was derived from the
    samples. Sizes that nobody declared are the model's."""
    told = wanted or (data.preprocessing if data.preprocessing_declared else None)
    if (
        told is None
        and model.preprocessing
        and data.preprocessing
        and model.preprocessing.kind == data.preprocessing.kind
    ):
        told = model.preprocessing
    how, shape = told or data.preprocessing, model.inputs[0].shape
    if isinstance(how, ImagePreprocessing) and len(shape) == 4:
        return _sized(how, shape, told is not None)
    if isinstance(how, TextPreprocessing) and told is None:
        length = shape[1] if len(shape) == 2 else None
        tokenizer = "model" if model.tokenizer else how.tokenizer
        return how.model_copy(update={"length": length or how.length, "tokenizer": tokenizer})
    if isinstance(how, AudioPreprocessing) and told is None and (len(shape) == 2 or shape[1:-1] == (1,)):
        return _waves(how, shape[-1])
    return how


def _waves(how: AudioPreprocessing, length: int | None) -> AudioPreprocessing:
    """For models that take one number after another: as many of them as the model takes."""
    seconds = how.seconds if length is None else length / how.sample_rate
    return how.model_copy(update={"features": "waveform", "seconds": seconds})


def _sized(how: ImagePreprocessing, shape: Sizes, declared: bool) -> ImagePreprocessing:
    channels, height, width = shape[1:]
    if height is not None and width is not None and (how.size is None or not declared):
        how = how.model_copy(update={"size": (height, width)})
    return how.model_copy(update={"channels": channels}) if not declared and channels in (1, 3) else how


def teacher_problem(teacher: ModelFacts, student: ModelFacts) -> PithError | None:
    """``teacher_mismatch`` where inputs or the first output differ."""
    if same_ends(teacher, student):
        return None
    return PithError("teacher_mismatch", teacher=ends_shown(teacher), student=ends_shown(student))


def same_ends(one: ModelFacts, other: ModelFacts) -> bool:
    """Whether they take the same inputs and give the same first output."""
    return _ends(one) == _ends(other)


# ---- inputs


def _inputs(data: DatasetFacts) -> list[ColumnFacts]:
    return [column for column in data.columns if column.role == "input"]


def _tensors(data: DatasetFacts, model: ModelFacts) -> Iterator[PithError]:
    """Arrays go into the model as they are, by the names of its inputs; a single one whatever it is called."""
    columns = {column.name: column for column in _inputs(data)}
    if len(columns) == len(model.inputs) == 1:
        columns = {model.inputs[0].name: next(iter(columns.values()))}
    for name in columns.keys() - {tensor.name for tensor in model.inputs}:
        yield _mismatch(f"the column {name}", "is no input of the model", "leave it out")
    for tensor in model.inputs:
        column = columns.get(tensor.name)
        if column is None:
            yield _mismatch(f"the input {tensor.name} of the model", "has no column", "add it")
            continue
        if column.shape is not None and not _fits(column.shape, tensor.shape[1:]):
            yield _shape_mismatch(f"the column {column.name}", column.shape, tensor, "reshape or transpose it")
        if floating(tensor.dtype) != floating(column.dtype):
            yield _mismatch(f"the column {column.name}", *_of_numbers(column.dtype, tensor))


def _of_numbers(dtype: str, tensor: TensorFacts) -> tuple[str, str]:
    """The problem of numbers that are not of the model's kind, and the way out."""
    if floating(tensor.dtype):
        takes, way_out = "fractions", "scale them as in training and save them as float32"
    else:
        takes, way_out = "integers, such as token ids", "save integers, or use a model that takes fractions"
    return f"has the dtype {dtype}, and the model's input {tensor.name} takes {takes}", way_out


def _made(data: DatasetFacts, model: ModelFacts, preprocessing: Preprocessing | None) -> Iterator[PithError]:
    """Samples become tensors by preprocessing: what it gives must be what the first input takes. For samples of a kind
    that the model is not for, one sentence says all of it."""
    problems = list(_unfit(data, model, preprocessing))
    other = wrong_kind(data, family_of(data), model) if problems else None
    yield from [other] if other else problems


def _unfit(data: DatasetFacts, model: ModelFacts, preprocessing: Preprocessing | None) -> Iterator[PithError]:
    first, family = model.inputs[0], family_of(data)
    shape = given_shape(preprocessing) or (data.input_shape if preprocessing == data.preprocessing else None)
    if shape is not None and family == "audio" and len(first.shape) == len(shape) + 2:
        shape = (1, *shape)  # a sound has one channel where the model has room for it
    if shape is not None and not _fits(shape, first.shape[1:]):
        yield _shape_mismatch("preprocessing", shape, first, _reshaping(family, shape))
    if family != "text" and not floating(first.dtype):
        problem = f"becomes fractions, and the model's input {first.name} takes integers, such as token ids"
        yield _mismatch("the dataset", problem, "use a model that takes fractions")
    if isinstance(preprocessing, TextPreprocessing):
        yield from _text(data, model, preprocessing)


def _text(data: DatasetFacts, model: ModelFacts, preprocessing: TextPreprocessing) -> Iterator[PithError]:
    first, own = model.inputs[0], preprocessing.tokenizer == "model"
    if own and not model.tokenizer:
        way_out = "upload the model's Hugging Face folder with its tokenizer, or set preprocessing.tokenizer to words"
        yield _mismatch("the dataset's text", "needs the model's tokenizer, and the model brought none", way_out)
    if floating(first.dtype):
        problem = f"becomes token numbers, and the model's input {first.name} takes {first.dtype}"
        yield _mismatch("the dataset's text", problem, "use a model that takes integers")
    tables = [layer.shape[0] for layer in model.layers if layer.kind == "Embedding" and layer.shape]
    size = min(data.vocabulary or 0, preprocessing.vocabulary)
    if not own and tables and size > max(tables):
        problem = f"has a vocabulary of {size:,} tokens, and the model's table {max(tables):,} rows"
        yield _mismatch("the dataset's text", problem, "lower preprocessing.vocabulary or use a larger table")


def given_shape(preprocessing: Preprocessing | None) -> Sizes | None:
    """The shape of one sample, as far as preprocessing alone says it."""
    if isinstance(preprocessing, ImagePreprocessing):
        return (preprocessing.channels, *(preprocessing.size or (None, None)))
    if isinstance(preprocessing, TextPreprocessing):
        return (preprocessing.length,)
    if isinstance(preprocessing, AudioPreprocessing):
        length = max(1, round(preprocessing.seconds * preprocessing.sample_rate))
        waveform = preprocessing.features == "waveform"
        return (length,) if waveform else (preprocessing.mels, 1 + length // preprocessing.hop)
    return None


# ---- labels

MORE_CLASSES = (
    "let finetune.head give the model an output for each class as the first step, or use a model that has them"
)


def _labels(data: DatasetFacts, output: TensorFacts) -> Iterator[PithError]:
    gives = f"the model's output is ({shown(output.shape)})"
    if class_numbers(data):
        width = output.shape[1] if len(output.shape) == 2 else None
        if width is None:
            yield _mismatch("the dataset", "has class numbers", f"{gives}, and labels need (samples, classes)")
        elif count_classes(data) > width:
            problem = f"has {count_classes(data)} classes and the model {width} outputs"
            yield _mismatch("the dataset", problem, MORE_CLASSES)
        return
    label = next((column for column in data.columns if column.role == "label"), None)
    if label is not None and label.shape is not None and not _targets_fit(label.shape, output.shape):
        problem = f"has targets of the shape ({shown(label.shape)})"
        yield _mismatch(f"the column {label.name}", problem, f"{gives}; targets need the same, without the batch")


def count_classes(data: DatasetFacts) -> int:
    """Classes up to the last one that has samples."""
    counted = {name for split in data.splits for name, count in split.classes.items() if count}
    present = [index for index, name in enumerate(data.classes) if name in counted]
    return 1 + max(present) if present else len(data.classes)


def _targets_fit(target: Sizes, output: Sizes) -> bool:
    return _fits(target, output[1:]) or (target == () and len(output) == 2 and output[1] in (None, 1))


# ---- words


def _fits(shape: Sizes, wanted: Sizes) -> bool:
    return len(shape) == len(wanted) and all(
        have is None or want in (None, have) for have, want in zip(shape, wanted, strict=True)
    )


def _reshaping(family: str, shape: Sizes) -> str:
    if family == "tabular":
        return f"make a model with in_features={shape[0]}, or choose other columns"
    return "set the preprocessing, or make a model for this shape"


def _shape_mismatch(what: str, shape: Sizes, tensor: TensorFacts, way_out: str) -> PithError:
    takes = f"the model's input {tensor.name} takes ({shown(tensor.shape[1:])})"
    return _mismatch(what, f"gives samples of the shape ({shown(shape)})", f"{takes}; {way_out}")


def _mismatch(array: str, problem: str, way_out: str) -> PithError:
    return PithError("dataset_mismatch", array=array, problem=problem, way_out=way_out)


def _ends(model: ModelFacts) -> tuple[object, ...]:
    return tuple((tensor.shape[1:], tensor.dtype) for tensor in model.inputs), model.outputs[0].shape


def ends_shown(model: ModelFacts) -> str:
    """``(10) for (3, 32, 32)``."""
    inputs = " and ".join(f"({shown(tensor.shape[1:])})" for tensor in model.inputs)
    return f"({shown(model.outputs[0].shape[1:])}) for {inputs}"
