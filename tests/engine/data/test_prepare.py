"""From the canonical form to arrays: values, shapes, which preprocessing counts, and what does not fit the model."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from engine.data import Dataset
from engine.data.prepare import open_dataset
from engine.signature import Signature, TensorSpec
from pith.dataset import (
    AudioPreprocessing,
    FittedPreprocessing,
    ImagePreprocessing,
    Preprocessing,
    TabularPreprocessing,
    TextPreprocessing,
)
from pith.errors import PithError
from tests.engine.data.uploads import check, json_lines, npz, picture, pictures_in_folders, sound, staged, zipped

ANY = None


def takes(*shape: int | None, dtype: torch.dtype = torch.float32, name: str = "x") -> TensorSpec:
    return TensorSpec(name, (None, *shape), (2, *(size or 8 for size in shape)), dtype)


def model(*inputs: TensorSpec, outputs: int = 2) -> Signature:
    return Signature(inputs, (TensorSpec("output", (None, outputs), (2, outputs), torch.float32),))


def opened(root: Path, data: bytes, signature: Signature, schema: Any = None, **given: Any) -> Dataset:
    check(root, data, schema)
    folder = staged(root)
    if tokenizer := given.pop("tokenizer", None):
        tokenizer.save(str(folder.input("tokenizer.json")))
    return open_dataset(folder, signature, **given)


def fitted(root: Path) -> FittedPreprocessing:
    return FittedPreprocessing.model_validate_json((root / "job/out/preprocessing.json").read_bytes())


def test_pictures_become_bytes_on_disk_and_normalized_floats_in_a_batch(tmp_path: Path) -> None:
    how = ImagePreprocessing(mean=(0.5, 0.4, 0.3), std=(0.1, 0.2, 0.3))
    data = opened(tmp_path, zipped(pictures_in_folders()), model(takes(3, 6, 8)), asked=how)
    assert data.train is not None and data.train.x[0].shape == (8, 3, 6, 8) and data.family == "image"
    blue = [(30 / 255 - 0.5) / 0.1, (30 / 255 - 0.4) / 0.2, (220 / 255 - 0.3) / 0.3]
    (batch,), labels = data.train.inputs(slice(None), (torch.float32,)), data.train.labels(slice(None))
    assert labels is not None and (labels == 0).sum() == 4
    assert torch.allclose(batch[labels == 0][:, :, 3, 4], torch.tensor(blue), atol=1e-5), "class 0 is blue"
    files = list((tmp_path / "job/out/scratch/dataset").glob("*.npy"))
    assert sum(file.stat().st_size for file in files) < 10 * (3 * 6 * 8) + 2 * 200
    assert fitted(tmp_path).classes == ("blue", "red")


def test_the_size_is_the_models_where_nobody_names_one(tmp_path: Path) -> None:
    files = pictures_in_folders() | {"red/9.png": picture((9, 9, 9), size=(30, 20))}
    data = opened(tmp_path, zipped(files), model(takes(1, 12, 12)))
    assert data.train is not None and data.train.x[0].shape[1:] == (1, 12, 12)
    assert fitted(tmp_path).preprocessing == ImagePreprocessing(size=(12, 12), channels=1)


def test_the_shorter_side_is_resized_and_the_centre_cut_out(tmp_path: Path) -> None:
    image = Image.new("RGB", (40, 20), (0, 0, 0))
    image.paste((255, 255, 255), (10, 0, 30, 20))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    how = ImagePreprocessing(size=(10, 10), resize=10)
    data = opened(tmp_path, zipped({"1.png": buffer.getvalue()}), model(takes(3, 10, 10)), asked=how)
    assert data.train is not None and float(data.train.x[0][:].mean()) > 0.97, "only the white centre is left"


def test_bytes_in_an_npz_are_pictures_when_the_schema_says_so(tmp_path: Path) -> None:
    x = np.random.default_rng(0).integers(0, 256, (12, 6, 8), dtype=np.uint8)
    schema = {"preprocessing": {"kind": "image", "channels": 1, "mean": [0.5], "std": [0.5]}}
    data = opened(tmp_path, npz(x_train=x, y_train=np.arange(12) % 2, x_test=x), model(takes(1, 6, 8)), schema)
    assert data.train is not None and np.allclose(data.train.x[0][:], (x[:, None] / 255 - 0.5) / 0.5, atol=1e-6)


TEXTS = [{"text": f"The {w} film, the end.", "label": i % 2} for i, w in enumerate(["good", "bad", "long", "good"] * 3)]


def test_words_become_ids_by_how_often_they_are_there(tmp_path: Path) -> None:
    schema = {"shares": {"test": 0}, "preprocessing": {"kind": "text", "tokenizer": "words", "length": 8}}
    ids, mask = takes(8, dtype=torch.int64, name="input_ids"), takes(8, dtype=torch.int64, name="attention_mask")
    data = opened(tmp_path, json_lines(TEXTS), model(mask, ids), schema)
    tokenizer = Tokenizer.from_file(str(tmp_path / "job/out/tokenizer.json"))
    assert [tokenizer.id_to_token(i) for i in range(8)] == ["[PAD]", "[UNK]", "the", ",", ".", "end", "film", "good"]
    assert data.train is not None and data.train.x[1][0].tolist() == [2, 7, 6, 3, 2, 5, 4, 0]
    assert data.train.x[0][0].tolist() == [1, 1, 1, 1, 1, 1, 1, 0]
    assert fitted(tmp_path).vocabulary == 10 and data.tokens is not None and data.tokens.kept == (0,)
    assert tokenizer.encode("A good NOVELTY").ids[:3] == [1, 7, 1], "the saved tokenizer repeats it, also on new words"


def test_the_vocabulary_is_of_the_training_split_alone(tmp_path: Path) -> None:
    rows = [{**row, "split": "train"} for row in TEXTS] + [
        {"text": "zebra zebra zebra zebra", "label": 1, "split": "test"}
    ]
    opened(tmp_path, json_lines(rows), model(takes(8, dtype=torch.int64)), {"split": "split"})
    assert Tokenizer.from_file(str(tmp_path / "job/out/tokenizer.json")).token_to_id("zebra") is None


def _tokenizer() -> Tokenizer:
    words = ["<pad>", "<unk>", "The", "film", "good"]
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return made


def test_the_models_tokenizer_counts_unless_words_are_asked_for(tmp_path: Path) -> None:
    signature = model(takes(6, dtype=torch.int64))
    data = opened(tmp_path / "a", json_lines(TEXTS), signature, tokenizer=_tokenizer())
    assert data.train is not None and data.train.x[0].shape[1] == 6 and int(np.max(data.train.x[0][:])) == 4
    words = TextPreprocessing(tokenizer="words", length=6)
    other = opened(tmp_path / "b", json_lines(TEXTS), signature, tokenizer=_tokenizer(), asked=words)
    assert other.train is not None and int(np.max(other.train.x[0][:])) > 4


def test_log_mel_spectrograms_are_those_of_another_implementation(tmp_path: Path) -> None:
    how = AudioPreprocessing(sample_rate=8000, seconds=0.25, mels=20, window=200, hop=80)
    files = {"a/1.wav": sound(440), "b/1.wav": sound(880, seconds=0.1)}
    data = opened(tmp_path, zipped(files), model(takes(1, 20, 26)), {"shares": {"test": 0}}, asked=how)
    wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2000) / 8000)
    bank = mel_filter_bank(101, 20, 0.0, 4000.0, 8000, norm="slaney", mel_scale="slaney")
    window = window_function(200, "hann")
    power = spectrogram(wave, window, 200, 80, power=2.0, pad_mode="constant", mel_filters=bank, mel_floor=1e-6)
    expected = np.log(power)
    assert data.train is not None and data.train.x[0].shape == (2, 1, 20, 26)
    assert np.abs(data.train.x[0][0, 0] - expected).max() < 0.01
    assert np.allclose(data.train.x[0][1, 0, :, 15:], np.log(1e-6)), "silence follows a short sound"


def test_waveforms_are_resampled_mixed_and_cut(tmp_path: Path) -> None:
    signature = model(takes(800))
    files = {"a/1.wav": sound(100, rate=16000), "b/1.flac": sound(100, "FLAC", rate=4000)}
    how = AudioPreprocessing(sample_rate=8000, seconds=0.1, features="waveform")
    data = opened(tmp_path, zipped(files), signature, {"shares": {"test": 0}}, asked=how)
    time = np.arange(800) / 8000
    assert data.train is not None
    for row in data.train.x[0][:]:
        assert np.abs(row - 0.5 * np.sin(2 * np.pi * 100 * time))[50:-50].max() < 0.02
    free = opened(tmp_path / "free", zipped(files), model(takes(1, 400)))
    assert free.train is not None and free.train.x[0].shape[1:] == (1, 400), "the model's own length, and its channel"


PEOPLE = [{"age": 20 + i, "job": ["smith", "clerk", None][i % 3], "one": 5, "label": i % 2} for i in range(30)]


def test_tables_are_standardized_by_the_training_split_and_mark_what_is_missing(tmp_path: Path) -> None:
    rows = [{**row, "split": "train"} for row in PEOPLE]
    rows[4]["age"] = None
    rows += [{"age": None, "job": "baker", "one": 7, "label": 1, "split": "test"}]
    data = opened(tmp_path, json_lines(rows), model(takes(6)), {"split": "split"})
    assert data.train is not None and data.test is not None
    x = np.asarray(data.train.x[0])
    ages = np.array([20.0 + i for i in range(30) if i != 4])
    assert np.allclose(np.delete(x[:, 0], 4), (ages - ages.mean()) / ages.std(), atol=1e-5)
    assert x[4, :2].tolist() == [0, 1] and x[:, 1].sum() == 1
    assert x[0, 2:5].tolist() == [0, 1, 0] and x[2, 2:5].tolist() == [0, 0, 1], "clerk, smith, missing"
    assert (x[:, 5] == 0).all() and data.test.x[0][0].tolist() == [0, 1, 0, 0, 1, 2]
    columns = fitted(tmp_path).table
    assert [column.name for column in columns] == ["age", "job", "one"]
    assert json.loads(columns[1].model_dump_json())["categories"] == ["clerk", "smith"]


def test_what_is_asked_for_comes_before_the_schema_and_that_before_the_model(tmp_path: Path) -> None:
    files, signature = zipped(pictures_in_folders()), model(takes(3, ANY, ANY))
    asked, schema, own = (ImagePreprocessing(size=(size, size)) for size in (4, 5, 7))

    def size(name: str, declared: Preprocessing | None, **given: Any) -> int:
        told = {"preprocessing": declared.model_dump()} if declared else None
        data = opened(tmp_path / name, files, signature, told, **given)
        assert data.train is not None
        return data.train.x[0].shape[2]

    assert size("a", schema, asked=asked, model=own) == 4
    assert size("b", schema, model=own) == 5
    assert size("c", None, model=own) == 7
    assert size("d", None) == 6


MIXED = zipped({"a/1.png": picture((1, 1, 1)), "b/1.png": picture((1, 1, 1), size=(3, 3))})
LONG = json_lines([{"text": "one two three four", "label": 0}] * 5)
PICTURES, SIZED = zipped(pictures_in_folders()), model(takes(3, 6, 8))
IDS, IDS_OF_ANY = takes(8, dtype=torch.int64), takes(ANY, dtype=torch.int64)
PAIR = model(takes(8, dtype=torch.int64, name="a"), takes(8, dtype=torch.int64, name="b"))
SOUNDS = zipped({"a/1.wav": sound(440), "b/1.wav": sound(440)})
NOT_FITTING: list[tuple[bytes, Signature, dict[str, Any], str]] = [
    (MIXED, model(takes(3, ANY, ANY)), {}, 'have different sizes, and the model takes any; set "size"'),
    (PICTURES, model(takes(3, 6, 9)), {"asked": ImagePreprocessing(size=(6, 8))}, "takes (samples, 3, 6, 9)"),
    (PICTURES, SIZED, {"asked": ImagePreprocessing(std=(0.0,))}, "above 0"),
    (PICTURES, SIZED, {"asked": ImagePreprocessing(mean=(0.1, 0.2))}, "2 values of mean"),
    (PICTURES, SIZED, {"asked": TabularPreprocessing()}, "is for tabular, and the inputs are image"),
    (LONG, model(IDS), {"words": 5}, "has 6 tokens, and the model's embedding 5; make the model with vocab_size=6"),
    (LONG, model(IDS), {"asked": TextPreprocessing()}, "the model brought none"),
    (LONG, model(takes(8)), {}, "has the dtype int32"),
    (LONG, PAIR, {}, "call its inputs input_ids"),
    (json_lines(PEOPLE), model(takes(9)), {}, "the model takes (samples, 9); make a model with in_features=5"),
    (json_lines(PEOPLE), model(IDS_OF_ANY), {}, "has the dtype float32, and the model takes integers, such as token"),
    (json_lines(PEOPLE), model(takes(5), outputs=1), {}, "has labels from 0 to 1"),
    (SOUNDS, model(takes(1, 99, ANY)), {}, "takes (samples, 1, 99, any)"),
    (
        npz(x_train=np.zeros((2, 3), "f4")),
        model(takes(3)),
        {"asked": ImagePreprocessing()},
        "float32 of the shape (3,)",
    ),
]


@pytest.mark.parametrize(("data", "signature", "given", "said"), NOT_FITTING)
def test_what_does_not_fit_the_model_is_told_with_the_way_out(
    data: bytes, signature: Signature, given: dict[str, Any], said: str, tmp_path: Path
) -> None:
    with pytest.raises(PithError) as caught:
        opened(tmp_path, data, signature, {"shares": {"test": 0}}, **given)
    assert caught.value.code == "dataset_mismatch" and said in caught.value.problem.detail, caught.value.problem.detail


def test_a_column_with_too_many_categories(tmp_path: Path) -> None:
    rows = [{"a": f"name{i}", "b": 1.5 * i, "label": i % 2} for i in range(50)]
    how = {"kind": "tabular", "most_categories": 20}
    with pytest.raises(PithError, match="has more than 20 categories; set its type to ignore"):
        check(tmp_path, json_lines(rows), {"preprocessing": how})


@pytest.mark.parametrize("part", ["dataset.arrow", "dataset.json"])
def test_a_canonical_file_that_was_changed_is_refused(part: str, tmp_path: Path) -> None:
    check(tmp_path, json_lines(PEOPLE))
    folder = staged(tmp_path)
    path, good = folder.root / part, (folder.root / part).read_bytes()
    lies = [b"", good[: len(good) // 2], good[::-1], b"{}", good.replace(b'"samples":24', b'"samples":99')]
    for lie in lies if part == "dataset.json" else lies[:4]:
        path.write_bytes(lie)
        with pytest.raises(PithError, match="dataset_unreadable"):
            open_dataset(folder, model(takes(5)))
