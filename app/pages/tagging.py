"""Tags as somebody types them in, with spaces or commas between them."""

from collections.abc import Iterator, Sequence

from pydantic import TypeAdapter, ValidationError

from app.pages.draft import Wrong
from app.pages.forms import Field
from pith.tags import MOST, Tag

RULE = "letters, digits and . _ : / @ + = -, 64 at most, the first a letter or a digit"
_TAG: TypeAdapter[str] = TypeAdapter(Tag)


def split_tags(text: str) -> tuple[str, ...]:
    return tuple(text.replace(",", " ").split())


def tags_field(text: str) -> Field:
    says = f"Words by which the job is found again, with spaces or commas between them: {RULE}."
    return Field("tags", "tags", "text", text, says)


def wrong_tags(tags: Sequence[str]) -> Iterator[Wrong]:
    """Each that is none, and too many of them."""
    field = tags_field("")
    for tag in tags:
        if not _is_tag(tag):
            told = tag if len(tag) <= 40 else f"{tag[:39]}…"
            yield Wrong(f"“{told}” is no tag; it takes {RULE}", field, "tags")
    if len(tags) > MOST:
        yield Wrong(f"takes at most {MOST}, and has {len(tags)}", field, "tags")


def _is_tag(text: str) -> bool:
    try:
        _TAG.validate_python(text)
    except ValidationError:
        return False
    return True
