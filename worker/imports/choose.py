"""Which files of a repository or a registered model are the model, in a form that intake reads. Never a program."""

from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath

from pith.errors import PithError

_BESIDES = (
    "config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "preprocessor_config.json",
)
_INDEXES = {".safetensors": "model.safetensors.index.json", ".bin": "pytorch_model.bin.index.json"}
_TEXTS = frozenset({"", ".yaml", ".yml", ".txt", ".json", ".md", ".py", ".ipynb", ".pkl"})
_ALONE = (".pt2", ".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_WAY_OUT = "it should hold one .pt2, one .onnx, or a config.json with safetensors"


def choose(paths: Iterable[str], source: str) -> Mapping[str, str]:
    """The paths to fetch, each with the name to pack it under; a single one is the model's file itself.

    Raises:
        PithError: ``import_refused``.
    """
    known = sorted(path for path in paths if not path.endswith(".py"))
    if exported := _only(known, ".pt2"):
        return exported
    if folder := _transformers(known):
        return folder
    if graph := _only(known, ".onnx"):
        return _with_data(known, next(iter(graph)))
    for ending in _ALONE:
        if found := _only(known, ending):
            return found
    shown = ", ".join(path[:60] for path in known[:5]) or "nothing"
    raise PithError(
        "import_refused", source=source, reason=f"no one model is found in it (it holds {shown})", way_out=_WAY_OUT
    )


def _only(paths: Iterable[str], ending: str) -> Mapping[str, str]:
    found = [path for path in paths if path.endswith(ending)]
    return {found[0]: _base(found[0])} if len(found) == 1 else {}


def _transformers(paths: list[str]) -> Mapping[str, str]:
    """A config.json and the weights beside it; its tokenizer may lie in a folder of its own, as MLflow packs it."""
    places = [path.removesuffix("config.json") for path in paths if _base(path) == "config.json"]
    for place in sorted(places, key=lambda place: (place.count("/"), place)):
        beside = [path for path in paths if path.startswith(place) and "/" not in path[len(place) :]]
        weights = _weights(beside)
        if weights:
            elsewhere = {_base(path): path for path in paths if _base(path) in _BESIDES and "components/" in path}
            named = elsewhere | {_base(path): path for path in beside if _base(path) in _BESIDES}
            return {path: name for name, path in named.items()} | {path: _base(path) for path in weights}
    return {}


def _weights(beside: list[str]) -> list[str]:
    """Safetensors, or else the older form."""
    for ending, index in _INDEXES.items():
        single = f"{index.removesuffix('.index.json')}"
        found = [path for path in beside if _base(path) == single]
        parts = [path for path in beside if path.endswith(ending) and "-of-" in path]
        indexed = [path for path in beside if _base(path) == index]
        if found or (parts and indexed):
            return found or [*parts, *indexed]
    return []


def _with_data(paths: list[str], graph: str) -> Mapping[str, str]:
    """An ONNX file, and what lies beside it and may hold its weights."""
    place = graph.rpartition("/")[0]
    beside = [path for path in paths if path.rpartition("/")[0] == place and PurePosixPath(path).suffix not in _TEXTS]
    return {path: _base(path) for path in beside}


def _base(path: str) -> str:
    return path.rpartition("/")[2]
