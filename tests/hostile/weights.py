"""State dicts that are none: pickles with code, tensors that lie about their storage, checkpoints that unfold."""

import io
import pickle
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from tests.hostile.case import Canary, Hostile, Payload, into

WEIGHTS: list[Hostile] = []
MLP = {"name": "pith/mlp", "arguments": {"in_features": 4, "out_features": 2, "hidden": [3]}, "input_shape": [4]}
case = into(WEIGHTS, "model", architecture=MLP)
CODE = ("model_unsafe", "model_pickled")


def good() -> dict[str, torch.Tensor]:
    shapes = {"0.weight": (3, 4), "0.bias": (3,), "3.weight": (2, 3), "3.bias": (2,)}
    return {
        f"layers.{name}": torch.linspace(-1, 1, torch.Size(shape).numel()).reshape(shape)
        for name, shape in shapes.items()
    }


class Calls:
    """Unpickling it makes that call."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.function, self.arguments


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def repacked(data: bytes, changes: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """The archive with other members in the place of some."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(buffer, "w", method) as new:
        for name in old.namelist():
            new.writestr(name, changes.get(name.partition("/")[2], old.read(name)))
    return buffer.getvalue()


@case("a bare pickle", "weights.pt", *CODE, unsafe="pickle")
def bare_pickle(path: Path, canary: Canary) -> None:
    path.write_bytes(pickle.dumps(Payload(canary)))


@case("a pickle of protocol 0", "weights.bin", *CODE, unsafe="pickle")
def text_pickle(path: Path, canary: Canary) -> None:
    path.write_bytes(pickle.dumps({"w": Payload(canary)}, protocol=0))


@case("code in a state dict", "weights.pth", *CODE, unsafe="torch")
def in_state_dict(path: Path, canary: Canary) -> None:
    torch.save({**good(), "extra": Payload(canary)}, path)


@case("code in a state dict of the older form", "pytorch_model.bin", *CODE, unsafe="torch")
def in_legacy(path: Path, canary: Canary) -> None:
    torch.save({**good(), "extra": Payload(canary)}, path, _use_new_zipfile_serialization=False)


@case("code beside the weights of a checkpoint", "checkpoint.pth", *CODE, unsafe="torch")
def in_checkpoint(path: Path, canary: Canary) -> None:
    torch.save({"state_dict": good(), "optimizer": {"state": [Payload(canary)]}}, path)


@case("code as a key", "weights.pt", *CODE, unsafe="torch")
def as_key(path: Path, canary: Canary) -> None:
    torch.save([(Payload(canary), good())], path)


@case("code in the magic number of the older form", "weights.pt", "weights_unreadable", *CODE, unsafe="torch")
def in_magic(path: Path, canary: Canary) -> None:
    torch.save(good(), path, _use_new_zipfile_serialization=False)
    data = path.read_bytes()
    path.write_bytes(pickle.dumps(Payload(canary), protocol=2) + data)


@case(
    "a tar of pickles, as torch 0.1 wrote it",
    "weights.tar",
    "model_format_unknown",
    "weights_unreadable",
    "archive_unsafe",
    "model_malformed",
    "architecture_refused",
    *CODE,
)
def tarred(path: Path, canary: Canary) -> None:
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as tar:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            data = pickle.dumps(Payload(canary), protocol=2)
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


@case(
    "a state dict with code inside another zip",
    "weights.zip",
    "model_format_unknown",
    "weights_unreadable",
    "model_malformed",
    "archive_unsafe",
    *CODE,
)
def in_a_zip(path: Path, canary: Canary) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights.pt", saved(Payload(canary)))


@case("getattr as a rebuilding function", "weights.pt", *CODE)
def attribute_walk(path: Path, canary: Canary) -> None:
    torch.save({"w": Calls(getattr, "text", "upper")}, path)


@case("code in hooks of a tensor", "weights.pt", *CODE, unsafe="torch")
def tensor_hooks(path: Path, canary: Canary) -> None:
    torch.save({"w": Calls(torch._utils._rebuild_parameter, torch.ones(2), True, Payload(canary))}, path)


@case("a numpy array of objects", "weights.pt", *CODE, unsafe="torch")
def numpy_objects(path: Path, canary: Canary) -> None:
    torch.save({"w": _objects(canary)}, path)


def _objects(canary: Canary) -> Any:
    array = torch.ones(1).numpy().astype(object)
    array[0] = Payload(canary)
    return array


@case("a pickled module", "model.pt", "model_pickled", words="torch.export.save")
def module(path: Path, canary: Canary) -> None:
    torch.save(nn.Sequential(nn.Linear(4, 2)), path)


@case("a pickled module of the older form", "model.pth", "model_pickled", words="torch.export.save")
def old_module(path: Path, canary: Canary) -> None:
    torch.save(nn.Sequential(nn.Linear(4, 2)), path, _use_new_zipfile_serialization=False)


@case("TorchScript", "model.pt", "model_pickled", words="torch.export.save")
def script(path: Path, canary: Canary) -> None:
    torch.jit.script(nn.Linear(4, 2)).save(path)  # type: ignore[no-untyped-call]


@case(
    "a million-million numbers from four bytes",
    "weights.pt",
    "model_too_large",
    "weights_unreadable",
    words="4000000000000",
)
def expanded(path: Path, canary: Canary) -> None:
    torch.save({"w": torch.ones(1).expand(1_000_000, 1_000_000)}, path)


