"""The words of a form: no place of a document, no route and no option's spelling is left in them."""

import re

import pytest

from app.pages.plainly import plainly
from pith.errors import ERRORS

PLACED = [code for code, row in ERRORS.items() if re.search(r"(?:recipe|outputs|augmentation)\[", row.sentence)]


@pytest.mark.parametrize("code", PLACED)
def test_places_are_counted_from_one(code: str) -> None:
    sentence = re.sub(r"{index}|{earlier_index}|{step}", "0", ERRORS[code].sentence)
    told = plainly(re.sub(r"{\w+!?r?}", "pt2", sentence))
    assert not re.search(r"\w+\[\d+\]|\[", told), told
    assert re.search(r"step 1|augmentation 1|pt2 is asked for", told), told


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("raise pruning_ratio or lower round_to.", "raise pruning ratio or lower round to."),
        ("a layer block.round_to.0 of 'round_to'", "a layer block.round_to.0 of 'round_to'"),
        ("quantize.weight_only stays", "quantize.weight_only stays"),
        ("Fine-tuning; null leaves it, labels, training_data", "Fine-tuning; none leaves it, labels, training data"),
        (
            "'job_x' is a job's id; put a model's id here (GET /v1/models lists them)",
            "'job_x' is a job's id; put a model's id here",
        ),
        ("7 is no job id (job_ and 26 characters); GET /v1/jobs lists them", "7 is no job id (job_ and 26 characters)"),
        (
            "'x' is no model id; upload the model first, POST or PUT /v1/models",
            "'x' is no model id; upload the model first",
        ),
        ("Places, as GET /v1/models/{id} lists them under hints; empty chooses", "Places; empty chooses"),
    ],
)
def test_a_way_out_is_on_a_page(text: str, told: str) -> None:
    assert plainly(text) == told
