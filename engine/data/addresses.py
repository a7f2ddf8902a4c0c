"""Bytes that stand in a page or a report by themselves: data: addresses."""

import base64
import io

from PIL import Image

SIDE = 96


def address(media: str, data: bytes) -> str:
    return f"data:{media};base64,{base64.b64encode(data).decode()}"


def thumbnail(image: Image.Image) -> str:
    """The picture as PNG, made smaller until it is at most ``SIDE`` pixels wide and high."""
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return address("image/png", buffer.getvalue())
