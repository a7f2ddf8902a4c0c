"""Reading server-sent events, however the bytes are cut."""

from hypothesis import given
from hypothesis import strategies as st

from pith.sse import Message, messages

words = st.text(st.characters(exclude_characters="\r\n", exclude_categories=("Cs",)), max_size=20)
streams = st.lists(st.tuples(words, words, st.lists(words, min_size=1, max_size=3)), max_size=5)


def encoded(stream: list[tuple[str, str, list[str]]], end: str) -> bytes:
    lines = []
    for id, event, data in stream:
        lines += [": ping", "", f"event: {event}", *(f"data: {line}" for line in data), f"id: {id}", "retry: 5", ""]
    return "".join(line + end for line in lines).encode()


@given(streams, st.sampled_from(["\n", "\r\n"]), st.integers(1, 7))
def test_messages_are_whole_however_they_arrive(stream: list[tuple[str, str, list[str]]], end: str, size: int) -> None:
    body = encoded(stream, end)
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    assert list(messages(pieces)) == [Message(id, event, "\n".join(data)) for id, event, data in stream]


def test_a_message_that_is_cut_off_is_none() -> None:
    assert list(messages([b"id: 1\ndata: a\n\nid: 2\ndata: b\n"])) == [Message("1", "", "a")]


def test_line_ends_of_unicode_are_no_line_ends() -> None:
    assert next(messages(["data: a\u2028b\x85c\x0bd\n\n".encode()])).data == "a\u2028b\x85c\x0bd"
