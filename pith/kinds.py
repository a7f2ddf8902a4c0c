"""What models are for and what data hold, in words, and the way out where they differ. Not covered: shapes, classes."""

from typing import Final

from pith.dataset import DatasetFacts, DatasetFormat
from pith.errors import PithError
from pith.facts import ModelFacts, TensorFacts
from pith.task import Task

Sizes = tuple[int | None, ...]
SAID: Final = {"image": "pictures", "audio": "sounds", "text": "texts", "tabular": "rows of a table"}
_TASKS: Final[dict[Task, str]] = {
    "image-classification": "image",
    "audio-classification": "audio",
    "text-classification": "text",
    "tabular-classification": "tabular",
    "tabular-regression": "tabular",
}
_SUCH: Final = {"image": "pith/resnet20", "audio": "pith/ds_cnn", "text": "pith/text_cnn", "tabular": "pith/mlp"}
_LABELLING: Final[dict[DatasetFormat, str]] = {
    "npz": "add the array y_train beside x_train",
    "table": 'send it again with its label column named, as schema={"label": "price"}',
    "hugging_face": 'send it again with its label column named, as schema={"label": "price"}',
    "folders": "put the files of each class into a folder of its own, as train/cat",
    "webdataset": "give each sample of train a file key.cls",
}


def _kind(model: ModelFacts, family: str) -> str | None:
    """image, audio, text or tabular: by the task, else by the first input; None where neither says it, as where one
    channel may be a picture or the spectrogram of a sound."""
    first = model.inputs[0]
    if model.task in _TASKS:
        return _TASKS[model.task]
    if not floating(first.dtype):
        return "text"
    channels = (3,) if family == "audio" else (1, 3, None)
    return "image" if len(first.shape) == 4 and first.shape[1] in channels else None


def wrong_kind(data: DatasetFacts, family: str, model: ModelFacts) -> PithError | None:
    """``dataset_mismatch`` where the model is known to be for other samples than those of ``family``."""
    kind = _kind(model, family)
    if kind is None or kind == family:
        return None
    such = f"use a model for {SAID[family]}, such as {_SUCH[family]}{_arguments(data, family)}"
    problem = f"holds {SAID[family]}, and this model is for {SAID[kind]} ({takes(model.inputs[0])})"
    return PithError("dataset_mismatch", array="the dataset", problem=problem, way_out=such)


def _arguments(data: DatasetFacts, family: str) -> str:
    if family == "tabular" and data.input_shape:
        return f" with in_features={data.input_shape[0]}"
    return f" with vocab_size={data.vocabulary}" if family == "text" and data.vocabulary else ""


def takes(tensor: TensorFacts) -> str:
    """``its input image takes numbers of the shape (3, 32, 32)``."""
    values = "numbers" if floating(tensor.dtype) else "integers"
    return f"its input {tensor.name} takes {values} of the shape ({shown(tensor.shape[1:])})"


def split_way_out(format: DatasetFormat | None, there: bool) -> str:
    """What to do about a training split that is missing, or that is ``there`` without labels."""
    if not there:
        return "add one"
    return _LABELLING[format] if format else "name the label when the dataset is uploaded, or add it"


def floating(dtype: str) -> bool:
    return "float" in dtype or dtype == "double"


def shown(sizes: Sizes) -> str:
    return ", ".join("any" if size is None else str(size) for size in sizes)
