"""Random streams: each is derived from the job's seed and the place where it is used, never from what came before.

That is what makes a resumed run equal to an undisturbed one: there is no random state to restore.
"""

import hashlib

import torch


def stream(seed: int, *place: int) -> int:
    """63 bits that depend on the seed and on every number of the place."""
    digest = hashlib.blake2b(repr((seed, *place)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, *place: int) -> torch.Generator:
    return torch.Generator().manual_seed(stream(seed, *place))
