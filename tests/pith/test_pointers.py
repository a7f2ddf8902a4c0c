"""Pointers lead to what the caller sent, whatever the schema looks like inside."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from pith.artifact import Name
from pith.dataset import DatasetSchema
from pith.errors import Problem
from pith.ids import JobId
from pith.intake import Architecture
from pith.job import JobSpec
from pith.pointers import LOOKED_AT, MOST, field_problems, malformed
from pith.recipe import step_classes

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


@settings(suppress_health_check=[HealthCheck.too_slow])  # the first draw builds the strategy
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


GOOD: dict[str, Any] = {"model": "mdl_" + "0" * 26, "recipe": [{"kind": "quantize.dynamic"}]}
DATASET = "dts_" + "1" * 26
PRUNE = {"kind": "prune.magnitude"}
OPTIONS = "Options: epochs, learning_rate, batch_size, optimizer, weight_decay, schedule"
SENTENCES: dict[str, tuple[dict[str, Any], str, str]] = {
    "option of a step": (
        {"recipe": [{**PRUNE, "sparsty": 0.5}]},
        "/recipe/0/sparsty",
        "is no option of prune.magnitude (it is 0.5); did you mean sparsity? "
        "Options: ignore, iterations, recovery, sparsity, criterion, scope, gradual",
    ),
    "option of recovery": (
        {"recipe": [{**PRUNE, "recovery": {"zzz": []}}]},
        "/recipe/0/recovery/zzz",
        f"is no option of recovery; {OPTIONS}",
    ),
    "option of constraints": (
        {"constraints": {"max_drop": 1}},
        "/constraints/max_drop",
        "is no option of constraints (it is 1); did you mean max_metric_drop? "
        "Options: max_metric_drop, min_compression_ratio, min_speedup",
    ),
    "option of the spec": (
        {"body": 1},
        "/body",
        "is no option of a job spec (it is 1); Options: model, dataset, recipe, constraints, outputs, seed, "
        "preprocessing, priority, limits, webhooks, device, augmentation, report, keep_steps",
    ),
    "unknown preprocessing": (
        {"preprocessing": {"kind": "picture"}},
        "/preprocessing",
        "'picture' is no kind of preprocessing; there are: image, text, audio, tabular",
    ),
    "nearly a preprocessing": (
        {"preprocessing": {"kind": "imagee"}},
        "/preprocessing",
        "'imagee' is no kind of preprocessing; did you mean image? There are: image, text, audio, tabular",
    ),
    "nearly an augmentation": (
        {"augmentation": [{"kind": "fliip"}]},
        "/augmentation/0",
        "'fliip' is no kind of augmentation; did you mean flip? There are: flip, crop, color_jitter, rand_augment, "
        "mixup, cutmix, noise, time_shift, spec_augment, token_dropout",
    ),
    "option of an augmentation": (
        {"augmentation": [{"kind": "flip", "horizntal": 1}]},
        "/augmentation/0/horizntal",
        "is no option of flip (it is 1); did you mean horizontal? Options: horizontal, vertical",
    ),
    "preprocessing of no kind": (
        {"preprocessing": {"length": 5}},
        "/preprocessing",
        "names no kind; there are: image, text, audio, tabular",
    ),
    "option of preprocessing": (
        {"preprocessing": {"kind": "text", "lenght": 5}},
        "/preprocessing/lenght",
        "is no option of text (it is 5); did you mean length? Options: tokenizer, length, vocabulary",
    ),
    "dataset for a model": (
        {"model": DATASET},
        "/model",
        f"'{DATASET}' is a dataset's id; put a model's id here (GET /v1/models lists them)",
    ),
    "artifact for a dataset": (
        {"dataset": "art_" + "1" * 26},
        "/dataset",
        f"'art_{'1' * 26}' is an artifact's id; put a dataset's id here (GET /v1/datasets lists them)",
    ),
    "no model id": (
        {"model": "resnet"},
        "/model",
        "'resnet' is no model id (mdl_ and 26 characters); upload the model first, POST or PUT /v1/models",
    ),
    "short model id": (
        {"model": "mdl_1"},
        "/model",
        "'mdl_1' is no model id (mdl_ and 26 characters); upload the model first, POST or PUT /v1/models",
    ),
    "no dataset id": (
        {"dataset": 7},
        "/dataset",
        "7 is no dataset id (dts_ and 26 characters); upload the dataset first, POST or PUT /v1/datasets",
    ),
    "no teacher": (
        {"recipe": [{"kind": "distill.logits", "teacher": "me"}]},
        "/recipe/0/teacher",
        "'me' is no model id (mdl_ and 26 characters) and not 'baseline'; "
        "upload the model first, POST or PUT /v1/models",
    ),
    "no peer": (
        {"recipe": [{"kind": "merge.slerp", "peers": ["x"]}]},
        "/recipe/0/peers/0",
        "'x' is no model id (mdl_ and 26 characters) and not 'baseline'; "
        "upload the model first, POST or PUT /v1/models",
    ),
    "model for unlabelled data": (
        {"recipe": [{"kind": "distill.logits", "unlabelled": "mdl_1"}]},
        "/recipe/0/unlabelled",
        "'mdl_1' is a model's id; put a dataset's id here (GET /v1/datasets lists them)",
    ),
    "nobody": (
        {"recipe": [{"kind": "merge.average", "peers": []}]},
        "/recipe/0/peers",
        "is empty; name at least one",
    ),
    "too many": (
        {"recipe": [{"kind": "merge.slerp", "peers": ["mdl_" + "1" * 26, "baseline"]}]},
        "/recipe/0/peers",
        "takes at most 1, and has 2",
    ),
    "as JSON has it": (
        {"recipe": [{**PRUNE, "sparsity": True}]},
        "/recipe/0/sparsity",
        "should be less than 1 (it is true)",
    ),
    "nothing": (
        {"recipe": [{**PRUNE, "sparsity": None}]},
        "/recipe/0/sparsity",
        "should be a valid number (it is null)",
    ),
    "no step": ({"recipe": [17]}, "/recipe/0", "should be a JSON object (it is 17)"),
    "unknown format": (
        {"outputs": ["tflite"]},
        "/outputs/0",
        "should be 'onnx', 'pt2' or 'safetensors' (it is 'tflite')",
    ),
    "no format": ({"outputs": []}, "/outputs", "names no format; there are: onnx, pt2, safetensors"),
    "out of bounds": ({"seed": -1}, "/seed", "should be greater than or equal to 0 (it is -1)"),
}


def refusal(document: dict[str, Any]) -> Problem:
    with pytest.raises(ValidationError) as fault:
        JobSpec.model_validate_json(json.dumps(document))
    return malformed(fault.value.errors(include_url=False, include_context=False), document).problem


@pytest.mark.parametrize(("change", "pointer", "detail"), SENTENCES.values(), ids=SENTENCES)
def test_a_wrong_field_is_told_its_value_and_the_way_out(change: dict[str, Any], pointer: str, detail: str) -> None:
    problem = refusal({**GOOD, **change})
    assert [(one.pointer, one.detail) for one in problem.errors] == [(pointer, detail)]
    assert problem.detail == f"One field is wrong: {pointer}: {detail}"


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (
            {"kind": "prune.chanel"},
            "'prune.chanel' is no technique; did you mean prune.channel? There are: prune.channel, prune.",
        ),
        ({"kind": "Prune.Magnitude"}, "'Prune.Magnitude' is no technique; did you mean prune.magnitude? There are: "),
        ({"kind": "prune.everything"}, "'prune.everything' is no technique; there are: prune."),
        ({"sparsity": 0.5}, "names no kind; techniques are: "),
    ],
)
def test_techniques_are_told_the_nearest_first_and_where_the_others_are(step: dict[str, Any], said: str) -> None:
    (one,) = refusal({**GOOD, "recipe": [step]}).errors
    assert one.pointer == "/recipe/0" and one.detail.startswith(said)
    assert one.detail.endswith(f" and {len(step_classes()) - 6} more, which GET /v1/techniques lists")


def test_an_architecture_and_a_schema_are_named_as_such() -> None:
    for kind, document, detail in (
        (Architecture, {"name": "resnet18"}, "names a library and a network, such as timm/resnet18"),
        (Architecture, {"name": "pith/lenet5", "argument": 1}, "is no option of an architecture (it is 1)"),
        (DatasetSchema, {"lable": "y"}, "is no option of a schema (it is 'y'); did you mean label?"),
        (DatasetSchema, {"shares": {"tset": 0.1}}, "is no option of shares (it is 0.1); did you mean test?"),
    ):
        with pytest.raises(ValidationError) as fault:
            kind.model_validate_json(json.dumps(document))
        (one,) = malformed(fault.value.errors(include_url=False), document, kind).problem.errors
        assert one.detail.startswith(detail)


STUDENTS: list[tuple[Any, str, str]] = [
    ({"width": 0.5, "depth": 0.5}, "", "has width and depth; give width or depth, not both"),
    ({"name": "pith/lenet_5", "width": 0.5}, "", "has name and width; give name or width, not both"),
    ({"width": 2}, "/width", "should be less than 1 (it is 2)"),
    ({"depth": 0}, "/depth", "should be greater than 0 (it is 0)"),
    (
        {"width": 0.5, "rund_to": 2},
        "/rund_to",
        "is no option of a student of less width (it is 2); did you mean round_to? ",
    ),
    ({"name": "resnet"}, "/name", "names a library and a network, such as timm/resnet18"),
    ({"nam": 1}, "", "is no student; give a model's id, or an object with name (an architecture), width or depth"),
    ("me", "", "'me' is no model id (mdl_ and 26 characters); upload the model first"),
    (DATASET, "", f"'{DATASET}' is a dataset's id; put a model's id here"),
]


@pytest.mark.parametrize(("student", "pointer", "said"), STUDENTS)
def test_a_student_that_is_none_is_told_one_thing(student: Any, pointer: str, said: str) -> None:
    (one,) = refusal({**GOOD, "recipe": [{"kind": "distill.logits", "student": student}]}).errors
    assert one.pointer == f"/recipe/0/student{pointer}" and one.detail.startswith(said)


@pytest.mark.parametrize(
    "student", ["mdl_" + "0" * 26, {"width": 0.5}, {"depth": 0.5, "init": "fresh"}, {"name": "pith/lenet_5"}, None]
)
def test_every_kind_of_student_comes_back_as_it_went(student: Any) -> None:
    spec = JobSpec.model_validate({**GOOD, "recipe": [{"kind": "distill.logits", "student": student}]})
    assert JobSpec.model_validate_json(spec.model_dump_json()) == JobSpec.model_validate(spec.model_dump()) == spec


WAYS_OUT: list[tuple[dict[str, Any], str]] = [
    (
        {
            "kind": "distill.relation",
            "distance_weight": 0,
            "angle_weight": 0,
            "logits_weight": 0,
            "hard_label_weight": 0,
        },
        "distance_weight, angle_weight, logits_weight, hard_label_weight are all 0, so nothing would be learnt",
    ),
    (
        {"kind": "distill.decoupled", "alpha": 0, "beta": 0, "hard_label_weight": 0},
        "alpha, beta, hard_label_weight are all 0, so nothing would be learnt; set one of them above 0",
    ),
    (
        {"kind": "merge.average", "peers": ["baseline"], "method": "weighted"},
        "the method weighted needs weights: give one a model, the step's own first",
    ),
    (
        {"kind": "merge.average", "peers": ["baseline"], "weights": [1, 1]},
        'weights are not for the method uniform; set method to "weighted", or leave them out',
    ),
    ({"kind": "merge.weighted", "peers": ["baseline"], "weights": [0, 0]}, "give at least one model a weight above 0"),
    ({"kind": "quantize.mixed", "average_bits": 4, "bits": [8]}, "raise average_bits to 8, or add fewer bits to bits"),
    ({"kind": "prune.nm", "n": 4, "m": 4}, "n is 4 and m is 4, so nothing would be pruned; set n to less than m"),
    (
        {"kind": "prune.magnitude", "gradual": {"begin": 0.6, "end": 0.5}, "recovery": {}},
        "begin is 0.6 and end is 0.5; set begin to less than end",
    ),
]


@pytest.mark.parametrize(("step", "said"), WAYS_OUT)
def test_options_that_contradict_one_another_are_told_what_to_do(step: dict[str, Any], said: str) -> None:
    (one,) = refusal({**GOOD, "recipe": [step]}).errors
    assert said in one.detail


@pytest.mark.parametrize("off", ["alpha", "beta", "hard_label_weight"])
def test_one_weight_is_enough(off: str) -> None:
    weights = {"alpha": 0, "beta": 0, "hard_label_weight": 0, off: 1}
    JobSpec.model_validate({**GOOD, "recipe": [{"kind": "distill.decoupled", **weights}]})


def test_an_id_in_an_address_is_told_as_in_a_spec() -> None:
    with pytest.raises(ValidationError) as fault:
        TypeAdapter(JobId).validate_python("x")
    errors = [{**error, "loc": ("path", "id")} for error in fault.value.errors()]
    (one,) = malformed(errors, None).problem.errors
    assert (one.pointer, one.detail) == (
        "/path/id",
        "'x' is no job id (job_ and 26 characters); GET /v1/jobs lists them",
    )


def test_several_wrong_fields_are_counted() -> None:
    problem = refusal({"seed": -1})
    assert problem.detail.startswith("3 fields are wrong: /model: is missing; /recipe: is missing; /seed: should be")


def test_a_list_is_not_too_short_because_its_entries_were_refused() -> None:
    short = {"loc": ("a",), "type": "too_short", "msg": "Tuple should have at least 1 item after validation, not 0"}
    entry = {"loc": ("a", 0), "type": "int_type", "msg": "Input should be a valid integer", "input": "x"}
    found, count = field_problems([entry, short], {"a": ["x"]})
    assert ([one.pointer for one in found], count) == (["/a/0"], 1)
    assert [one.pointer for one in field_problems([short], {"a": []})[0]] == ["/a"]


@pytest.mark.parametrize("name", ["", "a/b", "a\\b", "a\nb"])
def test_a_wrong_file_name_is_told_what_it_may_not_contain(name: str) -> None:
    with pytest.raises(ValidationError) as fault:
        TypeAdapter(Name).validate_python(name)
    errors = [{**error, "loc": ("query", "name")} for error in fault.value.errors()]
    (one,) = malformed(errors, None).problem.errors
    rule = "takes 1 to 255 characters, and may not contain / \\ or control characters"
    assert (one.pointer, one.detail) == ("/query/name", f"{rule} (it is {name!r})")
