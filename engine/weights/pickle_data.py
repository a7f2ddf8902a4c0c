"""Pickles read as data: a machine that knows containers, numbers and texts, and calls nothing.

Where a pickle would call a rebuilding function of torch, a record of the call's arguments stands instead. Harmless
classes that training checkpoints carry (``argparse.Namespace``, numpy scalars) become ``INERT``; each other global is
refused. Not covered: protocol 5 buffers and the extension registry.
"""

import pickletools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from io import BytesIO
from itertools import islice
from typing import Any, Final

import torch

from engine.pt2.pickles import pickled_globals

_MOST_OPCODES = 4_000_000

DTYPES: Final[dict[str, torch.dtype]] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}


class PickleFault(Exception):
    """The bytes are no pickle of plain values."""


class ForbiddenGlobals(Exception):
    """The pickle asks for something that is not on the list; ``names`` says for what."""

    def __init__(self, names: tuple[str, ...]) -> None:
        super().__init__(", ".join(names))
        self.names = names


@dataclass(frozen=True)
class Global:
    name: str


@dataclass(frozen=True)
class StorageRecord:
    """Bytes under a key of the archive, taken as ``numel`` numbers of one type."""

    key: str
    dtype: torch.dtype
    numel: int


@dataclass(frozen=True)
class TensorRecord:
    """What ``torch._utils._rebuild_tensor`` would make; ``dtype`` is the storage's."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _Inert:
    """Stands for a value that is of no interest and was never made."""

    def __repr__(self) -> str:
        return "INERT"


INERT: Final = _Inert()
_MARK: Final = object()


def _tensor(storage: Any, offset: Any, shape: Any, stride: Any, *_: Any) -> TensorRecord:
    if not isinstance(storage, StorageRecord) or len(shape) != len(stride) or len(shape) > 64:
        raise PickleFault("a tensor is described in an unknown way")
    sizes = (offset, *shape, *stride)
    if not all(type(size) is int and 0 <= size < 1 << 62 for size in sizes):
        raise PickleFault("a tensor has sizes that are no sizes")
    return TensorRecord(storage, offset, tuple(shape), tuple(stride))


def _parameter(data: Any, *_: Any) -> Any:
    return data


def _mapping(*pairs: Any) -> dict[Any, Any]:
    return _plain_keys((pair[0], pair[1]) for pair in pairs[0]) if pairs else {}


def _plain_keys(items: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """Keys are texts and numbers: hashing nested tuples takes time without bounds."""
    return {key: value for key, value in items if isinstance(key, (str, bytes, int, float))}


def _inert(*_: Any) -> _Inert:
    return INERT


_CALLS: Final[dict[str, Callable[..., Any]]] = {
    "collections.OrderedDict": _mapping,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    "torch.Size": lambda sizes=(): tuple(sizes),
    **dict.fromkeys(
        (
            "argparse.Namespace",
            "builtins.set",
            "__builtin__.set",
            "_codecs.encode",
            "collections.Counter",
            "collections.defaultdict",
            "copy_reg._reconstructor",
            "copyreg._reconstructor",
            "datetime.date",
            "datetime.datetime",
            "datetime.timedelta",
            "numpy.core.multiarray.scalar",
            "numpy._core.multiarray.scalar",
            "numpy.dtype",
            "pathlib.Path",
            "pathlib.PosixPath",
            "pathlib.PurePosixPath",
            "torch.device",
        ),
        _inert,
    ),
}
_NAMED: Final = frozenset(
    {"builtins.dict", "__builtin__.dict", "builtins.object", "__builtin__.object", "builtins.list", "__builtin__.list"}
    | {f"torch.{name}" for name in DTYPES}
    | {f"torch.cuda.{name}" for name in DTYPES}
    | {str(dtype) for dtype in DTYPES.values()}
)
KNOWN: Final = frozenset(_CALLS) | _NAMED


def read_pickle(file: BytesIO) -> Any:
    """The value of the pickle that starts here; the file is left behind it.

    Raises:
        PickleFault: it is damaged, too long or made of something else than plain values and tensors.
        ForbiddenGlobals: it asks for a global that is not known.
    """
    machine, start = _Machine(), file.tell()
    try:
        for opcode, argument, _ in islice(pickletools.genops(file), _MOST_OPCODES):
            if opcode.name == "STOP":
                return machine.pop()
            machine.step(opcode.name, argument)
    except ForbiddenGlobals as fault:
        others = (name for name in pickled_globals(file.getvalue()[start:]) if name not in KNOWN)
        raise ForbiddenGlobals((*fault.names, *others)) from fault
    except PickleFault:
        raise
    except Exception as error:  # pickletools and a stack that runs dry raise many kinds
        raise PickleFault(f"its pickle is damaged ({type(error).__name__})") from error
    raise PickleFault(f"its pickle has more than {_MOST_OPCODES} instructions")


class _Machine:
    """The stack and the memo of one pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}
        self.copied = 0

    def pop(self) -> Any:
        value = self.stack.pop()
        if value is _MARK:
            raise PickleFault("its pickle is damaged (a mark is in the way)")
        return value

    def drop(self, count: int) -> None:
        del self.stack[len(self.stack) - count :]

    def drop_to_mark(self) -> None:
        self.since_mark()

    def since_mark(self) -> list[Any]:
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise PickleFault("its pickle is damaged (a mark is missing)")
        values = self.stack[at + 1 :]
        del self.stack[at:]
        return values

    def step(self, name: str, argument: Any) -> None:
        if name in _PUSHES:
            self.stack.append(argument)
        elif name in _SILENT:
            return
        elif name in _MAKES:
            self.stack.append(_MAKES[name]())
        elif name in _ACTS:
            _ACTS[name](self, argument)
        else:
            raise PickleFault(f"its pickle uses {name}")

    def put(self, argument: Any) -> None:
        self.memo[len(self.memo) if argument is None else int(argument)] = self.stack[-1]

    def get(self, argument: Any) -> None:
        self.stack.append(self.memo[int(argument)])

    def tuple_of(self, count: int) -> None:
        values = tuple(self.pop() for _ in range(count))[::-1]
        self.stack.append(values)

    def append(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(values)
        elif target is not INERT:
            raise PickleFault("its pickle appends to something that is no list")

    def set_items(self, values: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            target.update(_plain_keys(zip(values[::2], values[1::2], strict=True)))
        elif target is not INERT:
            raise PickleFault("its pickle sets items of something that is no dict")

    def find(self, name: str) -> None:
        if name not in KNOWN:
            raise ForbiddenGlobals((name,))
        self.stack.append(Global(name))

    def call(self, function: Any, arguments: Any) -> None:
        if function is INERT:
            self.stack.append(INERT)
            return
        if not isinstance(function, Global) or not isinstance(arguments, tuple):
            raise PickleFault("its pickle calls something that is no function")
        if function.name not in _CALLS:
            raise PickleFault(f"its pickle calls {function.name}")
        self.copied += len(arguments[0]) if arguments and isinstance(arguments[0], (list, tuple)) else 0
        if self.copied > _MOST_OPCODES:
            raise PickleFault("its pickle unfolds to more than it holds")
        self.stack.append(_CALLS[function.name](*arguments))

    def reduce(self) -> None:
        arguments = self.pop()
        self.call(self.pop(), arguments)

    def build(self) -> None:
        """Attributes: an OrderedDict's ``_metadata``, or those of something inert."""
        self.pop()
        if self.stack[-1] is not INERT and not isinstance(self.stack[-1], dict):
            raise PickleFault("its pickle gives attributes to something that has none")

    def persistent(self) -> None:
        match self.pop():
            case ("storage" | b"storage", Global(name), key, _, int(numel), *rest) if name in _NAMED and not any(rest):
                dtype = DTYPES.get(name.rpartition(".")[2])
                if dtype is None or numel < 0:
                    raise PickleFault(f"a storage of {name}")
                self.stack.append(StorageRecord(_text(key), dtype, numel))
            case ("module" | b"module", *_):
                raise ForbiddenGlobals(("torch.nn.modules",))
            case _:
                raise PickleFault("a storage is described in an unknown way")


def _text(key: Any) -> str:
    if isinstance(key, bytes):
        key = key.decode("ascii")
    if not isinstance(key, str) or len(key) > 100:
        raise PickleFault("a storage has no proper key")
    return key


def _set_of(machine: _Machine) -> None:
    machine.since_mark()
    machine.stack.append(INERT)


def _dict_of(machine: _Machine) -> None:
    values = machine.since_mark()
    machine.stack.append(_plain_keys(zip(values[::2], values[1::2], strict=True)))


def _two(machine: _Machine) -> list[Any]:
    second = machine.pop()
    return [machine.pop(), second]


def _stack_global(machine: _Machine) -> None:
    module, name = _two(machine)
    if not isinstance(module, str) or not isinstance(name, str):
        raise PickleFault("its pickle names a global by something that is no text")
    machine.find(f"{module}.{name}")


_PUSHES: Final = frozenset(
    {"BININT", "BININT1", "BININT2", "INT", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"}
    | {"UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "STRING", "BINSTRING", "SHORT_BINSTRING"}
    | {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8"}
)
_SILENT: Final = frozenset({"PROTO", "FRAME"})
_MAKES: Final[dict[str, Callable[[], Any]]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_TUPLE": tuple,
    "EMPTY_LIST": list,
    "EMPTY_DICT": dict,
    "EMPTY_SET": lambda: INERT,
    "MARK": lambda: _MARK,
}
_ACTS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.since_mark())),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: _dict_of(machine),
    "APPEND": lambda machine, _: machine.append([machine.pop()]),
    "APPENDS": lambda machine, _: machine.append(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.set_items(_two(machine)),
    "SETITEMS": lambda machine, _: machine.set_items(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.drop_to_mark(),
    "FROZENSET": lambda machine, _: _set_of(machine),
    "PUT": lambda machine, argument: machine.put(argument),
    "BINPUT": lambda machine, argument: machine.put(argument),
    "LONG_BINPUT": lambda machine, argument: machine.put(argument),
    "MEMOIZE": lambda machine, _: machine.put(None),
    "GET": lambda machine, argument: machine.get(argument),
    "BINGET": lambda machine, argument: machine.get(argument),
    "LONG_BINGET": lambda machine, argument: machine.get(argument),
    "POP": lambda machine, _: machine.drop(1),
    "POP_MARK": lambda machine, _: machine.drop_to_mark(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "GLOBAL": lambda machine, argument: machine.find(str(argument).replace(" ", ".")),
    "STACK_GLOBAL": lambda machine, _: _stack_global(machine),
    "REDUCE": lambda machine, _: machine.reduce(),
    "NEWOBJ": lambda machine, _: machine.reduce(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.persistent(),
}
