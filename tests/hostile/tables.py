"""Tables: text that never ends, columnar files that lie about their buffers, types that carry pickles."""

import io
import pickle
import struct
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.hostile.case import Build, Canary, Hostile, Payload, into

TABLES: list[Hostile] = []
SCHEMA = {"task": "tabular-classification", "label": "label"}
case = into(TABLES, "dataset", schema=SCHEMA)
UNREADABLE, LARGE, FORMAT = "dataset_unreadable", "dataset_too_large", "dataset_format_unknown"
MISMATCH, UNFIT, SAMPLE = "dataset_schema_mismatch", "dataset_mismatch", "dataset_sample_unreadable"


def rows(count: int = 20) -> dict[str, list[Any]]:
    return {"a": [float(index) for index in range(count)], "label": [index % 2 for index in range(count)]}


def parquet(path: Path, table: Any, **options: Any) -> None:
    pq.write_table(table, path, **options)


def arrow(path: Path, table: Any, **options: Any) -> None:
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema, **options) as writer:
        writer.write_table(table)


def text(data: bytes) -> Build:
    return lambda path, canary: path.write_bytes(data)


CSV_LINE = b"1.0,0\n"
CSVS: dict[str, tuple[bytes, tuple[str, ...]]] = {
    "one line of 64 MB": (b"a,label\n" + b"1" * (64 << 20) + b",0\n", (UNREADABLE, LARGE)),
    "a million columns": (
        b",".join(b"c%d" % i for i in range(1_000_000)) + b",label\n" + b"1," * 1_000_000 + b"0\n",
        (LARGE, UNREADABLE, MISMATCH),
    ),
    "NUL bytes": (b"a,label\n" + b"1\0,0\n" * 20, (FORMAT, UNREADABLE, MISMATCH)),
    "UTF-16": ("a,label\n1.0,0\n2.0,1\n".encode("utf-16"), (UNREADABLE, FORMAT, MISMATCH)),
    "no UTF-8": (b"a,label\n" + b"\xff\xfe\x80,0\n\xc3\x28,1\n" * 10, (UNREADABLE, FORMAT)),
    "a quote that never ends": (b'a,label\n"1.0,0\n' + CSV_LINE * 1000, (UNREADABLE, MISMATCH, SAMPLE)),
    "rows of different lengths": (b"a,label\n1,0\n1,2,3,0\n1\n", (UNREADABLE, SAMPLE)),
    "one column name twice": (b"a,a,label\n" + b"1,2,0\n2,3,1\n" * 10, (UNFIT, UNREADABLE, MISMATCH)),
    "a header and nothing else": (b"a,label\n", ("dataset_empty",)),
    "no such label": (b"a,b\n" + CSV_LINE * 20, (MISMATCH,)),
    "an escape as a column's name": (b"\x1b[31ma,label\n" + b"1,0\n2,1\n" * 10, (FORMAT, UNREADABLE, MISMATCH)),
}
for _what, (_data, _codes) in CSVS.items():
    case(f"csv: {_what}", "data.csv", *_codes)(text(_data))


def json_line(values: str) -> bytes:
    return f'{{{values}, "label": 0}}\n{{{values}, "label": 1}}\n'.encode() * 10


JSON_LINES: dict[str, bytes] = {
    "nested a hundred thousand deep": b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b', "label": 0}\n',
    "a number of ten thousand digits": json_line('"a": ' + "9" * 10_000),
    "lines that are no objects": b"[1, 2]\n3\nnull\n",
    "half a line": b'{"a": 1, "label": 0}\n{"a": 1, "la',
    "no UTF-8": b'{"a": "\xff\xfe", "label": 0}\n' * 4,
    "one line of 64 MB": b'{"a": "' + b"x" * (64 << 20) + b'", "label": 0}\n',
    "a column called __class__": json_line('"__class__": "os", "__reduce__": {"a": 1}'),
}
for _what, _data in JSON_LINES.items():
    case(f"jsonl: {_what}", "data.jsonl", UNREADABLE, LARGE, SAMPLE, MISMATCH, UNFIT, FORMAT)(text(_data))


@case("parquet: a column of pickles", "data.parquet", UNFIT)
def pickled_column(path: Path, canary: Canary) -> None:
    column = pa.array([pickle.dumps(Payload(canary))] * 20, pa.binary())
    parquet(path, pa.table({"a": column, "label": rows()["label"]}))


def _extension(name: bytes, canary: Canary) -> Any:
    metadata = {b"ARROW:extension:name": name, b"ARROW:extension:metadata": pickle.dumps(Payload(canary))}
    fields = [pa.field("a", pa.float64(), metadata=metadata), pa.field("label", pa.int64())]
    return pa.table(rows(), schema=pa.schema(fields))


@case("parquet: a type that is a pickle", "data.parquet", UNFIT, words="extension type")
def parquet_extension(path: Path, canary: Canary) -> None:
    parquet(path, _extension(b"arrow.py_extension_type", canary))


@case("arrow: a type that is a pickle", "data.arrow", UNFIT, words="extension type")
def arrow_extension(path: Path, canary: Canary) -> None:
    arrow(path, _extension(b"arrow.py_extension_type", canary))


@case("arrow: a type that nobody knows", "data.arrow", UNFIT, words="extension type")
def unknown_extension(path: Path, canary: Canary) -> None:
    arrow(path, _extension(b"evil.type", canary))


