"""Pointers lead to what the caller sent, whatever the schema looks like inside."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pith.job import JobSpec
from pith.pointers import LOOKED_AT, MOST, field_problems, malformed

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=20,
)
documents = st.fixed_dictionaries(
    {},
    optional={
        "model": json_values,
        "recipe": st.lists(
            st.dictionaries(
                st.sampled_from(["kind", "recovery", "teacher", "prune.channel", "bits", "a/b", "~"]),
                st.sampled_from(["prune.channel", "distill.logits", "quantize.static", "x", 3, None, {"epochs": 0}]),
            )
            | json_values,
            max_size=3,
        ),
        "constraints": json_values,
        "outputs": json_values,
        "x~/y": json_values,
    },
)


def resolve(pointer: str, document: Any) -> Any:
    """RFC 6901."""
    for token in pointer.split("/")[1:]:
        token = token.replace("~1", "/").replace("~0", "~")
        document = document[int(token)] if isinstance(document, list) else document[token]
    return document


@given(documents)
def test_every_pointer_leads_to_the_value_or_to_where_it_is_missing(document: dict[str, Any]) -> None:
    try:
        JobSpec.model_validate(document)
    except ValidationError as fault:
        found, count = field_problems(fault.errors(), document)
        assert 1 <= len(found) <= count
        assert len({one.pointer for one in found}) == len(found)
        for one in found:
            if one.code == "missing":
                parent, _, name = one.pointer.rpartition("/")
                assert name.replace("~1", "/").replace("~0", "~") not in resolve(parent, document)
            else:
                resolve(one.pointer, document)


def test_the_answer_is_short_however_much_is_wrong() -> None:
    errors = [{"loc": ("query", "x" * 10_000, n), "type": "t", "msg": "m" * 10_000} for n in range(3 * LOOKED_AT)]
    problem = malformed(errors, None).problem
    assert len(problem.errors) == MOST and str(3 * LOOKED_AT) in problem.detail
    assert len(problem.model_dump_json()) < 20_000


def test_huge_values_are_not_sent_back() -> None:
    errors = [{"loc": ("a",), "type": "t", "msg": "too long", "input": "x" * 10_000}]
    detail = malformed(errors, {"a": 1}).problem.errors[0].detail
    assert "too long" in detail and "xxx" in detail and len(detail) < 200
