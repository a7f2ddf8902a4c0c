"""Pictures: known by their first bytes, decoded by Pillow with the decoders that are named here and no others.

Not covered: TIFF and other formats, animation beyond the first picture, rotation noted in EXIF.
"""

import io
import warnings
from typing import Any

import numpy as np
from PIL import Image

from engine.data.limits import PICTURE_PIXELS
from engine.data.refusals import said

Pixels = np.ndarray[Any, np.dtype[np.uint8]]
_SIGNATURES = {b"\x89PNG\r\n\x1a\n": "PNG", b"\xff\xd8\xff": "JPEG", b"GIF87a": "GIF", b"GIF89a": "GIF", b"BM": "BMP"}


class BadPicture(Exception):
    """What is wrong with it, to stand behind the name of the sample."""


def picture_format(start: bytes) -> str | None:
    """PNG, JPEG, WEBP, BMP or GIF, by at least the first 12 bytes."""
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        return "WEBP"
    return next((name for sign, name in _SIGNATURES.items() if start.startswith(sign)), None)


def decode(data: bytes) -> Image.Image:
    """The picture, fully decoded, as RGB or as L (grey, 8 bits).

    Raises:
        BadPicture: it is damaged, too large or in another format.
    """
    form = picture_format(data[:16])
    if form is None:
        raise BadPicture("is no PNG, JPEG, WebP, BMP or GIF picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=(form,)) as image:
                width, height = image.size
                if width * height > PICTURE_PIXELS:
                    raise BadPicture(f"has {width} x {height} pixels, and {PICTURE_PIXELS} is the most")
                image.load()
                return _eight_bits(image)
    except Image.DecompressionBombError:
        raise BadPicture(f"has more than {PICTURE_PIXELS} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, KeyError, MemoryError) as error:
        raise BadPicture(f"cannot be decoded ({said(error)})") from None


def _eight_bits(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float64)
        scaled = values / 257 if image.mode.startswith("I") else values
        return Image.fromarray(np.clip(np.rint(scaled), 0, 255).astype(np.uint8))
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode == "LA":
        return image.convert("L")
    return image.convert("RGBA").convert("RGB") if image.mode == "P" else image.convert("RGB")


def pixels(image: Image.Image, channels: int, size: tuple[int, int] | None, resize: int | None) -> Pixels:
    """(channels, height, width): the shorter side to ``resize``, the centre of ``size`` cut out; without ``resize``
    stretched to ``size``."""
    image = image.convert("L" if channels == 1 else "RGB")
    if resize is not None:
        image = _shorter_side(image, resize)
        image = image if size is None else _centre(image, size)
    elif size is not None and (image.height, image.width) != size:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    found: Pixels = np.array(image, dtype=np.uint8).reshape(image.height, image.width, channels).transpose(2, 0, 1)
    return found


def _shorter_side(image: Image.Image, side: int) -> Image.Image:
    scale = side / min(image.size)
    wanted = (max(side, round(image.width * scale)), max(side, round(image.height * scale)))
    if wanted[0] * wanted[1] > PICTURE_PIXELS:
        raise BadPicture(f"would have {wanted[0]} x {wanted[1]} pixels after resizing")
    return image if wanted == image.size else image.resize(wanted, Image.Resampling.BILINEAR)


def _centre(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """The centre of that height and width; what lies outside a smaller picture is black."""
    top, left = round((image.height - size[0]) / 2), round((image.width - size[1]) / 2)
    return image.crop((left, top, left + size[1], top + size[0]))
