"""Every format that is taken ends in the same canonical form, whatever the file is called."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from engine.data import limits
from pith.dataset import DatasetFacts
from tests.engine.data.uploads import (
    PITCHES,
    arrow_file,
    canonical,
    check,
    json_lines,
    npz,
    picture,
    pictures_in_folders,
    sound,
    tarred,
    zipped,
)

COUNT = 60
ROWS = [
    {"age": str(20 + i), "job": ["smith", "clerk", "?"][i % 3], "label": ["no", "yes"][i % 2]} for i in range(COUNT)
]
TABLE = pa.table(
    {
        "age": [20.0 + i for i in range(COUNT)],
        "job": [["smith", "clerk", None][i % 3] for i in range(COUNT)],
        "label": [i % 2 for i in range(COUNT)],
    }
)


def _csv(delimiter: str = ",", end: str = "\n") -> bytes:
    lines = [delimiter.join(ROWS[0]), *(delimiter.join(row.values()) for row in ROWS)]
    return (end.join(lines) + end).encode()


def _parquet(table: pa.Table, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer, **options)
    return buffer.getvalue()


TABLES = {
    "csv": _csv(),
    "semicolons": _csv(";"),
    "tabs and carriage returns": _csv("\t", "\r\n"),
    "csv with a mark of its encoding": b"\xef\xbb\xbf" + _csv(),
    "json lines": json_lines(ROWS),
    "parquet": _parquet(TABLE),
    "parquet with zstd": _parquet(TABLE, compression="zstd"),
    "arrow": arrow_file(TABLE),
    "arrow stream": arrow_file(TABLE, stream=True),
    "arrow with dictionaries": arrow_file(TABLE.set_column(1, "job", TABLE["job"].dictionary_encode())),
    "arrow with views": arrow_file(TABLE.set_column(1, "job", TABLE["job"].cast(pa.string_view()))),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_every_kind_give_the_same_rows(kind: str, tmp_path: Path) -> None:
    learnt = check(tmp_path, TABLES[kind], name="a.lie")
    facts = learnt.facts
    assert facts.task == "tabular-classification" and facts.format == "table" and facts.samples == 60
    assert [(c.name, c.role, c.type) for c in facts.columns] == [
        ("age", "input", "numeric"),
        ("job", "input", "categorical"),
        ("label", "label", "categorical"),
    ]
    assert len(facts.classes) == 2 and facts.input_shape == (4,)
    rows = [
        row for name in ("train", "test") for batch in canonical(tmp_path).batches(name) for row in batch.to_pylist()
    ]
    assert sorted(row["age"] for row in rows) == [20.0 + i for i in range(60)]
    assert {row["job"] for row in rows} == {"smith", "clerk", None} and {row["label"] for row in rows} == {0, 1}
    assert all(row["label"] == int(row["age"]) % 2 for row in rows), "rows stay together"


def test_quoted_values_with_delimiters_and_line_ends(tmp_path: Path) -> None:
    text = '"He said ""no"", and\nleft for good",bad\nA very good film,good\n' * 10
    learnt = check(tmp_path, f"text,label\n{text}".encode())
    assert learnt.facts.task == "text-classification" and learnt.facts.classes == ("bad", "good")
    texts = {row["text"] for batch in canonical(tmp_path).batches("train") for row in batch.to_pylist()}
    assert texts == {'He said "no", and\nleft for good', "A very good film"}


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "GIF"])
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_pictures_in_a_folder_per_class(form: str, pack: Any, tmp_path: Path) -> None:
    files = pictures_in_folders(form=form) | {"README.md": b"# notes", "dataset.py": b"print('never run')"}
    facts = check(tmp_path, pack(files)).facts
    assert facts.task == "image-classification" and facts.classes == ("blue", "red") and facts.format == "folders"
    assert [(s.name, s.classes, s.made) for s in facts.splits] == [
        ("train", {"blue": 4, "red": 4}, False),
        ("test", {"blue": 1, "red": 1}, True),
    ]
    assert facts.input_shape == (3, 6, 8) and "passed over" in facts.notes[0]


@pytest.mark.parametrize("mode", ["w:gz", "w:bz2", "w:xz"])
def test_packed_tars(mode: str, tmp_path: Path) -> None:
    assert check(tmp_path, tarred(pictures_in_folders(), mode)).facts.samples == 10


def test_folders_of_splits_below_a_folder_of_the_dataset(tmp_path: Path) -> None:
    files = (
        pictures_in_folders(3, "pets/train/")
        | pictures_in_folders(2, "pets/val/")
        | pictures_in_folders(1, "pets/test/")
    )
    facts = check(tmp_path, zipped(files)).facts
    assert [(s.name, s.samples, s.made) for s in facts.splits] == [
        ("train", 6, False),
        ("validation", 4, False),
        ("test", 2, False),
    ]


def test_pictures_without_folders_are_unlabelled(tmp_path: Path) -> None:
    facts = check(tmp_path, zipped({f"{i}.png": picture((i, i, i)) for i in range(4)})).facts
    assert [(s.name, s.labelled) for s in facts.splits] == [("train", False)] and facts.task == "image-classification"
    assert facts.classes == () and any("unlabelled" in note for note in facts.notes)


def test_an_unlabelled_test_folder_beside_a_labelled_training_folder(tmp_path: Path) -> None:
    files = pictures_in_folders(3, "train/") | {f"test/{i}.png": picture((i, i, i)) for i in range(4)}
    assert [(s.name, s.samples, s.labelled) for s in check(tmp_path, zipped(files)).facts.splits] == [
        ("train", 6, True),
        ("test", 4, False),
    ]


@pytest.mark.parametrize("form", ["WAV", "FLAC", "OGG", "MP3"])
def test_sounds_in_a_folder_per_class(form: str, tmp_path: Path) -> None:
    files = {f"{name}/{i}.{form.lower()}": sound(p, form) for name, p in PITCHES.items() for i in range(5)}
    learnt = check(tmp_path, tarred(files))
    facts = learnt.facts
    assert facts.task == "audio-classification" and facts.classes == ("high", "low")
    assert facts.preprocessing is not None and facts.preprocessing.kind == "audio"
    assert facts.preprocessing.sample_rate == 8000 and 0.25 <= facts.preprocessing.seconds <= 0.5
    assert facts.input_shape == (1, 40, 1 + round(facts.preprocessing.seconds * 8000) // 80)
    assert learnt.preview.samples[0]["audio"].startswith("data:audio/wav;base64,")


def _shard(first: int, count: int = 4) -> dict[str, bytes]:
    files = {}
    for i in range(first, first + count):
        files[f"sample{i:04}.png"] = picture((i, 0, 0))
        files[f"sample{i:04}.cls"] = b"%d" % (i % 2)
        files[f"sample{i:04}.json"] = json.dumps({"caption_length": i}).encode()
    return files


def test_one_webdataset_shard(tmp_path: Path) -> None:
    facts = check(tmp_path, tarred(_shard(0, 10))).facts
    assert facts.format == "webdataset" and facts.samples == 10 and facts.classes == ("0", "1")
    assert facts.task == "image-classification" and "'caption_length'" in " ".join(facts.notes)


@pytest.mark.parametrize("pack", [zipped, tarred])
def test_several_shards_name_their_splits(pack: Any, tmp_path: Path) -> None:
    shards = {
        "set/train-000.tar": tarred(_shard(0)),
        "set/train-001.tar": tarred(_shard(4)),
        "set/test-000.tar": tarred(_shard(8)),
    }
    facts = check(tmp_path, pack(shards)).facts
    assert [(s.name, s.samples) for s in facts.splits] == [("train", 8), ("test", 4)] and facts.format == "webdataset"


def test_a_webdataset_of_texts(tmp_path: Path) -> None:
    files: dict[str, bytes] = {}
    for i in range(6):
        files |= {f"{i}.txt": f"this is text number {i}".encode(), f"{i}.cls": b"yes" if i % 2 else b"no"}
    facts = check(tmp_path, tarred(files)).facts
    assert facts.task == "text-classification" and facts.classes == ("no", "yes")


def _hugging_face(labels: list[int]) -> bytes:
    features = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}
    images = pa.array(
        [{"bytes": picture((i, 9, 9)), "path": f"{i}.png"} for i in range(len(labels))],
        pa.struct([("bytes", pa.binary()), ("path", pa.string())]),
    )
    table = pa.table({"image": images, "label": pa.array(labels)})
    return _parquet(table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})}))


def test_a_hugging_face_folder_with_class_names_and_a_test_split_without_labels(tmp_path: Path) -> None:
    files = {
        "data/test-00000-of-00001.parquet": _hugging_face([-1, -1]),
        "data/train-00000-of-00002.parquet": _hugging_face([0, 1, 0]),
        "data/train-00001-of-00002.parquet": _hugging_face([1, 1]),
        "README.md": b"---\nlicense: mit\n---",
        "loader.py": b"raise SystemExit",
    }
    facts = check(tmp_path, zipped(files)).facts
    assert facts.format == "hugging_face" and facts.task == "image-classification" and facts.classes == ("cat", "dog")
    assert [(s.name, s.samples, s.labelled, s.classes) for s in facts.splits] == [
        ("train", 5, True, {"cat": 2, "dog": 3}),
        ("test", 2, False, {}),
    ]


def test_a_saved_hugging_face_dataset_in_arrow_streams(tmp_path: Path) -> None:
    table = pa.table(
        {"sentence": [f"a long sentence of number {i}" for i in range(8)], "label": [i % 2 for i in range(8)]}
    )
    files = {
        "sst/train/data-00000-of-00001.arrow": arrow_file(table, stream=True),
        "sst/train/state.json": b"{}",
        "sst/test/data-00000-of-00001.arrow": arrow_file(table.slice(0, 4), stream=True),
    }
    facts = check(tmp_path, tarred(files)).facts
    assert [(s.name, s.samples) for s in facts.splits] == [("train", 8), ("test", 4)]
    assert facts.task == "text-classification" and facts.vocabulary == 2 + 5 + 8


def test_arrays_stay_as_they_are_and_large_ones_are_cut_into_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "BATCH_BYTES", 4096)
    x = np.random.default_rng(0).normal(size=(300, 3, 5)).astype(np.float32)
    check(tmp_path, npz(x_train=x, y_train=np.arange(300) % 7, x_test=x[:9], y_test=np.arange(9) % 7))
    batches = list(canonical(tmp_path).batches("train"))
    assert len(batches) > 3 and max(batch.nbytes for batch in batches) <= 4096 + 300 * 8
    rows = np.concatenate([b.column("x").flatten().to_numpy().reshape(-1, 3, 5) for b in batches])
    assert np.array_equal(rows, x)


def test_tensors_in_tables_have_one_shape(tmp_path: Path) -> None:
    rows = [{"features": [[i, 0.5], [1, 2]], "target": i * 1.5} for i in range(30)]
    facts = check(tmp_path, json_lines(rows)).facts
    assert facts.columns[0].shape == (2, 2) and facts.columns[0].dtype == "float32"
    assert facts.task == "tabular-regression" and facts.input_shape == (2, 2)


def test_what_was_learnt_is_beside_the_rows_and_nothing_else_is_left(tmp_path: Path) -> None:
    learnt = check(tmp_path, _csv())
    assert learnt.parts == ("dataset.arrow", "dataset.json")
    assert DatasetFacts.model_validate_json((tmp_path / "out/dataset.json").read_bytes()) == learnt.facts
    assert not any((tmp_path / "out/scratch").iterdir())
    assert len(learnt.model_dump_json()) < 100_000
