"""From the canonical form to arrays: the preprocessing applied once, into memory-mapped files of the scratch folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image

from engine.data import pictures, sounds, tabular, texts
from engine.data.arrow_types import to_numpy
from engine.data.canonical import Canonical, open_canonical
from engine.data.choose import choose
from engine.data.fit import check_family, family, fit
from engine.data.fits import check_finite, check_inputs, check_labels
from engine.data.refusals import bad_sample, mismatch
from engine.data.source import SPLITS
from engine.data.split import Dataset, Fitted, Pictures, Rows, Split, TokenIds
from engine.jobdir import JobDir
from engine.signature import Signature, TensorSpec
from pith.dataset import AudioPreprocessing, ImagePreprocessing, Preprocessing, SplitName
from pith.ids import DatasetId

Array = np.ndarray[Any, Any]
Convert = Callable[[pa.RecordBatch, int], tuple[Array, ...]]
"""``convert(rows, number of the first row)`` gives one array for each input of the model."""


def open_dataset(
    folder: JobDir,
    signature: Signature,
    asked: Preprocessing | None = None,
    model: Preprocessing | None = None,
    words: int | None = None,
    new_outputs: bool = False,
) -> Dataset:
    """The staged dataset as the model takes it.

    ``asked`` is the job's own preprocessing and ``model`` the one that the model's facts name; ``words`` is how many
    tokens the model's largest embedding knows. What was fitted is written to ``out/preprocessing.json``. Labels that
    the model has no outputs for are let through where it will get ``new_outputs``.

    Raises:
        PithError: ``dataset_unreadable``, ``dataset_mismatch`` or ``dataset_sample_unreadable``.
    """
    canonical = open_canonical(folder.input("dataset.arrow"), folder.input("dataset.json"))
    tokenizer = folder.input("tokenizer.json")
    known = tokenizer if tokenizer.is_file() else None
    how = choose(canonical, signature, asked, model, known)
    fitted = fit(canonical, how, known) if how is not None else None
    if fitted is not None:
        write_fitted(fitted, folder)
    work = _Work(canonical, signature, fitted, words, folder.scratch / "dataset", new_outputs)
    return work.dataset()


def open_other(folder: JobDir, id: DatasetId, signature: Signature, fitted: Fitted | None) -> Dataset:
    """Another dataset, which a step names, with the preprocessing that was fitted to the job's own.

    Raises:
        PithError: as ``open_dataset``.
    """
    source = folder.other(id)
    canonical = open_canonical(source.input("dataset.arrow"), source.input("dataset.json"))
    if fitted is not None:
        check_family(canonical, fitted.facts.preprocessing)
    elif family(canonical) != "tensor":
        raise mismatch(
            f"the dataset {id}",
            f"holds {family(canonical)} samples, and the job's dataset tensors",
            "use two datasets of the same kind",
        )
    return _Work(canonical, signature, fitted, None, folder.scratch / id, new_outputs=True).dataset()


def write_fitted(fitted: Fitted, folder: JobDir) -> None:
    """``out/preprocessing.json``, and ``out/tokenizer.json`` for texts."""
    folder.out.mkdir(parents=True, exist_ok=True)
    folder.preprocessing.write_text(fitted.facts.model_dump_json(indent=2))
    if fitted.tokenizer is not None:
        fitted.tokenizer.save(str(folder.part("tokenizer.json")))


def _token_ids(fitted: Fitted | None, signature: Signature) -> TokenIds | None:
    if fitted is None or fitted.tokenizer is None:
        return None
    place = [_text_role(spec) for spec in signature.inputs].index("ids")
    return texts.token_ids(fitted.tokenizer, place)


@dataclass(frozen=True)
class _Work:
    canonical: Canonical
    signature: Signature
    fitted: Fitted | None
    words: int | None
    desk: Path
    new_outputs: bool

    def dataset(self) -> Dataset:
        self.desk.mkdir(parents=True, exist_ok=True)
        splits = {name: self.split(name) for name in SPLITS}
        image = self.fitted is not None and isinstance(self.fitted.facts.preprocessing, ImagePreprocessing)
        return Dataset(
            splits["train"],
            splits["test"],
            self.canonical.facts.task,
            self.canonical.facts.loss,
            splits["validation"],
            "image" if image else family(self.canonical),
            self.fitted,
            _token_ids(self.fitted, self.signature),
            self.canonical.facts.classes,
        )

    def split(self, name: SplitName) -> Split | None:
        count = self.canonical.samples(name)
        if not count:
            return None
        arrays = self._arrays(name, count)
        values: tuple[Rows, ...] = tuple(self._scaled(array) for array in arrays)
        for spec, label, each in zip(self.signature.inputs, self._names(name), values, strict=True):
            check_inputs(label, each, spec, self._way_out(each))
            if self.fitted is None:
                check_finite(label, np.asarray(arrays[0]) if not isinstance(each, np.ndarray) else each)
        y = self._labels(name, count) if self.canonical.labelled(name) else None
        if y is not None:
            check_labels(self._label_name(name), y, self.signature, self.new_outputs)
        return Split(values, y)

    def _names(self, name: SplitName) -> list[str]:
        """What the inputs are called in errors: by the arrays of an npz where that is where they came from."""
        if self.canonical.facts.format != "npz":
            return [f"the {name} split"] * len(self.signature.inputs)
        if len(self.signature.inputs) == 1:
            return [f"x_{name}"]
        return [f"x_{name}__{spec.name}" for spec in self.signature.inputs]

    def _label_name(self, name: SplitName) -> str:
        if self.canonical.facts.format == "npz":
            return f"y_{name}"
        label = self.canonical.label()
        return f"column {label.name!r} of the {name} split" if label else "the label"

    def _way_out(self, array: Rows) -> str | None:
        """What to do about a wrong shape, which differs with what the samples are."""
        kind = family(self.canonical)
        if kind == "tabular":
            return f"make a model with in_features={array.shape[1]}, or choose other columns"
        if kind == "tensor" and self.fitted is None:
            return None
        return "set the preprocessing, or make a model for this shape"

    def _arrays(self, name: SplitName, count: int) -> list[Array]:
        convert = self._converter()
        files: list[Array] = []
        row = 0
        for batch in self.canonical.batches(name):
            found = convert(batch, row)
            if not files:
                files = [self._file(name, index, count, each) for index, each in enumerate(found)]
            for file, each in zip(files, found, strict=True):
                if each.shape[1:] != file.shape[1:]:
                    raise mismatch(
                        f"the {name} split",
                        f"has samples of the shapes {file.shape[1:]} and {each.shape[1:]}",
                        'set "size" in the preprocessing',
                    )
                file[row : row + len(each)] = each
            row += batch.num_rows
        return files

    def _file(self, name: str, index: int, count: int, like: Array) -> Array:
        path = self.desk / f"{name}-{index}.npy"
        found: Array = np.lib.format.open_memmap(path, "w+", like.dtype, (count, *like.shape[1:]))
        return found

    def _converter(self) -> Convert:
        if self.fitted is None:
            return self._tensors()
        how, names = self.fitted.facts.preprocessing, self.fitted.facts.inputs
        if isinstance(how, ImagePreprocessing):
            return lambda batch, row: (_pictures(batch, names[0], how, row, self._shape(names[0])),)
        if isinstance(how, AudioPreprocessing):
            return lambda batch, row: (_as_wide(_sounds(batch, names[0], how, row), self.signature.inputs[0]),)
        if how.kind == "text":
            return self._texts()
        table = self.fitted.facts.table
        return lambda batch, row: (tabular.transform(batch, table),)

    def _shape(self, name: str) -> tuple[int, ...] | None:
        return next((column.shape for column in self.canonical.inputs() if column.name == name), None)

    def _tensors(self) -> Convert:
        """The columns by the names of the model's inputs; a single one whatever it is called."""
        columns = {column.name: column.shape or () for column in self.canonical.inputs()}
        wanted = [spec.name for spec in self.signature.inputs]
        if len(wanted) == 1 and len(columns) == 1:
            wanted = list(columns)
        if missing := next((name for name in wanted if name not in columns), None):
            there = ", ".join(columns)
            raise mismatch(
                f"the input {missing!r} of the model",
                f"is not in the dataset, which has {there}",
                f"name the arrays x_train__{missing} and so on, or the column {missing}",
            )
        if extra := next((name for name in columns if name not in wanted), None):
            raise mismatch(
                f"column {extra!r}", "is no input of the model", f"leave it out; it takes {', '.join(wanted)}"
            )
        return lambda batch, row: tuple(to_numpy(batch.column(name), columns[name]) for name in wanted)

    def _texts(self) -> Convert:
        assert self.fitted is not None and self.fitted.tokenizer is not None
        tokenizer, names = self.fitted.tokenizer, self.fitted.facts.inputs
        size = self.fitted.facts.vocabulary or 0
        if self.words is not None and size > self.words:
            raise mismatch(
                "the vocabulary",
                f"has {size} tokens, and the model's embedding {self.words}",
                f"make the model with vocab_size={size}, or set vocabulary to {self.words} in the preprocessing",
            )
        roles = [_text_role(spec) for spec in self.signature.inputs]
        if roles.count("ids") != 1:
            raise mismatch(
                "the model",
                f"takes {', '.join(spec.name for spec in self.signature.inputs)}, and texts become token ids",
                "call its inputs input_ids, attention_mask and token_type_ids",
            )

        def convert(batch: pa.RecordBatch, row: int) -> tuple[Array, ...]:
            encoded = texts.encode(tokenizer, batch, names)
            return tuple(getattr(encoded, role) for role in roles)

        return convert

    def _scaled(self, array: Array) -> Rows:
        how = self.fitted.facts.preprocessing if self.fitted else None
        if not isinstance(how, ImagePreprocessing):
            return array
        shape = (how.channels, 1, 1)
        mean = np.broadcast_to(np.array(how.mean or (0.0,)), (how.channels,)).reshape(shape)
        std = np.broadcast_to(np.array(how.std or (1.0,)), (how.channels,)).reshape(shape)
        return Pictures(array, mean, std)

    def _labels(self, name: SplitName, count: int) -> Array:
        label = self.canonical.label()
        assert label is not None
        shape = label.shape if label.type == "tensor" and label.shape is not None else ()
        found = [to_numpy(batch.column(label.name), shape) for batch in self.canonical.batches(name)]
        return np.concatenate(found)[:count]


