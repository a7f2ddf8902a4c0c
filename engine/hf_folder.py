"""A Hugging Face folder, unpacked: ``config.json`` and weights become a module; tokenizer and preprocessing are found.

Only classes of the list in ``engine.architectures.from_transformers``. Code in the folder is never looked at, weights
are read by ``engine.weights`` and handed over as tensors. Not covered: quantized weights, adapters, label names.
"""

from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from pydantic import ValidationError
from tokenizers import Tokenizer

from engine.architectures import from_transformers as transformers_classes
from engine.architectures.bounded import bounded
from engine.architectures.build import constructing
from engine.architectures.built import Built
from engine.architectures.library import library
from engine.pt2.bounded_json import parse
from engine.pt2.checks import Wrong
from engine.quiet import quiet
from engine.weights import read_tensors
from engine.weights.compare import Mismatch
from engine.weights.fit import mismatch, precision_notes
from engine.weights.refusals import unreadable
from pith.architecture_arguments import argument_problem, refused
from pith.dataset import AudioPreprocessing, ImagePreprocessing, Preprocessing
from pith.errors import PithError

_MOST_JSON, _MOST_TOKENIZER, _MOST_DEPTH, _MOST_SHARDS = 16 << 20, 128 << 20, 16, 512
_WEIGHTS: Final = ("model.safetensors", "pytorch_model.bin")


class HuggingFaceModel(NamedTuple):
    """The module with its weights, and the path of its tokenizer's file, which was seen to load."""

    built: Built
    tokenizer: Path | None


def find_root(folder: Path) -> Path | None:
    """Where ``config.json`` lies: in the folder, or in the only folder within it."""
    inner = list(folder.iterdir())
    places = [folder, *(inner if len(inner) == 1 and inner[0].is_dir() else [])]
    return next((place for place in places if (place / "config.json").is_file()), None)


def read_folder(folder: Path) -> HuggingFaceModel:
    """The model of the folder, as its class says, in float32 and eval mode.

    Raises:
        PithError: ``architecture_unknown``, ``architecture_refused``, ``model_malformed``, ``model_too_large``,
            ``weights_mismatch``, or what reading the weights raises.
    """
    root = find_root(folder)
    if root is None:
        raise PithError("model_malformed", where="its members", reason="there is no config.json")
    told = _json(root / "config.json")
    name = _class_name(told)
    tokenizer = _tokenizer(root / "tokenizer.json")
    tensors, notes = _tensors(root)
    module = _loaded(name, _arguments(name, told), tensors)
    use = library("transformers").use(name, module, {}, None)
    use = use._replace(preprocessing=_preprocessing(root / "preprocessor_config.json", use.preprocessing))
    return HuggingFaceModel(Built(f"transformers/{name}", module, *use, notes=notes), tokenizer)


def _json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > _MOST_JSON:
        raise PithError("model_too_large", what=f"The size of {path.name}", value=path.stat().st_size, limit=_MOST_JSON)
    try:
        value = parse(path.read_bytes(), _MOST_DEPTH)
    except Wrong as wrong:
        raise PithError("model_malformed", where=path.name, reason=wrong) from wrong
    if not isinstance(value, dict):
        raise PithError("model_malformed", where=path.name, reason="it is no JSON object")
    return value


def _class_name(told: dict[str, Any]) -> str:
    named = told.get("architectures")
    name = named[0] if isinstance(named, list) and len(named) == 1 else None
    if told.get("auto_map"):
        way_out = "send a folder whose class is part of transformers, or a .pt2"
        raise PithError(
            "architecture_refused", name="the folder", reason="its class is in its own code", way_out=way_out
        )
    if told.get("quantization_config"):
        way_out = "send the weights before quantization"
        raise PithError("architecture_refused", name="the folder", reason="its weights are quantized", way_out=way_out)
    if not isinstance(name, str) or name not in transformers_classes.names():
        known = ", ".join(transformers_classes.names())
        way_out = f"name one of these in its config.json under architectures: {known}."
        raise PithError("architecture_unknown", name=str(name)[:80], way_out=way_out)
    return name


def _arguments(name: str, told: dict[str, Any]) -> dict[str, Any]:
    """The fields that the class's configuration has; of label names only their number."""
    known = set(transformers_classes.accepted(name)) - {"id2label", "label2id"}
    found = {key: value for key, value in told.items() if key in known and not refused(key)}
    for key, value in found.items():
        if problem := argument_problem(value):
            raise PithError("model_malformed", where="config.json", reason=f"{key} {problem}")
    labels = told.get("id2label")
    if isinstance(labels, dict) and labels:
        found["num_labels"] = len(labels)
    return found


