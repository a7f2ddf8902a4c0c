"""Code that loads an artifact and runs it on a sample, written for one model. Names that come from the model stand in
it as quoted texts alone. Not covered: making inputs of pictures, sounds or texts; a comment says where that is told."""

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import assert_never

from engine.export import input_names
from engine.model import Model
from engine.signature import TensorSpec, default_names
from pith.artifact import ResultFormat
from pith.dataset import (
    AudioPreprocessing,
    FittedPreprocessing,
    ImagePreprocessing,
    TabularPreprocessing,
    TextPreprocessing,
)

_LINE = 88
_ORDINARY = re.compile(r"[A-Za-z0-9_.]+")


@dataclass(frozen=True)
class Code:
    """``needs`` are packages, as pip names them."""

    needs: tuple[str, ...]
    text: str


def code_for(form: ResultFormat, file: str, model: Model, fitted: FittedPreprocessing | None) -> Code:
    """``file`` is the artifact's name; the code is to be run beside it."""
    told = "".join(f"{line}\n" for line in _comment(f"The sample: {explained(fitted)}")) if fitted else ""
    return _WRITTEN[form](_quoted(file), model, told)


def explained(fitted: FittedPreprocessing) -> str:
    """How a sample becomes the model's input."""
    match how := fitted.preprocessing:
        case ImagePreprocessing():
            size = f"resized and cropped to {how.size[0]} by {how.size[1]} pixels" if how.size else "of any size"
            scaled = "scaled to 0..1" + (", normalized with the mean and std in preprocessing.json" if how.mean else "")
            return f"a picture, {size}, {scaled}, channels first (preprocessing.json has all of it)."
        case TextPreprocessing():
            return f"token ids of a text, by tokenizer.json, padded or cut to {how.length} (see preprocessing.json)."
        case AudioPreprocessing():
            what = "the waveform" if how.features == "waveform" else f"a log-mel spectrogram of {how.mels} bands"
            return f"{what} of {how.seconds:g} s of mono sound at {how.sample_rate} Hz (see preprocessing.json)."
        case TabularPreprocessing():
            return (
                f"a row of a table, its columns made numbers as preprocessing.json says: {len(fitted.table)} columns."
            )
    assert_never(how)


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _LINE - 2)]


def _onnx(file: str, model: Model, told: str) -> Code:
    return Code(("onnxruntime", "numpy"), f"import numpy as np\nimport onnxruntime\n\n{told}{_in_numpy(model, file)}")


def _pith(file: str, model: Model, told: str) -> Code:
    head = (
        "from pathlib import Path\n\nimport numpy as np\nimport onnxruntime\nfrom pith.packed.container import unpack\n"
    )
    opened = f"onnx = unpack(Path({file}).read_bytes()).model  # the bytes of an ONNX file\n"
    return Code(("pith[unpack]", "onnxruntime", "numpy"), f"{head}\n{opened}{told}{_in_numpy(model, 'onnx')}")


def _in_numpy(model: Model, source: str) -> str:
    names = [spec.name for spec in model.signature.inputs] if model.lifted is None else input_names(model.signature)
    given = [f"    {_quoted(name)}: {_array(spec)}," for name, spec in zip(names, model.signature.inputs, strict=True)]
    lines = [
        "sample = {",
        *given,
        "}",
        f'session = onnxruntime.InferenceSession({source}, providers=["CPUExecutionProvider"])',
        "for output, value in zip(session.get_outputs(), session.run(None, sample)):",
        "    print(output.name, value.dtype, value.shape)",
    ]
    return "\n".join(lines) + "\n"


def _array(spec: TensorSpec) -> str:
    made = "zeros" if spec.dtype.is_floating_point else "ones"
    return f"np.{made}({_size(spec)}, dtype={_quoted(str(spec.numpy_dtype))})"


def _pt2(file: str, model: Model, told: str) -> Code:
    given = ", ".join(_tensor(spec) for spec in model.signature.inputs)
    lines = [
        f"model = torch.export.load({file}).module()",
        "with torch.no_grad():",
        f"    found = model({given})",
        *_printing([spec.name for spec in model.signature.outputs]),
    ]
    return Code(("torch",), f"import torch\n\n{told}" + "\n".join(lines) + "\n")


def _tensor(spec: TensorSpec) -> str:
    made = "zeros" if spec.dtype.is_floating_point else "ones"
    return f"torch.{made}({_size(spec)}, dtype={spec.dtype})"


def _printing(names: list[str]) -> Iterable[str]:
    """As ``Model.program`` gives them: one tensor, a tuple, or a dict where outputs have names of their own."""
    if len(names) == 1:
        return ["print(found.dtype, tuple(found.shape))"]
    each = "enumerate(found)" if names == default_names("output", len(names)) else "found.items()"
    return [f"for name, value in {each}:", "    print(name, value.dtype, tuple(value.shape))"]


def _safetensors(file: str, model: Model, told: str) -> Code:
    note = _comment("The weights without a graph: a module of your own takes them with load_state_dict(weights).")
    lines = [
        "from safetensors.torch import load_file",
        "",
        *note,
        f"weights = load_file({file})",
        'print(len(weights), "tensors,", sum(each.numel() for each in weights.values()), "numbers")',
        "for name, weight in list(weights.items())[:3]:",
        "    print(name, weight.dtype, tuple(weight.shape))",
    ]
    return Code(("safetensors", "torch"), "\n".join(lines) + "\n")


def _quoted(name: str) -> str:
    """A text as Python has it."""
    return f'"{name}"' if _ORDINARY.fullmatch(name) else repr(name)


def _size(spec: TensorSpec) -> str:
    """Of one sample; a dimension that may change has the size that it had at export."""
    return repr((1, *spec.example[1:]))


_WRITTEN: dict[ResultFormat, Callable[[str, Model, str], Code]] = {
    "onnx": _onnx,
    "pt2": _pt2,
    "safetensors": _safetensors,
    "pith": _pith,
}
