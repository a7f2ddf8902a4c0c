"""What the schema says holds; what it leaves open is found; what contradicts it is refused in words."""

import base64
import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image

from pith.errors import PithError
from tests.engine.data.uploads import (
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


def _table(count: int = 100, **more: Any) -> bytes:
    rows = [
        {
            "size": i * 0.5,
            "zip": 1000 + i % 4,
            "text": f"some words on house {i}",
            "price": i * 10.5,
            "kind": "abc"[i % 3],
        }
        | {name: values[i % len(values)] for name, values in more.items()}
        for i in range(count)
    ]
    return json_lines(rows)


def test_a_table_with_every_declaration(tmp_path: Path) -> None:
    schema = {
        "task": "tabular-regression",
        "label": "price",
        "inputs": ["zip", "size"],
        "columns": {"zip": "categorical"},
        "shares": {"test": 0.25, "validation": 0.1},
        "seed": 7,
    }
    facts = check(tmp_path, _table(), schema).facts
    assert [(c.name, c.type) for c in facts.columns] == [
        ("zip", "categorical"),
        ("size", "numeric"),
        ("price", "numeric"),
    ]
    assert [(s.name, s.samples, s.made) for s in facts.splits] == [
        ("train", 65, False),
        ("validation", 10, True),
        ("test", 25, True),
    ]
    assert facts.input_shape == (4 + 1 + 1,) and facts.classes == () and facts.task == "tabular-regression"
    assert any("25 samples, seed 7" in note for note in facts.notes)


def test_what_is_ignored_is_no_input(tmp_path: Path) -> None:
    facts = check(tmp_path, _table(), {"label": "kind", "columns": {"text": "ignore", "price": "ignore"}}).facts
    assert [c.name for c in facts.columns] == ["size", "zip", "kind"] and facts.task == "tabular-classification"


def test_names_of_classes_give_their_order(tmp_path: Path) -> None:
    facts = check(
        tmp_path, _table(), {"label": "kind", "classes": ["c", "b", "a"], "columns": {"text": "ignore"}}
    ).facts
    assert facts.classes == ("c", "b", "a")
    numbers = {row["kind"] for batch in canonical(tmp_path).batches("train") for row in batch.to_pylist()}
    assert numbers == {0, 1, 2}


def test_made_splits_are_stratified_and_follow_the_seed(tmp_path: Path) -> None:
    y = np.repeat([0, 1, 2], [60, 30, 10])
    x = np.arange(100, dtype=np.float32)[:, None]

    def test_rows(name: str, seed: int) -> list[float]:
        facts = check(tmp_path / name, npz(x_train=x, y_train=y), {"seed": seed}).facts
        assert facts.splits[1].classes == {"0": 12, "1": 6, "2": 2}
        batches = canonical(tmp_path / name).batches("test")
        return [value for batch in batches for value in batch.column("x").flatten().to_pylist()]

    first, again, other = test_rows("a", 1), test_rows("b", 1), test_rows("c", 2)
    assert first == again != other and len(first) == 20


def test_a_class_with_one_sample_stays_in_training(tmp_path: Path) -> None:
    y = np.array([0] * 10 + [1])
    facts = check(tmp_path, npz(x_train=np.zeros((11, 2), "f4"), y_train=y), {"shares": {"test": 0.5}}).facts
    assert facts.splits[0].classes["1"] == 1 and facts.splits[1].classes == {"0": 5, "1": 0}


ROWS_OF_NUMBERS = np.zeros((20, 2), np.float32)
UNLABELLED = {
    "arrays": (
        npz(x_train=ROWS_OF_NUMBERS),
        "unlabelled: there is no array of labels; if there are labels, add the array y_train beside x_train.",
    ),
    "one array": (
        npz(x=ROWS_OF_NUMBERS),
        "unlabelled: there is no array of labels; if there are labels, add the array y_train beside x_train.",
    ),
    "pictures": (
        zipped({f"{i}.png": picture((i, i, i)) for i in range(20)}),
        "unlabelled: no folder names a class; if there are labels, put the files of each class into a folder of its "
        "own, as train/cat.",
    ),
    "a table": (
        b"size,price\n" + b"1,2\n3,4\n" * 10,
        "unlabelled: no column is called label, target, class or y; name it in label if there is one.",
    ),
}


@pytest.mark.parametrize(("data", "said"), UNLABELLED.values(), ids=UNLABELLED)
def test_what_has_no_labels_says_where_they_would_be(tmp_path: Path, data: bytes, said: str) -> None:
    assert said in check(tmp_path, data).facts.notes


def test_a_column_names_the_splits(tmp_path: Path) -> None:
    data = _table(split=["train", "train", "Dev", "test"])
    facts = check(tmp_path, data, {"label": "kind", "task": "text-classification"}).facts
    assert [(s.name, s.samples, s.made) for s in facts.splits] == [
        ("train", 50, False),
        ("validation", 25, False),
        ("test", 25, False),
    ]
    assert [c.name for c in facts.columns if c.role == "input"] == ["text"]


def test_two_texts_go_in_together(tmp_path: Path) -> None:
    pair = {"premise": "a man is here", "hypothesis": "nobody is there"}
    data = json_lines([pair | {"label": i % 2} for i in range(10)])
    facts = check(tmp_path, data).facts
    assert [c.name for c in facts.columns] == ["premise", "hypothesis", "label"] and facts.task == "text-classification"


def test_targets_with_many_values_are_a_regression_and_few_whole_ones_are_classes(tmp_path: Path) -> None:
    many = [{"a": i * 1.0, "target": i * 7} for i in range(100)]
    few = [{"a": i * 1.0, "target": i % 5} for i in range(100)]
    assert check(tmp_path / "a", json_lines(many)).facts.task == "tabular-regression"
    assert check(tmp_path / "b", json_lines(few)).facts.classes == ("0", "1", "2", "3", "4")


def test_generic_targets_with_a_named_loss(tmp_path: Path) -> None:
    arrays = {"x_train": np.zeros((4, 3), "f4"), "y_train": np.zeros((4, 5), "f4")}
    facts = check(tmp_path, npz(**arrays), {"task": "generic", "loss": "bce", "shares": {"test": 0}}).facts
    assert facts.task == "generic" and facts.loss == "bce" and facts.columns[1].shape == (5,)


def test_the_preview_shows_every_kind_of_value(tmp_path: Path) -> None:
    picture_preview = check(tmp_path / "a", zipped(pictures_in_folders(8))).preview
    assert {sample["label"] for sample in picture_preview.samples} == {"red", "blue"}
    assert all(sample["image"].startswith("data:image/png;base64,") for sample in picture_preview.samples)
    long = [{"text": "word " * 200, "label": 1}] * 9
    text_preview = check(tmp_path / "b", json_lines(long)).preview
    assert all(len(sample["text"]) == 300 for sample in text_preview.samples) and len(text_preview.samples) <= 8
    tensor_preview = check(tmp_path / "c", npz(x_test=np.full((3, 2), 2.5, "f4"))).preview
    assert tensor_preview.samples[0]["x"]["mean"] == 2.5 and tensor_preview.splits[0].name == "test"
    assert "picture" not in tensor_preview.samples[0]["x"]


@pytest.mark.parametrize(("shape", "type"), [((1, 8, 12), "float32"), ((3, 12, 8), "uint8"), ((3, 8, 8), "float64")])
def test_a_tensor_of_the_shape_of_a_picture_is_drawn(tmp_path: Path, shape: tuple[int, ...], type: str) -> None:
    values = np.arange(2 * math.prod(shape)).reshape(2, *shape) % 200
    found = check(tmp_path, npz(x_test=values.astype(type))).preview.samples[0]["x"]["picture"]
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(found.removeprefix("data:image/png;base64,")))))
    assert drawn.shape == (*shape[1:], 3)[: 2 + (shape[0] == 3)]
    assert (drawn.min(), drawn.max()) == (0, 255), "from the least value to the greatest"


