"""Sample inputs: a pickle that torch opens. It is read for the globals it names, and never kept."""

import re
from typing import BinaryIO

from engine.pt2.pickles import pickled_globals
from engine.zip_index import Member, ZipFault, read_index
from pith.errors import PithError

_PLAIN = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type_v2|torch\.Tensor|torch\.serialization\._get_layout|torch\.(?:cuda\.)?[A-Z]\w*Storage|"
    r"torch\.(?:float|bfloat|int|uint|complex|bool)\w*|torch\.(?:strided|contiguous_format|channels_last)"
)
_NAMES = frozenset(
    {"collections.OrderedDict", "torch.Size", "torch.device", "torch.storage.UntypedStorage"}
    | {"torch.nn.parameter.Parameter", "builtins.set", "__builtin__.set"}
)
_MOST_PICKLE, _MOST_MEMBERS = 1 << 24, 100_000


def check_sample_inputs(file: BinaryIO, member: Member) -> None:
    """Refuse sample inputs that hold more than tensors, numbers, texts and plain containers.

    Raises:
        PithError: ``model_unsafe``.
    """
    if not member.size:
        return
    for name in pickled_globals(_pickle(file, member)):
        if not _is_plain(name):
            raise _unsafe(f"sample inputs that ask for {name}")


def _pickle(file: BinaryIO, member: Member) -> bytes:
    """The pickle inside what ``torch.save`` wrote; all of the bytes when they are no zip."""
    try:
        inner = read_index(file, _MOST_MEMBERS, begin=member.start, end=member.start + member.size)
    except ZipFault as fault:
        if fault.kind != "not_an_archive":
            raise _unsafe("sample inputs in a damaged archive") from fault
        file.seek(member.start)
        return file.read(min(member.size, _MOST_PICKLE))
    pickle = next((found for name, found in inner.items() if name.partition("/")[2] == "data.pkl"), None)
    if pickle is None or pickle.packed > _MOST_PICKLE:
        raise _unsafe("sample inputs without a pickle of sane size")
    file.seek(pickle.start)
    return file.read(pickle.packed)


def _is_plain(name: str) -> bool:
    return name in _NAMES or bool(_PLAIN.fullmatch(name))


def _unsafe(found: str) -> PithError:
    return PithError("model_unsafe", found=found, way_out="export it with an example of plain tensors")
