"""Identifiers: of the right shape, unlike one another, in the order they were made."""

import itertools
import time
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pith.ids import ArtifactId, DatasetId, JobId, ModelId, Prefix, new_id

KINDS = {
    "mdl": TypeAdapter(ModelId),
    "dts": TypeAdapter(DatasetId),
    "job": TypeAdapter(JobId),
    "art": TypeAdapter(ArtifactId),
}


@pytest.mark.parametrize("prefix", get_args(Prefix))
def test_an_id_is_one_of_its_own_kind_only(prefix: Prefix) -> None:
    id = new_id(prefix)
    for kind, adapter in KINDS.items():
        if kind == prefix:
            assert adapter.validate_python(id) == id
        else:
            with pytest.raises(ValidationError):
                adapter.validate_python(id)


def test_ids_do_not_repeat_and_sort_by_the_time_they_were_made() -> None:
    made = []
    for _ in range(20):
        made.append([new_id("job") for _ in range(100)])
        time.sleep(0.002)
    assert len({id for batch in made for id in batch}) == 2000
    assert [max(batch) < min(later) for batch, later in itertools.pairwise(made)] == [True] * 19


@given(st.text() | st.from_regex(r"mdl_[0-9a-z]{26}\s?", fullmatch=True))
def test_only_the_alphabet_is_taken(text: str) -> None:
    right = len(text) == 30 and text.startswith("mdl_") and set(text[4:]) <= set("0123456789abcdefghjkmnpqrstvwxyz")
    try:
        KINDS["mdl"].validate_python(text)
        assert right
    except ValidationError:
        assert not right
