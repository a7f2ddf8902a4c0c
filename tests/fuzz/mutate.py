"""Changes at random: to bytes, to members of archives, to JSON values, to fields of a protocol buffer, to opcodes."""

import io
import json
import pickletools
import random
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

Change = Callable[[bytes, random.Random], bytes]
_CODE = "__import__('os')._exit(86)"
_VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 255, 2**31, 2**63, -(2**70), 0.5, 1e308, "", "x", "NaN", "\x00", "\ud800"),
    *(_CODE, "../../x", "/etc/passwd", "x" * 5000, "float32", "F64", "torch.ops.aten.relu.default"),
    *([], {}, [[]], [None], {"": {}}, {"as_int": 1}, {"as_name": "x"}, {"as_expr": {"expr_str": _CODE}}),
)
_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 2**15, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1)


def bits(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 2, 5, 20))):
        if changed:
            changed[dice.randrange(len(changed))] ^= 1 << dice.randrange(8)
    return bytes(changed)


def _one_bit(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << dice.randrange(8)]) + data[at + 1 :]


def insertion(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.randbytes(dice.choice((1, 2, 8, 300))) + data[at:]


def deletion(data: bytes, dice: random.Random) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + data[at + dice.choice((1, 2, 8, 300)) :]


def truncation(data: bytes, dice: random.Random) -> bytes:
    return data[: dice.randrange(len(data) + 1)]


def repetition(data: bytes, dice: random.Random) -> bytes:
    start, at = dice.randrange(len(data) + 1), dice.randrange(len(data) + 1)
    return data[:at] + data[start : start + dice.choice((4, 64, 1000))] * dice.choice((1, 2, 50)) + data[at:]


def numbers(data: bytes, dice: random.Random) -> bytes:
    """A number of 1, 2, 4 or 8 bytes becomes one that is known to hurt."""
    width = dice.choice((1, 2, 4, 8))
    at = dice.randrange(max(1, len(data) - width))
    value = (dice.choice(_NUMBERS) & ((1 << 8 * width) - 1)).to_bytes(width, dice.choice(("little", "big")))
    return data[:at] + value + data[at + width :]


BYTES: tuple[Change, ...] = (bits, bits, bits, insertion, deletion, truncation, repetition, numbers, numbers)


def json_values(data: bytes, dice: random.Random) -> bytes:
    """Values deleted, exchanged, or put in the place of others; what is no JSON changes as bytes do."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return dice.choice(BYTES)(data, dice)
    for _ in range(dice.choice((1, 1, 2, 5))):
        if places := list(_places(value)):
            _change(value, places, dice)
    return json.dumps(value).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every container in a JSON value, with each of its keys."""
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, (dict, list)):
            yield from ((here, key) for key in (here if isinstance(here, dict) else range(len(here))))
            waiting.extend(here.values() if isinstance(here, dict) else here)


def _change(value: Any, places: list[tuple[Any, Any]], dice: random.Random) -> None:
    (here, key), (there, other) = dice.choice(places), dice.choice(places)
    match dice.randrange(5):
        case 0:
            del here[key]
        case 1 if isinstance(here, dict):
            here[str(dice.choice(_VALUES))[:200]] = here.pop(key)
        case 2:
            here[key] = json.loads(json.dumps(there[other]))
        case _:
            here[key] = dice.choice(_VALUES)


def json_lines(data: bytes, dice: random.Random) -> bytes:
    lines = data.split(b"\n")
    at = dice.randrange(len(lines))
    lines[at] = json_values(lines[at], dice)
    return b"\n".join(lines)


def safetensors_header(data: bytes, dice: random.Random) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header = json_values(data[8 : 8 + length], dice)
    told = len(header) if dice.random() < 0.9 else dice.choice(_NUMBERS)
    return told.to_bytes(8, "little") + header + data[8 + length :]


def protobuf(data: bytes, dice: random.Random) -> bytes:
    """One field dropped, doubled, exchanged for another, or changed inside, at any depth."""
    fields = _fields(data)
    if not fields or dice.random() < 0.1:
        return dice.choice(BYTES)(data, dice)
    at, other = dice.randrange(len(fields)), dice.randrange(len(fields))
    head, body, length = fields[at]
    match dice.randrange(8):
        case 0:
            fields[at] = (b"", b"", False)
        case 1:
            fields.insert(other, fields[at])
        case 2:
            fields[at], fields[other] = fields[other], fields[at]
        case 3:
            fields[at] = (head, fields[other][1], length)
        case 4 if not length:
            fields[at] = (head, _varint(dice.choice(_NUMBERS)), False)
        case _ if length:
            fields[at] = (head, protobuf(body, dice), True)
        case _:
            fields[at] = (_varint(dice.randrange(1, 200)), body, length)
    return b"".join(head + (_varint(len(body)) if length else b"") + body for head, body, length in fields)


