"""What a dataset is: its schema as the uploader declares it, preprocessing, augmentation, and what intake learns."""

from typing import Annotated, Any, Literal

from pydantic import Field

from pith.base import Frozen
from pith.task import LossName, Task

SplitName = Literal["train", "validation", "test"]
DatasetFormat = Literal["npz", "table", "folders", "webdataset", "hugging_face"]


# ---- preprocessing: how a sample becomes the model's input; one class per kind of sample, all of it data


class ImagePreprocessing(Frozen):
    """Decode, resize the shorter side, crop the centre, scale to 0..1, normalize; channels first."""

    kind: Literal["image"] = "image"
    size: tuple[int, int] | None = Field(
        None, description="Height and width of the input; null keeps the pictures' own."
    )
    resize: int | None = Field(None, ge=1, le=4096, description="Shorter side before the crop; null resizes to size.")
    channels: Literal[1, 3] = 3
    mean: tuple[float, ...] = Field((), max_length=3, description="Per channel, of values in 0..1.")
    std: tuple[float, ...] = Field((), max_length=3, description="Per channel, of values in 0..1.")


class TextPreprocessing(Frozen):
    """Text to token ids (and an attention mask where the model takes one), padded and cut to one length."""

    kind: Literal["text"] = "text"
    tokenizer: Literal["model", "words"] = Field(
        "model", description="The model's own, or lower-cased words with a vocabulary made from the training split."
    )
    length: int = Field(128, ge=1, le=8192, description="Tokens of a sample.")
    vocabulary: int = Field(10_000, ge=2, le=1_000_000, description="Most words, for the tokenizer that is made.")


class AudioPreprocessing(Frozen):
    """Decode, mix to mono, resample, cut or pad to one duration; then the waveform, or a log-mel spectrogram."""

    kind: Literal["audio"] = "audio"
    sample_rate: int = Field(16_000, ge=1000, le=192_000)
    seconds: float = Field(1.0, gt=0, le=600)
    features: Literal["waveform", "mel"] = "mel"
    mels: int = Field(40, ge=4, le=512)
    window: int = Field(400, ge=16, le=16384, description="Samples in a window of the spectrogram.")
    hop: int = Field(160, ge=1, le=16384, description="Samples from one window to the next.")


class TabularPreprocessing(Frozen):
    """Numbers standardized by the training split, categories as one-hot columns; missing values have their own mark."""

    kind: Literal["tabular"] = "tabular"
    standardize: bool = True
    most_categories: int = Field(1000, ge=2, le=100_000, description="A column with more is refused.")


Preprocessing = Annotated[
    ImagePreprocessing | TextPreprocessing | AudioPreprocessing | TabularPreprocessing, Field(discriminator="kind")
]


# ---- preprocessing as it was fitted to a training split; ``preprocessing.json`` of a job is the last of these classes


class NumericColumn(Frozen):
    """(value - mean) / std, or 0 where missing; with ``marked`` a column follows that is 1 where it is missing."""

    type: Literal["numeric"] = "numeric"
    name: str
    mean: float = 0.0
    std: float = 1.0
    marked: bool = False


class CategoricalColumn(Frozen):
    """One column for each category, 1 where the value is that one; the last is for missing and unknown values."""

    type: Literal["categorical"] = "categorical"
    name: str
    categories: tuple[str, ...]


class FittedPreprocessing(Frozen):
    """All that it takes to turn a sample into the model's input again, beside ``tokenizer.json`` where there is one."""

    preprocessing: Preprocessing
    inputs: tuple[str, ...] = Field(description="Columns of the dataset, in order.")
    input_shape: tuple[int | None, ...] = Field(description="Of one sample.")
    table: tuple[Annotated[NumericColumn | CategoricalColumn, Field(discriminator="type")], ...] = ()
    vocabulary: int | None = Field(None, description="Tokens that tokenizer.json knows.")
    classes: tuple[str, ...] = Field((), description="Names of the classes, in the order of the model's outputs.")


# ---- the schema


class Shares(Frozen):
    """Parts of the samples that are taken for splits which the upload does not have."""

    validation: float = Field(0.0, ge=0, lt=1)
    test: float = Field(0.2, ge=0, lt=1)


class DatasetSchema(Frozen):
    """What the uploader says about a dataset. Everything may be left out that the files say themselves."""

    task: Task | None = None
    loss: LossName | None = Field(None, description="For the task generic.")
    inputs: tuple[str, ...] = Field((), max_length=4096, description="Columns or arrays that go into the model.")
    label: str | None = Field(None, description="Column or array with the label or target; null: unlabelled, or found.")
    classes: tuple[str, ...] = Field((), max_length=100_000, description="Names of the classes, in the model's order.")
    columns: dict[str, Literal["numeric", "categorical", "ignore"]] = Field(
        default_factory=dict, description="Types of tabular columns that are not what they look like."
    )
    split: str | None = Field(None, description="Column that names the split of a row.")
    shares: Shares = Field(default_factory=Shares, description="Splits that are made when there are none.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of the splits that are made.")
    preprocessing: Preprocessing | None = None


# ---- what intake learns


class SplitFacts(Frozen):
    """One split: how many samples, and how many of each class (by name), where there are classes."""

    name: SplitName
    samples: int = Field(ge=0)
    labelled: bool
    classes: dict[str, int] = Field(default_factory=dict)
    made: bool = Field(False, description="Whether it was made here, stratified by the schema's seed.")


class ColumnFacts(Frozen):
    """One column of the canonical file: its role, type, and the shape of a value where that is fixed."""

    name: str
    role: Literal["input", "label", "split"]
    type: str = Field(description="tensor, image, audio, text, numeric or categorical.")
    dtype: str
    shape: tuple[int, ...] | None = None


class DatasetFacts(Frozen):
    """What was learnt about a dataset. ``preprocessing`` is the one that jobs use unless they name another."""

    format: DatasetFormat
    task: Task | None
    loss: LossName | None = None
    samples: int = Field(ge=0)
    splits: tuple[SplitFacts, ...]
    classes: tuple[str, ...] = ()
    columns: tuple[ColumnFacts, ...]
    preprocessing: Preprocessing | None = None
    preprocessing_declared: bool = Field(
        False, description="Whether the schema asked for it; one that was only derived gives way to the model's own."
    )
    input_shape: tuple[int | None, ...] | None = Field(
        None,
        description="Of one sample after preprocessing, where it is known: in_features of a table, (1, mels, frames).",
    )
    vocabulary: int | None = Field(
        None, description="Tokens of the vocabulary made from the training split: vocab_size."
    )
    notes: tuple[str, ...] = ()


class Preview(Frozen):
    """``GET /v1/datasets/{id}/preview``: class counts and a few samples, made at intake."""

    splits: tuple[SplitFacts, ...]
    samples: tuple[dict[str, Any], ...] = Field(
        description="Values by column; a picture or a sound as a data: address, long values cut."
    )