def _tensors(root: Path) -> tuple[dict[str, torch.Tensor], tuple[str, ...]]:
    for name in _WEIGHTS:
        if (root / name).is_file():
            weights = read_tensors(root / name)
            return weights.tensors, (*weights.notes, *precision_notes(weights.tensors.values()))
        if (index := root / f"{name}.index.json").is_file():
            tensors = _sharded(root, index)
            return tensors, precision_notes(tensors.values())
    return unreadable(f"the folder has none of {' and '.join(_WEIGHTS)}, nor an index of their parts")


def _sharded(root: Path, index: Path) -> dict[str, torch.Tensor]:
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(place, str) for place in places.values()):
        raise PithError("model_malformed", where=index.name, reason="its weight_map is none")
    shards = sorted(set(places.values()))
    if len(shards) > _MOST_SHARDS:
        raise PithError("model_too_large", what="The number of shards", value=len(shards), limit=_MOST_SHARDS)
    tensors: dict[str, torch.Tensor] = {}
    for shard in shards:
        if Path(shard).name != shard or not (root / shard).is_file():
            raise PithError("model_malformed", where=index.name, reason=f"there is no shard {shard[:80]!r}")
        for name, tensor in read_tensors(root / shard).tensors.items():
            if places.get(name) != shard:
                raise PithError("model_malformed", where=shard, reason=f"{name} is not where the index says")
            tensors[name] = tensor
    return tensors


def _loaded(name: str, arguments: dict[str, Any], tensors: dict[str, torch.Tensor]) -> Any:
    """The class with the tensors, through the library's own renaming of older names; differences are errors."""
    label = f"transformers/{name}"
    with constructing(label, library("transformers"), name), quiet(), bounded():
        with torch.device("meta"):
            kind = transformers_classes.plain_class(name)
            transformers_classes.from_config(kind, kind.config_class(**arguments))
        module, info = _from_pretrained(kind, kind.config_class(**arguments), tensors)
    shapes = {key: (tuple(given), tuple(wanted)) for key, given, wanted in info["mismatched_keys"]}
    missing = sorted(set(info["missing_keys"]) - set(shapes))
    difference = Mismatch(tuple(missing), tuple(sorted(info["unexpected_keys"])), shapes)
    if difference.differences():
        raise mismatch(difference, label, "send the config.json that belongs to these weights")
    return module.eval()


def _from_pretrained(kind: Any, config: Any, tensors: dict[str, torch.Tensor]) -> Any:
    config.use_cache = False
    given: dict[str, Any] = {
        "config": config,
        "state_dict": tensors,
        "dtype": torch.float32,
        "output_loading_info": True,
        "ignore_mismatched_sizes": True,
        "local_files_only": True,
        "trust_remote_code": False,
    }
    try:
        return kind.from_pretrained(None, attn_implementation="sdpa", **given)
    except ValueError:
        return kind.from_pretrained(None, attn_implementation="eager", **given)


def _tokenizer(path: Path) -> Path | None:
    if not path.is_file():
        return None
    if path.stat().st_size > _MOST_TOKENIZER:
        size = path.stat().st_size
        raise PithError("model_too_large", what="The size of tokenizer.json", value=size, limit=_MOST_TOKENIZER)
    try:
        Tokenizer.from_file(str(path)).encode("one text")
    except BaseException as error:  # a panic of the library is no Exception
        if isinstance(error, (KeyboardInterrupt, SystemExit, MemoryError)):
            raise
        raise PithError("model_malformed", where=path.name, reason=str(error)[:200]) from error
    return path


def _preprocessing(path: Path, default: Preprocessing | None) -> Preprocessing | None:
    """What the folder says, over what its class says."""
    if not path.is_file() or default is None:
        return default
    told = _json(path)
    try:
        if isinstance(default, ImagePreprocessing):
            return ImagePreprocessing.model_validate(default.model_dump() | _image(told))
        if isinstance(default, AudioPreprocessing) and "sampling_rate" in told:
            return AudioPreprocessing.model_validate(default.model_dump() | {"sample_rate": told["sampling_rate"]})
    except (ValidationError, TypeError, KeyError) as error:
        raise PithError("model_malformed", where=path.name, reason="its values are none that can be used") from error
    return default


def _image(told: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if told.get("do_normalize", True) and "image_mean" in told and "image_std" in told:
        found |= {"mean": told["image_mean"], "std": told["image_std"]}
    size = told.get("crop_size") if told.get("do_center_crop") else None
    size = size or told.get("size")
    if isinstance(size, int):
        found["size"] = (size, size)
    elif isinstance(size, dict) and "height" in size:
        found["size"] = (size["height"], size["width"])
    resized = told.get("size")
    if isinstance(resized, dict) and "shortest_edge" in resized and told.get("do_center_crop"):
        found["resize"] = resized["shortest_edge"]
    return found