def _fields(data: bytes) -> list[tuple[bytes, bytes, bool]]:
    """Key, content, and whether a length stands between them; nothing for what is no message."""
    at, found = 0, []
    while at < len(data):
        start = at
        key, at = _number(data, at)
        kind, head = key & 7, data[start:at]
        if kind == 2:
            length, at = _number(data, at)
        elif kind == 0:
            length = _number(data, at)[1] - at
        else:
            length = {1: 8, 5: 4}.get(kind, len(data) + 1)
        if not key >> 3 or at + length > len(data):
            return []
        found.append((head, data[at : at + length], kind == 2))
        at += length
    return found


def _number(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(data):
        value |= (data[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if data[at - 1] < 0x80:
            break
    return value, at


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def opcodes(data: bytes, dice: random.Random) -> bytes:
    """Opcodes of a pickle dropped, doubled, exchanged or replaced by others."""
    try:
        starts = [at for _, _, at in pickletools.genops(data) if at is not None]
    except ValueError:
        return dice.choice(BYTES)(data, dice)
    ends = [*starts[1:], starts[-1] + 1]
    parts = [data[start:end] for start, end in zip(starts, ends, strict=True)]
    for _ in range(dice.choice((1, 1, 2, 4))):
        at, other = dice.randrange(len(parts)), dice.randrange(len(parts))
        match dice.randrange(4):
            case 0:
                parts[at] = b""
            case 1:
                parts.insert(other, parts[at])
            case 2:
                parts[at], parts[other] = parts[other], parts[at]
            case _:
                parts[at] = dice.choice(pickletools.opcodes).code.encode("latin-1") + parts[at][1:]
    return b"".join(parts) + data[ends[-1] :]


def zip_members(data: bytes, others: bytes, dice: random.Random, inside: dict[str, Change]) -> bytes:
    """Members exchanged, dropped, renamed, doubled, or changed inside; some come from another archive."""
    members = _unzipped(data)
    if not members:
        return dice.choice(BYTES)(data, dice)
    buffer = io.BytesIO()
    method = dice.choice((zipfile.ZIP_STORED,) * 4 + (zipfile.ZIP_DEFLATED,))
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")
        for name, content in _changed(members, _unzipped(others), dice, inside):
            archive.writestr(name or "x", content)
    return buffer.getvalue()


def tar_members(data: bytes, others: bytes, dice: random.Random, inside: dict[str, Change]) -> bytes:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        members = [(one.name, file.read()) for one in tar if (file := tar.extractfile(one))]
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in _changed(members, members, dice, inside):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            if dice.random() < 0.02:
                member.type = dice.choice((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE))
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def _unzipped(data: bytes) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return [(name, archive.read(name)) for name in archive.namelist()]
    except zipfile.BadZipFile:
        return []


def _changed(
    members: list[tuple[str, bytes]], others: list[tuple[str, bytes]], dice: random.Random, inside: dict[str, Change]
) -> list[tuple[str, bytes]]:
    members = list(members)
    at, other = dice.randrange(len(members)), dice.randrange(len(members))
    (name, content), (second, foreign) = members[at], members[other]
    match dice.randrange(10):
        case 0:
            members[at], members[other] = (name, foreign), (second, content)
        case 1:
            del members[at]
        case 2:
            members.append(members[at])
        case 3:
            members[at] = (
                dice.choice(("../x", name + "/", name.upper(), name[::-1], second + "x", "\u202ex")),
                content,
            )
        case 4 if others:
            members[at] = (name, dice.choice(others)[1])
        case 5 if others:
            members.append(dice.choice(others))
        case _:
            change = next((one for ending, one in inside.items() if name.endswith(ending)), None)
            members[at] = (name, (change if change and dice.random() < 0.8 else dice.choice(BYTES))(content, dice))
    return members


INSIDE: dict[str, Change] = {
    ".json": json_values,
    ".pkl": opcodes,
    "model.pt": opcodes,
    ".safetensors": safetensors_header,
}


def mutate(name: str, data: bytes, others: bytes, dice: random.Random) -> bytes:
    """The good file ``data`` of that kind, changed once or a few times; one in four has one bit changed and no more."""
    if dice.random() < 0.25:
        return _one_bit(data, dice)
    for _ in range(dice.choice((1, 1, 1, 2, 3))):
        data = _once(name, data, others, dice) if dice.random() < 0.65 else dice.choice(BYTES)(data, dice)
    return data


def _once(name: str, data: bytes, others: bytes, dice: random.Random) -> bytes:
    try:
        match name:
            case "safetensors":
                return safetensors_header(data, dice)
            case "onnx":
                return protobuf(data, dice)
            case "jsonl":
                return json_lines(data, dice)
            case "old state dict":
                return opcodes(data, dice)
            case "sounds" | "webdataset":
                return tar_members(data, others, dice, INSIDE)
            case "csv" | "parquet" | "arrow":
                return numbers(data, dice) if name != "csv" else repetition(data, dice)
        return zip_members(data, others, dice, INSIDE)
    except Exception:  # the libraries that take archives apart raise many kinds on what was changed before
        return bits(data, dice)
