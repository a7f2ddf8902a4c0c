"""What the Hugging Face ``datasets`` library writes into the schema of its files: the names of classes.

Nothing of it is code here: README, scripts and dataset_info are not read.
"""

import json
from typing import Any

import pyarrow as pa

from engine.data.limits import CLASSES

_KEY, _MAX = b"huggingface", 8 << 20


def class_names(schema: pa.Schema) -> dict[str, tuple[str, ...]]:
    """Names of the classes of each ``ClassLabel`` column; none where the note is missing or is not understood."""
    text = (schema.metadata or {}).get(_KEY, b"")
    if not text or len(text) > _MAX or text.count(b"{") > 100_000 or text.count(b"[") > 100_000:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
        found = {name: _names(feature) for name, feature in features.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return {}
    return {name: names for name, names in found.items() if names}


def _names(feature: Any) -> tuple[str, ...]:
    if not isinstance(feature, dict) or feature.get("_type") != "ClassLabel":
        return ()
    names = feature.get("names")
    if not isinstance(names, list) or len(names) > CLASSES or not all(isinstance(name, str) for name in names):
        return ()
    return tuple(names)