def _tensor(offset: int, shape: tuple[int, ...], stride: tuple[int, ...]) -> Calls:
    storage = torch.storage.TypedStorage(  # type: ignore[no-untyped-call]
        wrap_storage=torch.ones(4).untyped_storage(), dtype=torch.float32, _internal=True
    )
    return Calls(torch._utils._rebuild_tensor_v2, storage, offset, shape, stride, False, {})


@case("a tensor larger than its storage", "weights.pt", "weights_unreadable", words="storage")
def beyond_storage(path: Path, canary: Canary) -> None:
    torch.save({"w": _tensor(0, (1000,), (1,))}, path)


@case("a tensor that starts behind its storage", "weights.pt", "weights_unreadable", words="storage")
def behind_storage(path: Path, canary: Canary) -> None:
    torch.save({"w": _tensor(1 << 40, (2,), (1,))}, path)


@case("negative strides", "weights.pt", "weights_unreadable")
def negative_stride(path: Path, canary: Canary) -> None:
    torch.save({"w": _tensor(0, (4,), (-1,))}, path)


@case("sizes whose product overflows", "weights.pt", "model_too_large", "weights_unreadable")
def overflowing(path: Path, canary: Canary) -> None:
    torch.save({"w": _tensor(0, (1 << 61, 8), (0, 0))}, path)


@case("not a number among the weights", "weights.pt", "weights_unreadable", words="not finite")
def not_finite(path: Path, canary: Canary) -> None:
    torch.save({**good(), "layers.3.bias": torch.tensor([1.0, float("nan")])}, path)


@case("complex weights", "weights.pt", "weights_unreadable", "model_unsafe")
def complex_numbers(path: Path, canary: Canary) -> None:
    torch.save({**good(), "layers.3.bias": torch.zeros(2, dtype=torch.complex64)}, path)


@case("a hundred thousand tensors", "weights.pt", "model_too_large", words="number of tensors")
def many_tensors(path: Path, canary: Canary) -> None:
    one = torch.ones(1)
    torch.save({f"w{index}": one for index in range(100_001)}, path)


@case("lists that double fifty times", "weights.pt", "weights_unreadable")
def doubling(path: Path, canary: Canary) -> None:
    value: list[Any] = []
    for _ in range(50):
        value = [value, value]
    torch.save(value, path)


@case("a list that holds itself", "weights.pt", "weights_unreadable")
def cyclic(path: Path, canary: Canary) -> None:
    value: dict[str, Any] = {}
    value["state_dict"] = value
    torch.save(value, path)


@case("nested pickles a hundred thousand deep", "weights.pt", "weights_unreadable")
def deep(path: Path, canary: Canary) -> None:
    path.write_bytes(repacked(saved({}), {"data.pkl": b"\x80\x02" + b"(" * 100_000 + b"t" * 100_000 + b"."}))


@case("a text of four gigabytes that is not there", "weights.pt", "weights_unreadable")
def long_text(path: Path, canary: Canary) -> None:
    path.write_bytes(repacked(saved({}), {"data.pkl": b"\x80\x02X\xff\xff\xff\x7fabc."}))


@case("a storage under a path", "weights.pt", "weights_unreadable", words="passwd")
def storage_path(path: Path, canary: Canary) -> None:
    data = saved(torch.ones(2))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        pickled = archive.read(archive.namelist()[0])
    key = b"../../../etc/passwd"
    changed = pickled.replace(b"X\x01\x00\x00\x000", b"X" + len(key).to_bytes(4, "little") + key)
    assert changed != pickled
    path.write_bytes(
        repacked(saved({"w": torch.ones(2)}), {"data.pkl": b"\x80\x02}X\x01\x00\x00\x00w" + changed[2:-1] + b"s."})
    )


@case("a name that reads from right to left", "weights.pt", "weights_unreadable", words="name")
def right_to_left(path: Path, canary: Canary) -> None:
    torch.save({**good(), "layers.\u202etnemelif": torch.ones(1)}, path)


@case("a name with NUL and an escape", "weights.pt", "weights_unreadable", words="name")
def control_characters(path: Path, canary: Canary) -> None:
    torch.save({**good(), "a\x00b\x1b[31m": torch.ones(1)}, path)


@case("compressed members", "weights.pt", "model_unsafe", "weights_unreadable", words="compressed")
def deflated(path: Path, canary: Canary) -> None:
    path.write_bytes(repacked(saved({"w": torch.zeros(20_000_000)}), {}, zipfile.ZIP_DEFLATED))


@case("two pickles under one name", "weights.pt", "weights_unreadable", "model_unsafe", words="two members")
def two_pickles(path: Path, canary: Canary) -> None:
    data = io.BytesIO(saved(good()))
    with zipfile.ZipFile(data, "a") as archive:
        archive.writestr(archive.namelist()[0], saved(Payload(canary)))
    path.write_bytes(data.getvalue())


@case("half a file", "weights.pt", "model_format_unknown", "weights_unreadable")
def half(path: Path, canary: Canary) -> None:
    data = saved(good())
    path.write_bytes(data[: len(data) // 2])


@case("big-endian numbers", "weights.pt", "weights_unreadable", words="big-endian")
def big_endian(path: Path, canary: Canary) -> None:
    path.write_bytes(repacked(saved(good()), {"byteorder": b"big"}))


@case("weights of another network", "weights.pt", "weights_mismatch", words="pith/mlp")
def another_network(path: Path, canary: Canary) -> None:
    torch.save(nn.Conv2d(3, 4, 3).state_dict(), path)


@case("weights named like methods", "weights.pt", "weights_mismatch")
def methods(path: Path, canary: Canary) -> None:
    torch.save({"__class__.__init__": torch.ones(1), "layers.forward": torch.ones(1)}, path)
