"""Every key below the prefix of PITH_BLOB_URL, in one place, and how large parts are.

blobs/<random>          an object; the database knows which blob it is. Or an upload of S3's own, in parts
tails/<random>.<n>      of an upload that can be resumed: what came after its last whole part
check                   stored and deleted to see whether that works
"""

FOLDER = "blobs/"
TAILS = "tails/"
CHECK = "check"
PART_BYTES = 16 * 2**20
"""The first parts; S3 takes ten thousand, so that later ones of a very large blob are larger."""
_GROW_EVERY = 2000


def part_bytes(number: int) -> int:
    """How large a part is, by its number from 1: nine thousand of them hold more than 400 GB."""
    return PART_BYTES * (1 + (number - 1) // _GROW_EVERY)