@pytest.mark.parametrize("shape", [(2, 8, 8), (1, 4, 8), (64,), (1, 8, 8, 8)])
def test_another_tensor_is_not(tmp_path: Path, shape: tuple[int, ...]) -> None:
    found = check(tmp_path, npz(x_test=np.ones((2, *shape), "f4"))).preview.samples[0]["x"]
    assert "picture" not in found and found["shape"] == list(shape)


BAD_SCHEMAS: list[tuple[bytes, dict[str, Any], str]] = [
    (_table(), {"label": "prize"}, "label is 'prize', and there is no such column; name one of size, zip"),
    (_table(), {"split": "fold"}, "split is 'fold', and there is no such column"),
    (_table(), {"inputs": ["size", "weight"]}, "inputs[1] is 'weight'"),
    (_table(), {"label": "kind", "inputs": ["kind"]}, "that column is the label or the split"),
    (_table(), {"columns": {"kind": "numeric"}}, "columns['kind'] is 'numeric', and it holds 'a'"),
    (_table(), {"task": "image-classification", "label": "kind"}, "send image or tensors"),
    (_table(), {"label": "kind", "classes": ["a", "b"]}, "'kind' holds 'c'; name every class"),
    (_table(), {"label": "zip", "task": "tabular-classification", "classes": ["a"]}, "has the class number 1003"),
    (_table(), {"shares": {"test": 0.6, "validation": 0.4}}, "nothing is left to train on"),
    (_table(), {"task": "text-classification", "loss": "mse"}, "loss is 'mse', and the task is text-classification"),
]


