"""Which preprocessing a job uses, settled against what the model takes.

The job's own comes first, then the one that the dataset's schema asks for, then the model's, then what was derived from
the samples. Sizes that are left open are the model's.
"""

from pathlib import Path

from engine.data.canonical import Canonical
from engine.data.fit import check_family, family
from engine.data.refusals import mismatch
from engine.signature import Signature, TensorSpec
from pith.dataset import AudioPreprocessing, ImagePreprocessing, Preprocessing, TextPreprocessing


def choose(
    canonical: Canonical,
    signature: Signature,
    asked: Preprocessing | None,
    model: Preprocessing | None,
    tokenizer: Path | None,
) -> Preprocessing | None:
    """None for tensors, which go in as they are.

    Raises:
        PithError: ``dataset_mismatch``.
    """
    facts = canonical.facts
    told = asked or (facts.preprocessing if facts.preprocessing_declared else None)
    if told is not None:
        check_family(canonical, told)
    kind = family(canonical)
    if kind == "tensor":
        return _sized(told, signature.inputs[0], True) if isinstance(told, ImagePreprocessing) else None
    if told is None and model is not None and model.kind == kind:
        told = model
    declared = told is not None
    how = told or facts.preprocessing
    if isinstance(how, ImagePreprocessing):
        return _sized(how, signature.inputs[0], declared)
    if isinstance(how, TextPreprocessing):
        return _long(how, signature.inputs[0], declared, tokenizer)
    if isinstance(how, AudioPreprocessing) and not declared:
        return _waves(how, signature.inputs[0])
    return how


def _sized(how: ImagePreprocessing, spec: TensorSpec, declared: bool) -> ImagePreprocessing:
    """With the model's height and width where nobody has named any, and its channels where nobody has declared them."""
    changes: dict[str, object] = {}
    if len(spec.shape) == 4:
        channels, height, width = spec.shape[1:]
        if (how.size is None or not declared) and height is not None and width is not None:
            changes["size"] = (height, width)
        if not declared and channels in (1, 3):
            changes["channels"] = channels
    how = how.model_copy(update=changes)
    for name, values in (("mean", how.mean), ("std", how.std)):
        if len(values) not in (0, 1, how.channels):
            raise mismatch(
                "preprocessing", f"has {len(values)} values of {name}", f"give one, or {how.channels} as channels are"
            )
    if any(value <= 0 for value in how.std):
        raise mismatch("preprocessing", f"has the std {how.std}", "give numbers above 0")
    return how


def _long(how: TextPreprocessing, spec: TensorSpec, declared: bool, tokenizer: Path | None) -> TextPreprocessing:
    """By the model's tokenizer where it has one and nobody asked for words; as long as the model's texts."""
    if not declared and tokenizer is not None:
        how = TextPreprocessing(tokenizer="model")
    length = spec.shape[1] if len(spec.shape) == 2 else None
    return how if declared or length is None else how.model_copy(update={"length": length})


def _waves(how: AudioPreprocessing, spec: TensorSpec) -> AudioPreprocessing:
    """Waveforms for models that take one number after another."""
    flat = len(spec.shape) == 2 or (len(spec.shape) == 3 and spec.shape[1] == 1)
    if not flat:
        return how
    length = spec.shape[-1]
    changes: dict[str, object] = {"features": "waveform"}
    if length is not None:
        changes["seconds"] = length / how.sample_rate
    return how.model_copy(update=changes)
