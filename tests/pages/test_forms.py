"""Forms made of schemas: nothing of a spec is out of a form's reach, and nothing is lost on the way there and back."""

import ast
import json
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.pages.answered import document
from app.pages.draft import changed, curl, python
from app.pages.forms import Field, answers, field, place
from app.pages.shapes import job_shape
from pith.job import JobSpec
from pith.recipe import step_classes
from tests.pith.strategies import MODEL, TEACHER, least, specs

SHAPE = job_shape()


def sent(form: Field) -> Any:
    return document(SHAPE, dict(answers(form)))


def leaves(form: Field) -> Iterator[Field]:
    for each in form.children:
        yield from leaves(each)
    if form.widget not in ("group", "branch", "list", "ranked", "fixed"):
        yield form


@pytest.mark.parametrize("kind", step_classes())
def test_a_technique_s_form_has_its_own_defaults(kind: str) -> None:
    spec = {"model": MODEL, "recipe": [least(kind)]}
    form = field(SHAPE, spec)
    assert sent(form) == spec
    options = form.child("recipe").children[0].children[0].children
    usual = {name: each for name, each in step_classes()[kind].model_fields.items() if name != "kind"}
    shown = {each.name.rpartition("/")[2]: each for each in options}
    fixed = {name for name, each in usual.items() if name == "bits" and each.default == 8 and "bits" not in shown}
    assert set(shown) | fixed == set(usual)
    for name, option in shown.items():
        if option.widget in ("choice", "number") and usual[name].default is not None:
            assert json.loads(option.value) == usual[name].default
            assert option.says, f"{name} has no description"


def test_a_step_of_no_known_kind_is_not_shown_as_another() -> None:
    form = field(SHAPE, {"model": MODEL, "recipe": [{"kind": "prune.chanel", "pruning_ratio": 0.5}]})
    (step,) = form.child("recipe").children
    assert (step.value, step.children) == ("", ())


@given(spec=specs)
@settings(max_examples=40, deadline=None)
def test_a_spec_comes_back_from_its_form(spec: JobSpec) -> None:
    form = field(SHAPE, spec.model_dump(mode="json"))
    back = sent(form)
    assert JobSpec.model_validate_json(json.dumps(back), strict=True) == spec
    assert sent(field(SHAPE, back)) == back


@given(data=st.data(), kind=st.sampled_from(sorted(step_classes())))
@settings(max_examples=60, deadline=None)
def test_whatever_is_typed_in_is_still_there_in_the_next_form(data: st.DataObject, kind: str) -> None:
    form = field(SHAPE, {"model": MODEL, "recipe": [least(kind)]})
    typed = dict(answers(form))
    fields = list(leaves(form))
    for _ in range(5):
        chosen = data.draw(st.sampled_from(fields))
        offered = [each.value for each in chosen.choices]
        typed[chosen.name] = data.draw(st.sampled_from(["", "0.25", "7", "-1e3", "x", *offered]) | st.text(max_size=8))
    once = document(SHAPE, typed)
    assert sent(field(SHAPE, once)) == once


UNIONS: tuple[dict[str, Any], ...] = (
    {"kind": "distill.logits", "student": TEACHER},
    {"kind": "distill.logits", "student": {"width": 0.5, "round_to": 8}},
    {"kind": "distill.logits", "student": {"depth": 0.5}},
    {"kind": "distill.logits", "student": {"name": "timm/resnet18", "arguments": {"num_classes": 3}}},
    {"kind": "distill.logits", "teacher": [{"model": "baseline"}, {"model": TEACHER, "weight": 2}], "cache": False},
    {"kind": "distill.hint", "hints": [{"student": "a", "teacher": "b"}]},
    {"kind": "finetune.head", "train": "head"},
    {"kind": "finetune.head", "train": ["layer4.*", "fc"]},
    {"kind": "prune.channel", "recovery": {}, "ignore": ["a.*"]},
    {"kind": "prune.magnitude", "gradual": {"every": 3}, "recovery": {"epochs": 2}},
    {"kind": "quantize.mixed", "bits": [8, 2]},
    {"kind": "quantize.static", "equalize": False},
    {"kind": "merge.weighted", "peers": [TEACHER, "baseline"], "weights": [1, 2.5, 0.5]},
)


@pytest.mark.parametrize("step", UNIONS, ids=json.dumps)
def test_every_kind_of_value_has_its_fields(step: dict[str, Any]) -> None:
    spec = {"model": MODEL, "recipe": [step]}
    assert sent(field(SHAPE, spec)) == spec


