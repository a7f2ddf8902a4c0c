"""A multipart form read as it arrives: the part ``file`` in pieces, short parts whole. It takes only parts that it was
told of."""

import re
from collections.abc import Collection, Iterator

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from pith.errors import PithError

MOST_BYTES = {"name": 1020}
MOST_OTHER_BYTES = 2**16


class Form:
    """Feed it the body; it gives back what belongs to the file. ``also``: parts besides ``file`` and ``name``."""

    def __init__(self, content_type: str, also: Collection[str] = ()) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise PithError("multipart_malformed", reason=f"Content-Type {content_type[:100]!r} names no boundary")
        self._parser = _parser(options[b"boundary"], self)
        self._pieces: list[bytes] = []
        self._header = self._value = b""
        self._disposition: dict[bytes, bytes] = {}
        self._part: str | None = None
        self._seen: set[str] = set()
        self._known = {"file", "name", *also}
        self._short: dict[str, bytes] = {}
        self._filename = b""
        self.complete = False

    @property
    def name(self) -> str:
        """The part ``name``, or else the file's own, without folders; empty when there is neither."""
        given = self._text(self._short.get("name", b""))
        return given or re.split(r"[/\\]", self._text(self._filename))[-1]

    @property
    def said(self) -> dict[str, str]:
        """The other short parts."""
        return {name: self._text(value) for name, value in self._short.items() if name != "name"}

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Raises:
            PithError: ``multipart_malformed``.
        """
        try:
            self._parser.write(data)
        except FormParserError as fault:
            raise PithError("multipart_malformed", reason=str(fault)) from fault
        pieces, self._pieces = self._pieces, []
        yield from pieces

    def finish(self) -> None:
        """
        Raises:
            PithError: ``multipart_malformed`` when the closing boundary or the file is missing.
        """
        if not self.complete:
            raise PithError("multipart_malformed", reason="it ends before its closing boundary")
        if "file" not in self._seen:
            raise PithError("multipart_malformed", reason="it has no part named 'file'")

    # what the parser calls
    def on_part_begin(self) -> None:
        self._part, self._disposition = None, {}
        self._header = self._value = b""

    def on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def on_header_end(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = parse_options_header(self._value)[1]
        self._header = self._value = b""

    def on_headers_finished(self) -> None:
        part = self._disposition.get(b"name", b"").decode("utf-8", "replace")[:100]
        if part not in self._known:
            raise PithError("multipart_malformed", reason=f"the part {part!r} is not taken")
        if part in self._seen:
            raise PithError("multipart_malformed", reason=f"the part {part!r} comes twice")
        self._seen.add(part)
        self._part = part
        self._filename = self._disposition.get(b"filename", self._filename)

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part == "file":
            self._pieces.append(data[start:end])
            return
        assert self._part is not None
        value = self._short[self._part] = self._short.get(self._part, b"") + data[start:end]
        if len(value) > (most := MOST_BYTES.get(self._part, MOST_OTHER_BYTES)):
            raise PithError("multipart_malformed", reason=f"the part {self._part!r} is longer than {most} bytes")

    def on_end(self) -> None:
        self.complete = True

    @staticmethod
    def _text(value: bytes) -> str:
        return value.decode("utf-8", "replace")


def _parser(boundary: bytes, form: Form) -> MultipartParser:
    try:
        return MultipartParser(
            boundary,
            {
                "on_part_begin": form.on_part_begin,
                "on_header_field": form.on_header_field,
                "on_header_value": form.on_header_value,
                "on_header_end": form.on_header_end,
                "on_headers_finished": form.on_headers_finished,
                "on_part_data": form.on_part_data,
                "on_end": form.on_end,
            },
        )
    except FormParserError as fault:
        raise PithError("multipart_malformed", reason=str(fault)) from fault