@pytest.mark.parametrize(("data", "schema", "said"), BAD_SCHEMAS)
def test_a_schema_that_contradicts_the_data(data: bytes, schema: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(PithError) as caught:
        check(tmp_path, data, schema)
    assert caught.value.code == "dataset_schema_mismatch" and said in caught.value.problem.detail


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pa.parquet.write_table(table, buffer)
    return buffer.getvalue()


def _broken_offsets() -> bytes:
    """A string column, one of whose inner offsets points far behind its bytes."""
    data = bytearray(arrow_file(pa.table({"text": ["aaaa", "bbbb"], "label": [0, 1]})))
    at = bytes(data).index(np.array([0, 4, 8], "<i4").tobytes())
    data[at : at + 12] = np.array([0, 1 << 30, 8], "<i4").tobytes()
    return bytes(data)


class _Secret(pa.ExtensionType):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__(pa.int64(), "tests.secret")

    def __arrow_ext_serialize__(self) -> bytes:
        return b""


def _extension() -> bytes:
    array = pa.ExtensionArray.from_storage(_Secret(), pa.array([1, 2]))
    return arrow_file(pa.table({"x": array, "label": [0, 1]}))


def _path_only() -> bytes:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    return _parquet(pa.table({"image": pa.array([{"bytes": None, "path": "/etc/passwd"}], kind), "label": [0]}))


FOLDERS = pictures_in_folders()
_BYTES = pa.array([b"\xff\xfe\xfd", b"good"])
BAD_TEXT = pa.table({"text": pa.Array.from_buffers(pa.string(), 2, _BYTES.buffers()), "label": [0, 1]})
BAD: list[tuple[str, bytes, str, str]] = [
    ("nothing", b"", "dataset_unreadable", "is empty"),
    ("noise", bytes(range(256)) * 9, "dataset_format_unknown", "starts with"),
    (
        "a web page",
        b"\n<!DOCTYPE html><p>",
        "dataset_format_unknown",
        "upload is a web page, perhaps an error page; down",
    ),
    ("a pointer", b"version https://git-lfs.github.com/spec/v1", "dataset_format_unknown", "run git lfs pull"),
    ("XML", b"<table></table>", "dataset_format_unknown", "is XML, which starts with '<table><'; send .npz"),
    ("white space", b" \n \n", "dataset_empty", "upload holds white space alone"),
    ("one array", b"\x93NUMPY\x01\x00" + b" " * 99, "dataset_format_unknown", "numpy.savez"),
    ("a JSON list", b'[{"a": 1}]', "dataset_format_unknown", "is a JSON list; write one object a line"),
    ("a pickle", b"\x80\x04\x95" + b" " * 20, "dataset_pickled", "never loaded"),
    ("an old pickle", b"cos\nsystem\n(S'true'\ntR.", "dataset_pickled", "never loaded"),
    ("UTF-16", "a,b\n1,2\n".encode("utf-16"), "dataset_unreadable", "save it as UTF-8"),
    ("Latin-1", "name,label\nJosé,1\n".encode("latin-1"), "dataset_unreadable", "no UTF-8 text at byte 14"),
    ("no header", b"39,State-gov,13\n50,Private,9\n", "dataset_mismatch", "add a first line with the columns' names"),
    ("a name twice", b"a,a\n1,2\n", "dataset_mismatch", "give each column a name of its own"),
    ("ragged", b"a,label\n1,2\n1,2,3\n", "dataset_unreadable", "Expected 2 columns, got 3"),
    ("a header alone", b"a,label\n", "dataset_empty", "The dataset is empty (it has no rows); add samples"),
    ("an empty zip", zipped({}), "dataset_empty", "the archive has no files"),
    ("an empty tar", tarred({}, "w:gz"), "dataset_empty", "the archive has no files"),
    ("zeros", bytes(9000), "dataset_format_unknown", "upload holds zeros alone; download the real file"),
    ("a cut line", b'{"a": 1}\n{"a": \n', "dataset_unreadable", "line 2 of upload is no JSON: it ends before"),
    (
        "broken JSON",
        b'{"a": 1}\n{"a": x}\n',
        "dataset_unreadable",
        "line 2 of upload is no JSON: expecting value at col",
    ),
    ("a wrong bracket", b'{"a": 1]\n', "dataset_unreadable", "no JSON: expecting ',' delimiter at column 8)"),
    ("no letters", b'{"a": "\xff"}\n', "dataset_unreadable", "UTF-8"),
    ("deep JSON", b'{"a": ' + b"[" * 9999 + b"]" * 9999 + b"}\n", "dataset_unreadable", "line 1"),
    ("objects in JSON", b'{"a": {"b": 1}}\n', "dataset_mismatch", "flatten them"),
    ("ragged lists", b'{"a": [1, 2]}\n{"a": [1]}\n', "dataset_mismatch", "pad them"),
    ("infinity", b"a,label\n1e999,0\n2,1\n", "dataset_mismatch", "holds infinity (sample 0)"),
    ("cut Parquet", _parquet(pa.table({"a": [1.0], "label": [0]}))[:-9], "dataset_unreadable", "upload"),
    ("broken offsets", _broken_offsets(), "dataset_unreadable", "upload"),
    ("texts that are none", _parquet(BAD_TEXT), "dataset_unreadable", "upload"),
    ("a name of a page", b"a" * 300 + b",label\n1,2\n", "dataset_mismatch", "or is too long; rename it"),
    (
        "labels like pages",
        f"a,label\n1,{'x' * 300}\n2,b\n".encode(),
        "dataset_mismatch",
        "name another column in label",
    ),
    ("an extension type", _extension(), "dataset_mismatch", "extension type"),
    ("pictures elsewhere", _path_only(), "dataset_mismatch", "embed the bytes"),
    ("old Feather", b"FEA1" + b" " * 50, "dataset_unreadable", "version=2"),
    ("ragged tensors", arrow_file(pa.table({"x": [[1.0, 2.0], [1.0]]})), "dataset_mismatch", "pad them to one length"),
    ("a label of texts in a picture", zipped({"a/1.png": b"not a picture"}), "dataset_sample_unreadable", "a/1.png"),
    (
        "a cut picture",
        zipped(FOLDERS | {"red/9.png": picture((1, 2, 3))[:-30]}),
        "dataset_sample_unreadable",
        "red/9.png",
    ),
    ("a cut sound", zipped({"a/1.flac": sound(440, "FLAC")[:60]}), "dataset_sample_unreadable", "a/1.flac"),
    ("both kinds", zipped({"a/1.png": picture((1, 2, 3)), "a/2.wav": sound(440)}), "dataset_mismatch", "send one kind"),
    ("a pickle in a folder", zipped(FOLDERS | {"red/x.pkl": b"\x80\x04N."}), "dataset_pickled", "red/x.pkl"),
    ("a pickle that lies", zipped(FOLDERS | {"red/x.png": b"\x80\x04N."}), "dataset_pickled", "red/x.png"),
    ("a shard with a pickle", tarred({"1.cls": b"1", "1.pyd": b"\x80\x04N."}), "dataset_pickled", "1.pyd"),
    ("a table called data.pkl", zipped({"red/data.pkl": b"\x80\x02", "red/1.png": b""}), "dataset_pickled", "data.pkl"),
    ("some labels missing", b"a,label\n1,x\n2,\n3,y\n", "dataset_mismatch", "no label for 1 of its 3 samples"),
    ("negative classes", b"a,label\n1,-2\n2,0\n", "dataset_mismatch", "number the classes from 0"),
    ("nothing but notes", zipped({"README.md": b"hello"}), "dataset_format_unknown", "without pictures"),
    ("a table in name only", zipped({"train.csv": b"\x00\x01\x02"}), "dataset_format_unknown", "train.csv"),
    ("bad text in a shard", tarred({"1.txt": b"\xff\xfe", "1.cls": b"1"}), "dataset_sample_unreadable", "UTF-8"),
]


@pytest.mark.parametrize(("data", "code", "said"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_what_cannot_be_used_is_refused_in_words(data: bytes, code: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(PithError) as caught:
        check(tmp_path, data)
    assert (caught.value.code, said in caught.value.problem.detail) == (code, True), caught.value.problem.detail
    assert not (tmp_path / "out/dataset.json").exists()


def test_an_odd_name_of_a_split(tmp_path: Path) -> None:
    with pytest.raises(PithError, match="names the split 'fold3'"):
        check(tmp_path, b"a,label,part\n1,0,train\n2,1,fold3\n", {"split": "part"})


@pytest.mark.parametrize(
    ("name", "limit", "data"),
    [
        ("ROWS", 5, _table(6)),
        ("COLUMNS", 3, _table(2)),
        ("COLUMNS", 1, b"a,label\n1,2\n"),
        ("CLASSES", 3, b"a,label\n" + b"".join(b"%d,%c\n" % (i, 97 + i) for i in range(6))),
        ("SAMPLE_BYTES", 7, npz(x=np.zeros((2, 2), "f4"))),
        ("SAMPLE_BYTES", 50, zipped(FOLDERS)),
        ("LINE_BYTES", 50, _table(3)),
        ("TOTAL_BYTES", 100, _table(30)),
        ("TEXT_BYTES", 2, tarred({"1.txt": b"hello", "1.cls": b"1"})),
        ("PICTURE_PIXELS", 20, zipped(FOLDERS)),
        ("SOUND_SECONDS", 0, zipped({"a/1.wav": sound(440)})),
    ],
)
def test_every_limit_is_named_with_what_was_found(
    name: str, limit: int, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("limits", "pictures", "write", "labels", "survey", "arrow_types"):
        monkeypatch.setattr(f"engine.data.{module}.{name}", limit, raising=False)
    with pytest.raises(PithError) as caught:
        check(tmp_path, data)
    assert caught.value.code in ("dataset_too_large", "dataset_sample_unreadable")
    assert str(limit) in caught.value.problem.detail
