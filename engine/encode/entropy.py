"""Entropy coding, the ending of Deep Compression (Han et al. 2016, arXiv 1510.00149), into one file.

The file holds everything that it counts: graph, names, codebooks, biases. Lossless: before the step ends, what comes
out is compared with what went in. Coders are those of ``packing``; none is the standard DeepCABAC.
"""

from dataclasses import replace

import onnx

from engine.context import Context, scratch_file
from engine.encode.canonical import canonical
from engine.encode.packing import Packed, pack
from engine.export import write_onnx
from engine.model import Model
from pith.errors import PithError
from pith.packed.container import unpack
from pith.techniques.encode.entropy import EncodeEntropy


def apply(model: Model, config: EncodeEntropy, ctx: Context) -> Model:
    source, finished = scratch_file(ctx.folder, "entropy-source.onnx"), scratch_file(ctx.folder, "entropy.onnx")
    write_onnx(model, source)
    before = source.stat().st_size
    packed = pack(*canonical(onnx.load(source)))
    check_readable(packed)
    finished.write_bytes(packed.model)
    target = scratch_file(ctx.folder, "model.pith")
    target.write_bytes(packed.data)
    ctx.note(_said(before, packed))
    return replace(model, finished=finished, packed=target)


def check_readable(packed: Packed) -> None:
    """What comes out must be what went in.

    Raises:
        RuntimeError: it is not, which is a fault of the engine.
    """
    try:
        found = unpack(packed.data).model
    except PithError as error:
        raise RuntimeError("what was packed cannot be read again") from error
    if found != packed.model:
        raise RuntimeError("what was packed does not come out again")


def _said(before: int, packed: Packed) -> str:
    after = len(packed.data)
    total = max(1, sum(packed.won.values()))
    shares = ", ".join(f"{name} {100 * size / total:.0f} %" for name, size in packed.won.most_common() if size)
    return (
        f"{before:,} bytes became {after:,}, {before / after:.1f} times fewer; of the weights' bytes went to {shares}."
    )
