"""Token ids as words again."""

from typing import Any

from numpy.typing import NDArray

from engine.findings.form import Form

_CONTINUES = "##"
_BEGINS = ("Ġ", "▁")
_LONGEST = 40


def words(form: Form, ids: NDArray[Any]) -> list[list[int]]:
    """The places of each word's tokens, in order; padding and marks are no words. A token continues a word as
    WordPiece (##) or SentencePiece and byte pairs (a mark where a word begins) say so; else each is a word."""
    assert form.tokenizer is not None and form.tokens is not None
    places = [place for place, number in enumerate(ids.tolist()) if number not in form.tokens.kept]
    tokens = {place: form.tokenizer.id_to_token(int(ids[place])) or "" for place in places}
    marked = any(token.startswith(_BEGINS) for token in tokens.values())
    found: list[list[int]] = []
    for place in places:
        token = tokens[place]
        continues = token.startswith(_CONTINUES) or (marked and not token.startswith(_BEGINS))
        if continues and found and found[-1][-1] == place - 1:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def written(form: Form, ids: NDArray[Any]) -> str:
    """The text of these ids, without padding and marks."""
    assert form.tokenizer is not None and form.tokens is not None
    shown = [number for number in ids.tolist() if number not in form.tokens.kept]
    text: str = form.tokenizer.decode(shown, skip_special_tokens=False)
    return text.strip()


def named(form: Form, ids: NDArray[Any], places: list[int]) -> str:
    """One word, or some that stand beside each other, cut where they are long."""
    return written(form, ids[places])[:_LONGEST]
