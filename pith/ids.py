"""Identifiers: a prefix that says what it names, and 26 characters that sort by time (ULID, base 32)."""

import secrets
import time
from typing import Annotated, Literal

from pydantic import StringConstraints

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_BODY = rf"[{_ALPHABET}]{{26}}"

Prefix = Literal["mdl", "dts", "job", "art", "upl", "prj", "key", "whk", "dlv"]

ModelId = Annotated[str, StringConstraints(pattern=rf"^mdl_{_BODY}$")]
DatasetId = Annotated[str, StringConstraints(pattern=rf"^dts_{_BODY}$")]
JobId = Annotated[str, StringConstraints(pattern=rf"^job_{_BODY}$")]
UploadId = Annotated[str, StringConstraints(pattern=rf"^upl_{_BODY}$")]
ProjectId = Annotated[str, StringConstraints(pattern=rf"^prj_{_BODY}$")]
KeyId = Annotated[str, StringConstraints(pattern=rf"^key_{_BODY}$")]
WebhookId = Annotated[str, StringConstraints(pattern=rf"^whk_{_BODY}$")]
DeliveryId = Annotated[str, StringConstraints(pattern=rf"^dlv_{_BODY}$")]
ArtifactId = Annotated[str, StringConstraints(pattern=rf"^art_{_BODY}$")]


def new_id(prefix: Prefix) -> str:
    """A fresh identifier: 48 bits of milliseconds, then 80 random bits."""
    number = (time.time_ns() // 1_000_000 << 80) | secrets.randbits(80)
    return f"{prefix}_" + "".join(_ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))