def test_what_is_beside_the_recipe_too() -> None:
    spec = {
        "model": MODEL,
        "recipe": [{"kind": "finetune.full"}],
        "constraints": {"min_speedup": 1.5},
        "outputs": ["pt2", "onnx"],
        "seed": 2**62,
        "preprocessing": {"kind": "image", "size": [32, 32], "mean": [0.5, 0.5, 0.5]},
        "limits": {"seconds": 60},
        "webhooks": ["whk_" + "0" * 26],
        "augmentation": [{"kind": "crop", "padding": 2}, {"kind": "flip"}],
        "keep_steps": True,
    }
    assert sent(field(SHAPE, spec)) == spec


def test_a_field_says_its_limits_and_its_default() -> None:
    form = field(SHAPE, {"recipe": [{"kind": "prune.channel"}]})
    (ratio,) = (each for each in leaves(form) if each.name == "/recipe/0/pruning_ratio")
    assert (ratio.label, ratio.limits, ratio.usual) == ("pruning ratio", "above 0, below 1", "0.5")
    assert (ratio.id, place(ratio.name)) == ("f-recipe-0-pruning-ratio", "step 1, pruning ratio")
    assert ratio.says == "Fraction of the target that is removed."


def test_ids_of_a_form_are_told_apart() -> None:
    def ids(form: Field) -> Iterator[str]:
        if form.widget not in ("fixed", "group"):
            yield form.id
        for each in form.children:
            yield from ids(each)

    found = list(ids(field(SHAPE, {"model": MODEL, "recipe": list(UNIONS)})))
    assert len(found) == len(set(found))


STEPS: dict[str, Any] = {"model": MODEL, "recipe": [{"kind": "encode.entropy"}, {"kind": "finetune.full"}]}


@pytest.mark.parametrize(
    ("act", "kinds"),
    [
        ("add:/recipe:quantize.qat", ["encode.entropy", "finetune.full", "quantize.qat"]),
        ("remove:/recipe/0", ["finetune.full"]),
        ("up:/recipe/1", ["finetune.full", "encode.entropy"]),
        ("down:/recipe/0", ["finetune.full", "encode.entropy"]),
        ("preset:smaller", ["quantize.weight_only"]),
        *(
            (act, ["encode.entropy", "finetune.full"])
            for act in ("", "up:/recipe/0", "down:/recipe/1", "remove:/recipe/9")
        ),
        *(
            (act, ["encode.entropy", "finetune.full"])
            for act in ("remove:/model", "add:/model", "add:/nothing/0/x", "x:y:z")
        ),
        *(
            (act, ["encode.entropy", "finetune.full"])
            for act in ("remove:", "add:", "up:/recipe/x", "add:/recipe/7/hints")
        ),
    ],
)
def test_the_buttons_of_a_form(act: str, kinds: list[str]) -> None:
    made = changed(STEPS, act)
    assert [step["kind"] for step in made["recipe"]] == kinds
    assert made["model"] == MODEL
    assert [step["kind"] for step in STEPS["recipe"]] == ["encode.entropy", "finetune.full"], "it was changed in place"


def test_an_entry_is_added_where_the_list_is() -> None:
    hinted = {"model": MODEL, "recipe": [{"kind": "distill.hint"}]}
    assert changed(hinted, "add:/recipe/0/hints")["recipe"][0]["hints"] == [{}]
    taught = {"model": MODEL, "recipe": [{"kind": "distill.hint", "teacher": []}]}
    assert changed(taught, "add:/recipe/0/teacher")["recipe"][0]["teacher"] == [{}]
    assert changed(hinted, "add:/augmentation")["augmentation"][0].keys() == {"kind"}


def test_the_lines_say_the_same() -> None:
    spec = {"model": MODEL, "recipe": [{"kind": "prune.channel", "ignore": ["it's.*", '"; rm -rf /']}]}
    line = shlex.split(curl("http://127.0.0.1:8000/", json.dumps(spec), ["a b", "c"], keys=True))
    assert json.loads(line[line.index("-d") + 1]) == spec
    assert line[1] == "http://127.0.0.1:8000/v1/jobs?tag=a%20b&tag=c"
    assert "Authorization: Bearer $PITH_API_KEY" in line
    tree = ast.parse(python("http://127.0.0.1:8000/", spec, ["a"]))
    (assigned,) = (each for each in tree.body if isinstance(each, ast.Assign))
    assert ast.literal_eval(assigned.value) == spec


@pytest.mark.parametrize(
    ("option", "branch"),
    [
        *(("student", branch) for branch in ("none", "model", "Architecture", "Narrower", "Shallower")),
        ("teacher", "several"),
        ("teacher", "model"),
    ],
)
def test_a_shape_that_was_picked_stays_though_nothing_is_in_it_yet(option: str, branch: str) -> None:
    spec = {"model": MODEL, "recipe": [{"kind": "distill.logits"}]}
    typed = {**dict(answers(field(SHAPE, spec))), f"/recipe/0/{option}#of": branch}
    form = field(SHAPE, document(SHAPE, typed), given=typed)
    assert dict(answers(form))[f"/recipe/0/{option}#of"] == branch
