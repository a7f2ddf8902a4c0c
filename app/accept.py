"""Which of two or three media types a caller would rather have (RFC 9110, section 12.5.1)."""


def preferred(accept: str | None, offered: tuple[str, ...]) -> str:
    """The best of ``offered``, whose first is given to who does not mind, and to who wants none of them."""
    ranges = [_range(part) for part in (accept or "*/*").split(",")]
    return max(offered, key=lambda kind: max((quality for name, quality in ranges if _fits(name, kind)), default=0.0))


def _range(part: str) -> tuple[str, float]:
    name, *parameters = (piece.strip().lower() for piece in part.split(";"))
    quality = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return name, float(quality)
    except ValueError:
        return name, 0.0


def _fits(name: str, kind: str) -> bool:
    return name in {"*/*", kind, f"{kind.split('/')[0]}/*"}