@case("parquet: a hundred gigabytes in a dictionary", "data.parquet", LARGE, UNREADABLE, MISMATCH)
def dictionary_bomb(path: Path, canary: Canary) -> None:
    indices = _zeros(20_000_000)
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["x" * 5000]))
    parquet(path, pa.table({"a": column, "label": _zeros(20_000_000)}))


def _zeros(count: int) -> Any:
    return pa.Array.from_buffers(pa.int8(), count, [None, pa.py_buffer(bytes(count))])


@case("parquet: bytes changed in its footer", "data.parquet", UNREADABLE, FORMAT)
def footer(path: Path, canary: Canary) -> None:
    parquet(path, pa.table(rows()))
    data = path.read_bytes()
    path.write_bytes(data[:-8] + struct.pack("<I", 1 << 31) + b"PAR1")


@case("parquet: more rows than there are", "data.parquet", UNREADABLE, LARGE, MISMATCH)
def lying_rows(path: Path, canary: Canary) -> None:
    parquet(path, pa.table(rows()), compression="none", store_schema=False)
    data = bytearray(path.read_bytes())
    start = len(data) - 8 - struct.unpack("<I", data[-8:-4])[0]
    at = data.index(b"\x16\x28", start)  # the number of rows, 20, as a zigzag varint in Thrift's compact form
    changed = data[:at] + b"\x16\x80\x80\x80\x80\x80\x20" + data[at + 2 : -8]
    path.write_bytes(bytes(changed) + struct.pack("<I", len(changed) - start) + b"PAR1")


@case("parquet: half a file", "data.parquet", UNREADABLE, FORMAT)
def half_parquet(path: Path, canary: Canary) -> None:
    parquet(path, pa.table(rows()))
    path.write_bytes(path.read_bytes()[:-60])


@case("arrow: texts that lie behind their bytes", "data.arrow", UNREADABLE)
def offsets(path: Path, canary: Canary) -> None:
    arrow(path, pa.table({"a": ["abc"] * 20, "label": rows()["label"]}))
    data, last = path.read_bytes(), struct.pack("<2i", 57, 60)
    assert last in data
    path.write_bytes(data.replace(last, struct.pack("<2i", 57, 2**31 - 1)))


@case("arrow: codes that are no words of the dictionary", "data.arrow", UNREADABLE)
def codes(path: Path, canary: Canary) -> None:
    indices = pa.array([0, 1_000_000] * 10, pa.int32())
    column = pa.DictionaryArray.from_arrays(indices, pa.array(["x"]), safe=False)
    arrow(path, pa.table({"a": column, "label": rows()["label"]}))


@case("arrow: a buffer that ends behind the file", "data.arrow", UNREADABLE)
def buffers(path: Path, canary: Canary) -> None:
    arrow(path, pa.table(rows()))
    data = path.read_bytes()
    changed = data.replace(struct.pack("<qq", 0, 160), struct.pack("<qq", 0, 1 << 40))
    assert changed != data
    path.write_bytes(changed)


@case("arrow: nested five hundred deep", "data.arrow", UNREADABLE, MISMATCH, LARGE)
def nested(path: Path, canary: Canary) -> None:
    kind: Any = pa.float64()
    for _ in range(500):
        kind = pa.list_(kind)
    sink = io.BytesIO()
    schema = pa.schema([pa.field("a", kind), pa.field("label", pa.int64())])
    with pa.ipc.new_file(sink, schema):
        pass
    path.write_bytes(sink.getvalue())


@case("arrow: two gigabytes in a compressed buffer", "data.arrow", LARGE, UNREADABLE)
def compressed(path: Path, canary: Canary) -> None:
    zeros = _zeros(256 << 20)
    table = pa.table({f"a{index}": zeros for index in range(8)} | {"label": zeros})
    arrow(path, table, options=pa.ipc.IpcWriteOptions(compression="zstd"))


@case("arrow: half a file", "data.arrow", UNREADABLE, FORMAT)
def half_arrow(path: Path, canary: Canary) -> None:
    arrow(path, pa.table(rows()))
    path.write_bytes(path.read_bytes()[:-100])


@case("arrow: one column name twice", "data.arrow", UNREADABLE, MISMATCH)
def twice(path: Path, canary: Canary) -> None:
    columns = [pa.array(rows()["a"]), pa.array(rows()["a"]), pa.array(rows()["label"])]
    arrow(path, pa.table(columns, names=["a", "a", "label"]))


@case("parquet: texts that are no UTF-8", "data.parquet", UNREADABLE)
def no_text(path: Path, canary: Canary) -> None:
    parquet(path, pa.table({"a": ["abcdefgh"] * 20, "label": rows()["label"]}), compression="none")
    path.write_bytes(path.read_bytes().replace(b"abcdefgh", b"ab\xff\xfeefgh"))


@case("arrow: a number too large to square", "data.arrow", UNFIT, words="too large")
def too_large(path: Path, canary: Canary) -> None:
    arrow(path, pa.table({**rows(), "a": [1e300, -1e300] * 10}))


@case("arrow: a name of a column with an escape", "data.arrow", UNFIT, words="name")
def escaped_name(path: Path, canary: Canary) -> None:
    arrow(path, pa.table({**rows(), "\x1b[31mb": rows()["a"]}))