def _text_role(spec: TensorSpec) -> str:
    name = spec.name.lower()
    return "mask" if "mask" in name else "types" if "type" in name or "segment" in name else "ids"


def _pictures(
    batch: pa.RecordBatch, name: str, how: ImagePreprocessing, row: int, shape: tuple[int, ...] | None
) -> Array:
    found = []
    for index, image in enumerate(_images(batch.column(name), shape, row)):
        try:
            found.append(pictures.pixels(image, how.channels, how.size, how.resize))
        except pictures.BadPicture as problem:
            raise bad_sample(row + index, name, str(problem)) from None
    if len({one.shape for one in found}) > 1:
        raise mismatch(
            "the pictures", "have different sizes, and the model takes any", 'set "size" in the preprocessing'
        )
    return np.stack(found)


def _images(array: pa.Array, shape: tuple[int, ...] | None, row: int) -> Iterator[Image.Image]:
    if shape is not None:
        yield from (_image_of(values) for values in to_numpy(array, shape))
        return
    for index, value in enumerate(array):
        try:
            yield pictures.decode(value.as_py())
        except pictures.BadPicture as problem:
            raise bad_sample(row + index, "image", str(problem)) from None


def _image_of(values: Array) -> Image.Image:
    """A tensor of bytes as a picture: (height, width), or with 1 or 3 channels at either end."""
    if values.dtype == np.uint8:
        if values.ndim == 3 and values.shape[0] in (1, 3) and values.shape[2] not in (1, 3):
            values = values.transpose(1, 2, 0)
        if values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (1, 3)):
            return Image.fromarray(np.ascontiguousarray(values[:, :, 0] if values.shape[2:] == (1,) else values))
    raise mismatch(
        "preprocessing",
        f"is for pictures, and samples are {values.dtype} of the shape {values.shape}",
        "save pictures as uint8 of (height, width) or (height, width, channels), or leave it out",
    )


def _sounds(batch: pa.RecordBatch, name: str, how: AudioPreprocessing, row: int) -> Array:
    found = []
    for index, value in enumerate(batch.column(name)):
        try:
            found.append(sounds.features(*sounds.decode(value.as_py()), how))
        except sounds.BadSound as problem:
            raise bad_sample(row + index, name, str(problem)) from None
    return np.stack(found)


def _as_wide(array: Array, spec: TensorSpec) -> Array:
    """With a dimension of one channel in front where the model has one dimension more."""
    return array[:, None] if len(spec.shape) == array.ndim + 1 else array
