"""The page on which a job is put together: its form, the JSON beside it, what is wrong at its field."""

import json
import os
import re
from html import unescape
from typing import Any

import httpx
import pytest
from playwright.sync_api import Route, expect

from pith.presets import PRESETS
from tests.app.by_hand import Bench
from tests.pages.browsing import Visit
from tests.pages.made import submitted

EVIL = "<script>alert(1)<script>"


@pytest.fixture
def model(http: httpx.Client, bench: Bench) -> str:
    id = str(http.put("/v1/models", params={"name": EVIL}, content=os.urandom(64)).json()["id"])
    bench.learn_all()
    return id


@pytest.fixture
def dataset(http: httpx.Client, bench: Bench) -> str:
    id = str(http.put("/v1/datasets", params={"name": "flowers.npz"}, content=os.urandom(64)).json()["id"])
    bench.learn_all()
    return id


def worked(http: httpx.Client, act: str = "", **given: str) -> httpx.Response:
    answer = http.post("/jobs/new", data={**given, "do": act})
    assert answer.status_code == 200, answer.text
    return answer


def spec_of(answer: httpx.Response) -> Any:
    found = re.search(r'<textarea id="json"[^>]*>\n(.*?)</textarea>', answer.text, re.DOTALL)
    assert found is not None
    return json.loads(unescape(found[1]))


def wrong_at(answer: httpx.Response) -> dict[str, list[str]]:
    """What is said at each field."""
    places = re.findall(r'<span class="wrong-place" id="(.*?)-wrong" data-live>(.+?)</span></span>', answer.text)
    return {id: [unescape(text) for text in re.findall(r'<span class="wrong">([^<]*)', told)] for id, told in places}


def test_names_stay_text(http: httpx.Client, model: str) -> None:
    answer = http.get("/jobs/new", params={"model": model})
    assert answer.status_code == 200
    assert "&lt;script&gt;alert(1)" in answer.text and "<script>alert" not in answer.text


def test_it_begins_with_the_newest_model_and_complains_of_nothing_yet(http: httpx.Client, model: str) -> None:
    answer = http.get("/jobs/new")
    assert spec_of(answer) == {"model": model}
    assert wrong_at(answer) == {} and "keeps this job" not in answer.text


def test_steps_are_added_and_say_what_is_wrong_with_them(http: httpx.Client, model: str) -> None:
    answer = worked(http, "add:/recipe:prune.channel", **{"/model": model})
    assert spec_of(answer) == {"model": model, "recipe": [{"kind": "prune.channel"}]}
    (said,) = wrong_at(answer)["f-recipe-0-of"]
    assert "no layer has channels that may be removed" in said


def test_a_wrong_value_is_told_at_its_field(http: httpx.Client, model: str) -> None:
    given = {"/model": model, "/recipe#n": "1", "/recipe/0#of": "prune.magnitude", "/recipe/0/sparsity": "much"}
    answer = worked(http, "", **given, **{"/constraints/min_speedup": "-1"})
    assert spec_of(answer)["recipe"] == [{"kind": "prune.magnitude", "sparsity": "much"}]
    assert wrong_at(answer).keys() == {"f-recipe-0-sparsity", "f-constraints-min-speedup"}
    assert (
        'href="#f-recipe-0-sparsity"' in answer.text
        and "Step 1 (prune.magnitude), sparsity</a>: should be" in answer.text
    )
    assert 'value="much"' in answer.text and 'aria-invalid="true"' in answer.text


def test_an_option_that_has_no_effect_is_told_too(http: httpx.Client, model: str) -> None:
    given = {"/model": model, "/recipe#n": "1", "/recipe/0#of": "prune.channel", "/recipe/0/samples": "9"}
    (place,) = wrong_at(worked(http, "", **given))
    assert place.startswith("f-recipe-0")


def test_tags_stand_between_spaces_or_commas(http: httpx.Client, model: str) -> None:
    answer = worked(http, "preset:smaller", **{"/model": model, "tags": "one, two three"})
    assert "?tag=one&amp;tag=two&amp;tag=three" in answer.text


def test_the_plan_is_shown(http: httpx.Client, model: str) -> None:
    answer = worked(http, "preset:smaller", **{"/model": model})
    assert "Can run" in answer.text and "Stores 8 weights of all 1 layers as 8-bit integers." in answer.text
    assert wrong_at(answer) == {}


def test_json_makes_the_form(http: httpx.Client, model: str, dataset: str) -> None:
    spec = {"model": model, "dataset": dataset, "recipe": [{"kind": "finetune.full", "epochs": 7}], "seed": 3}
    answer = worked(http, "json", json=json.dumps(spec))
    assert spec_of(answer) == spec
    for name, value in (("/recipe/0/epochs", 7), ("/seed", 3)):
        assert re.search(rf'name="{name}"[^>]* value="{value}"', answer.text)
    assert re.search(rf'<option value="{dataset}" selected>', answer.text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "7",
        "null",
        '"\\ud800"',
        "NaN",
        '{"seed": 1e999}',
        '{"seed": ' + "9" * 400 + "}",
        "[" * 5000,
        '{"recipe": 5, "model": [], "outputs": {"a": 1}, "constraints": "x", "augmentation": [7, {"kind": 3}]}',
        '{"recipe": [7, null, {"kind": "nothing"}, {"kind": "prune.channel", "recovery": 5, "ignore": {}}]}',
        '{"recipe": [{"kind": "distill.logits", "student": [1], "teacher": {"a": 1}}], "model": "<script>"}',
        '{"model": "mdl_00000000000000000000000000", "recipe": [{"kind": "encode.entropy"}]}',
    ],
)
def test_nonsense_is_told_and_nothing_breaks(http: httpx.Client, text: str) -> None:
    answer = worked(http, "json", json=text)
    assert "this job from running" in answer.text
    assert "<script>&lt" not in answer.text and 'value="<script>' not in answer.text


def test_json_that_is_none_is_told_beside_it(http: httpx.Client) -> None:
    told = worked(http, "json", json='{"model": ').text
    assert re.search(r'<textarea id="json"[^>]* aria-invalid="true"', told)
    assert '<p class="wrong" id="json-wrong">The JSON cannot be read' in told
    assert '<p class="wrong" id="json-wrong"></p>' in worked(http, "json", json="{}").text


LONG = b"9" * 5000


@pytest.mark.parametrize(
    "body",
    [
        b"%ff=%fe&do=json&json=%ff",
        b"&&&=",
        b"/recipe%23n=99999999999&/recipe/0=x",
        b"\xff\xfe",
        b"/recipe%23n=" + LONG,
        b"/recipe%23n=1&/recipe/0%23of=prune.nm&do=remove:/recipe/" + LONG,
        b"/recipe%23n=1&/recipe/0%23of=prune.nm&do=add:/recipe/" + LONG + b"/hints",
        b"/recipe%23n=1&/recipe/0%23of=prune.nm&/recipe/0/n=" + LONG,
    ],
)
def test_a_form_of_rubbish_is_a_page(http: httpx.Client, body: bytes) -> None:
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert http.post("/jobs/new", content=body, headers=kind).status_code == 200


def test_too_much_is_refused_in_words(http: httpx.Client) -> None:
    many = http.post("/jobs/new", content=b"a=&" * 30_000)
    assert many.status_code == 422 and "fields" in many.text
    assert http.post("/jobs/new", content=b"a=" + b"b" * 20_000_000).status_code == 413


def test_a_job_like_another(http: httpx.Client, model: str) -> None:
    whole = {"constraints": {"min_compression_ratio": 2}, "limits": {"seconds": 60.0}, "keep_steps": True}
    job = submitted(http, model, {"kind": "quantize.weight_only", "bits": 4}, **whole)
    spec = spec_of(http.get("/jobs/new", params={"like": job}))
    assert spec == {"model": model, "recipe": [{"kind": "quantize.weight_only", "bits": 4}], **whole}
    assert http.get("/jobs/new", params={"like": "job_" + "0" * 26}).status_code == 404


@pytest.mark.parametrize("what", ["model", "dataset", "preset"])
def test_what_an_address_asks_for_and_is_not_there_is_told(http: httpx.Client, model: str, what: str) -> None:
    answer = http.get("/jobs/new", params={what: "nope"})
    assert answer.status_code == 200
    (note,) = re.findall(r'<p class="notice warn">(.*?)</p>', answer.text)
    assert "nope" in note and "/v1/" not in note
    assert spec_of(answer) == ({} if what == "model" else {"model": model})
    assert "notice warn" not in http.get("/jobs/new", params={"model": model, "preset": "smaller"}).text


def test_a_deleted_model_is_told_as_one(http: httpx.Client, model: str) -> None:
    assert http.delete(f"/v1/models/{model}").status_code == 204
    answer = http.get("/jobs/new", params={"model": model})
    assert f"The model &#39;{model}&#39; was deleted on" in answer.text and spec_of(answer) == {}


def test_a_fork_begins_on_the_page_of_its_job(http: httpx.Client, model: str) -> None:
    job = submitted(http, model)
    assert http.get("/jobs/new", params={"fork": job}).headers["location"] == f"/jobs/{job}#fork"
    assert 'id="fork"' in http.get(f"/jobs/{job}").text
    nowhere = http.get("/jobs/new", params={"fork": "nope"})
    assert nowhere.status_code == 404 and "There is no such job" in nowhere.text


def steps(*kinds: str, **options: str) -> dict[str, str]:
    given = {"/recipe#n": str(len(kinds))} | {f"/recipe/{index}#of": kind for index, kind in enumerate(kinds)}
    return given | {name.replace("__", "/"): value for name, value in options.items()}


ROUTES = re.compile(r"recipe\[|outputs\[|/v1/|training_data|\bnull\b")


def said(answer: httpx.Response) -> str:
    """The list of problems as text."""
    found = re.search(r'<ul class="problems".*?</ul>', answer.text, re.DOTALL)
    assert found is not None
    return " ".join(unescape(re.sub("<[^>]*>", "", found[0])).split())


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (steps("prune.magnitude") | {"/recipe/0/sparsity": "7"}, "Step 1 (prune.magnitude), sparsity: should be"),
        (
            steps("quantize.dynamic", "finetune.full"),
            "Step 2 (finetune.full): cannot follow step 1 (quantize.dynamic), which finishes the model; move step 2",
        ),
        (steps("finetune.full"), "Dataset: step 1 (finetune.full) needs labels, training data; pick a dataset, or"),
        (
            steps("prune.channel") | {"/recipe/0/recovery#of": "TrainingOptions"},
            "Dataset: step 1 (prune.channel) needs labels, training data for recovery (none does without); pick",
        ),
        (
            steps("finetune.full", "quantize.static") | {"/constraints/max_metric_drop": "0.1"},
            "Dataset: needed by step 1, step 2 and max metric drop; pick one, or upload one first",
        ),
        (steps(), "Steps: there is none yet; take an aim, or add one"),
        (steps(*["encode.entropy"] * 33), "Recipe: has 33 steps; it takes 1 to 32"),
        (steps("prune.channel") | {"/model": "dts_" + "0" * 26}, "Model: 'dts_"),
        (steps("encode.entropy") | {"/model": "mdl_" + "0" * 26}, "; pick another one, or upload it first"),
        (steps("encode.entropy") | {"tags": "fine a!b"}, "Tags: “a!b” is no tag; it takes letters, digits and"),
        (
            steps("encode.entropy") | {"tags": " ".join(f"t{i}" for i in range(21))},
            "Tags: takes at most 20, and has 21",
        ),
        (
            steps("quantize.dynamic") | {"/constraints/max_metric_drop": "0.1"},
            "Dataset: max metric drop 0.1 can only be checked on data; pick a dataset, or upload one first",
        ),
    ],
    ids=lambda value: value[:40] if isinstance(value, str) else "",
)
def test_problems_are_told_in_words(http: httpx.Client, model: str, given: dict[str, str], words: str) -> None:
    answer = worked(http, "", **{"/model": model, **given})
    assert words in said(answer)
    told = said(answer) + " ".join(text for each in wrong_at(answer).values() for text in each)
    assert not ROUTES.search(told), told


def test_a_technique_that_is_none_is_told_in_words(http: httpx.Client, model: str) -> None:
    spec = {"model": model, "recipe": [{"kind": "prune.nothing"}]}
    told = said(worked(http, "json", json=json.dumps(spec)))
    assert told.startswith("Step 1") and "which stand under “Add a step”" in told and not ROUTES.search(told)


def test_an_option_without_a_field_of_its_own_is_named(http: httpx.Client, model: str) -> None:
    spec = {"model": model, "recipe": [{"kind": "quantize.static", "bits": 99}], "nonsense": 1}
    answer = worked(http, "json", json=json.dumps(spec))
    assert "Step 1 (quantize.static), bits: should be 8 (it is 99)" in said(answer)
    assert wrong_at(answer)["f-recipe-0-of"] == ["Bits should be 8 (it is 99)"]
    assert "Nonsense: is no option of a job spec" in said(answer)


def test_at_its_field_a_problem_has_the_field_s_name(http: httpx.Client, model: str) -> None:
    answer = worked(http, "", **{"/model": model, **steps("prune.magnitude"), "/recipe/0/sparsity": "7", "tags": "ü"})
    told = wrong_at(answer)
    assert told["f-recipe-0-sparsity"] == ["Sparsity should be less than 1 (it is 7)"]
    assert told["ftags"][0].startswith("Tags: “ü” is no tag")
    assert re.search(r'<details class="card" id="rest" open', answer.text), "what is wrong is not in sight"


def test_a_dataset_is_marked_as_needed(http: httpx.Client, model: str, dataset: str) -> None:
    def needed(*kinds: str, **given: str) -> str:
        text = worked(http, "", **{"/model": model, **steps(*kinds), **given}).text
        found = re.search(r'<span class="needed" id="f-dataset-needed" data-live>(.*?)</span>', text)
        assert found is not None
        assert bool(re.search(r'<select id="f-dataset"[^>]* required', text)) == bool(found[1])
        return found[1]

    assert needed("quantize.dynamic") == ""
    assert needed("quantize.dynamic", "finetune.full") == "Needed by step 2."
    assert needed("prune.magnitude", **{"/recipe/0/recovery#of": "TrainingOptions"}) == "Needed by step 1."
    assert needed("quantize.static", **{"/recipe/0/bits": "x", "/dataset": dataset}) == "Needed by step 1."
    both = needed("quantize.static", "encode.entropy", "finetune.full", **{"/constraints/max_metric_drop": "0.1"})
    assert both == "Needed by step 1, step 3 and max metric drop."
    assert needed("encode.entropy", **{"/constraints/max_metric_drop": "0.1"}) == "Needed by max metric drop."


@pytest.fixture
def finished(http: httpx.Client, bench: Bench) -> str:
    """A model that came as ONNX."""
    return learnt(http, bench, format="onnx", trainable=False)


def learnt(http: httpx.Client, bench: Bench, **facts: object) -> str:
    made = http.put("/v1/models", params={"name": "a.onnx"}, content=os.urandom(64)).json()
    bench.learn(made["check"], **facts)
    return str(made["id"])


def test_a_finished_graph_leaves_as_onnx_alone(http: httpx.Client, model: str, finished: str) -> None:
    assert spec_of(http.get("/jobs/new", params={"model": finished})) == {"model": finished, "outputs": ["onnx"]}
    answer = http.get("/jobs/new", params={"model": finished, "preset": "smaller"})
    assert spec_of(answer)["outputs"] == ["onnx"] and "Can run" in answer.text and wrong_at(answer) == {}
    added = worked(http, "add:/recipe:quantize.dynamic", **{"/model": finished})
    assert spec_of(added)["outputs"] == ["onnx"]
    assert http.post("/v1/jobs", params={"dry_run": True}, json=spec_of(answer)).json()["possible"]
    other = {"/model": model, "fitted": "fitted", "/outputs#n": "1", "/outputs/0": '"onnx"'}
    assert spec_of(worked(http, "", **other)) == {"model": model}
    chosen = spec_of(worked(http, "", **{**other, "fitted": ""}))
    assert chosen["outputs"] == ["onnx"], "what somebody has chosen is undone"


def test_what_a_finished_graph_cannot_take_is_not_offered(http: httpx.Client, bench: Bench, finished: str) -> None:
    def offered(model: str) -> tuple[set[str], set[str]]:
        text = http.get("/jobs/new", params={"model": model}).text
        pressable = re.findall(r'<button[^>]* value="(preset|add):([^"]*)"(?: class="preset")?>', text)
        return (
            {name for what, name in pressable if what == "preset"},
            {name.removeprefix("/recipe:") for what, name in pressable if what == "add" and "." in name},
        )

    aims, kinds = offered(finished)
    assert aims == {"smaller"}
    assert "quantize.static" in kinds and "encode.entropy" in kinds and "prune.channel" not in kinds
    assert "finished graph" in http.get("/jobs/new", params={"model": finished}).text
    assert offered(learnt(http, bench, format="onnx", trainable=False, finished_layers=2)) == (set(), set())


def test_a_model_page_says_what_can_still_be_done_with_it(http: httpx.Client, bench: Bench, model: str) -> None:
    def action(id: str) -> str:
        found = re.search(r'<div class="actions">\n(.*?)\n', http.get(f"/models/{id}").text)
        assert found is not None
        return found[1]

    assert "Compress it" in action(model)
    once = learnt(http, bench, format="onnx", trainable=False)
    assert "Quantize it" in action(once)
    assert "it can be quantized and encoded" in http.get(f"/models/{once}").text
    twice = learnt(http, bench, format="onnx", trainable=False, finished_layers=2)
    assert "/jobs/new" not in action(twice)
    assert "Nothing more can be taken from it: 2 of its 1 layers hold" in http.get(f"/models/{twice}").text
    assert "Compress its original" not in http.get(f"/models/{model}").text


def test_a_finished_result_leads_to_the_model_that_it_was_made_from(
    http: httpx.Client, bench: Bench, model: str
) -> None:
    job, made = submitted(http, model), os.urandom(64)
    bench.succeed(job, bench.start(job), model_onnx=made, report_json=b"{}")
    result = http.put("/v1/models", content=made).json()
    bench.learn(result["check"], format="onnx", trainable=False, finished_layers=1)
    text = http.get(f"/models/{result['id']}").text
    assert f'<a class="button" href="/jobs/new?model={model}">Compress its original</a>' in text


def test_what_is_set_is_said_of_a_closed_step(http: httpx.Client, model: str) -> None:
    def told(*recipe: dict[str, Any]) -> list[str]:
        answer = worked(http, "json", json=json.dumps({"model": model, "recipe": recipe}))
        return [unescape(each) for each in re.findall(r"-told\" data-live>(.*?)</span>", answer.text)]

    magnitude = {"kind": "prune.magnitude", "sparsity": 0.7, "scope": "global", "recovery": {"epochs": 3}}
    assert told(magnitude, {"kind": "quantize.weight_only"}) == [
        ", set: sparsity 0.7, scope global, recovery (epochs 3)",
        "",
    ]
    student = {"kind": "distill.logits", "student": {"width": 0.5}, "teacher": [{"model": "baseline"}], "cache": False}
    assert told(student) == [", set: teacher (1), student (narrower, width 0.5), cache no"]
    assert told({"kind": "prune.magnitude", "recovery": {}}) == [", set: recovery"]
    assert told({"kind": "quantize.mixed", "bits": [8, 2]}) == [", set: bits 8, 2"]


def test_a_job_is_made_by_preset(visit: Visit, model: str) -> None:
    page = visit.to(f"/jobs/new?model={model}")
    visit.holds("new-job-empty")
    page.get_by_role("button", name=PRESETS[0].aim).click()
    expect(page.locator("#sending")).to_contain_text("Can run")
    expect(page.locator(".step")).to_have_count(1)
    page.get_by_text("3 options").click()
    page.get_by_label("Bits").select_option("4")
    expect(page.locator("#json")).to_have_value(re.compile('"bits": 4'))
    page.get_by_text("The same with curl or Python").click()
    expect(page.locator("#curl")).to_contain_text('"bits": 4')
    page.get_by_label("Bits").select_option("5")
    expect(page.locator("#curl")).to_contain_text('"bits": 5')
    expect(page.locator("#curl")).to_be_visible()
    visit.holds("new-job-preset")
    page.get_by_role("button", name="Send the job").click()
    page.wait_for_url(re.compile(r"/jobs/job_\w+$"))


def test_what_is_wrong_is_found_by_keyboard(visit: Visit, model: str) -> None:
    page = visit.to(f"/jobs/new?model={model}&preset=smaller")
    page.get_by_label("Min speedup").fill("none")
    page.get_by_label("Group size").evaluate("field => field.closest('details').open = false")
    page.locator("#json").fill(page.locator("#json").input_value().replace('"bits": 8', '"bits": 8, "group_size": 1'))
    summary = page.locator("#sending")
    expect(summary).to_contain_text("One thing keeps this job from running")
    expect(page.get_by_role("button", name="Send the job")).to_be_disabled()
    visit.holds("new-job-wrong")
    summary.get_by_role("link").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.name") == "/recipe/0/group_size"
    page.keyboard.press("ControlOrMeta+A")
    page.keyboard.press("Delete")
    expect(page.locator("#json")).not_to_have_value(re.compile("group_size"))
    expect(summary).not_to_contain_text("One thing")
    assert page.evaluate("document.activeElement.name") == "/recipe/0/group_size", "typing was disturbed"


def test_steps_are_moved_and_removed_by_keyboard(desk: Visit, model: str, dataset: str) -> None:
    page = desk.to(f"/jobs/new?model={model}&dataset={dataset}&preset=smallest")
    kinds = page.locator(".step h3")
    expect(kinds).to_have_text([re.compile("prune.magnitude"), re.compile("quantize.codebook"), re.compile("encode")])
    page.get_by_role("button", name="Move step 2 up").focus()
    page.keyboard.press("Enter")
    expect(kinds.first).to_contain_text("quantize.codebook")
    expect(page.get_by_role("status").first).to_have_text("It is step 1 now.")
    assert page.evaluate("document.activeElement.id") == "f-recipe-0-of"
    page.get_by_role("button", name="Remove step 3").press("Enter")
    expect(kinds).to_have_count(2)
    page.get_by_text("Quantize", exact=False).locator("xpath=ancestor::summary").first.press("Enter")
    page.get_by_role("button", name="Add quantize.static").press("Enter")
    expect(kinds).to_have_count(3)
    assert page.evaluate("document.activeElement.id") == "f-recipe-2-of"


def test_another_shape_has_other_fields(desk: Visit, model: str, dataset: str) -> None:
    page = desk.to(f"/jobs/new?model={model}&dataset={dataset}&preset=distilled")
    page.locator(".options").first.evaluate("options => (options.open = true)")
    page.get_by_label("student", exact=True).select_option("Shallower")
    page.get_by_label("Depth").fill("0.5")
    expect(page.locator("#json")).to_have_value(re.compile('"student": {\\s+"depth": 0.5'))
    page.get_by_label("teacher", exact=True).first.select_option("several")
    page.get_by_role("button", name="Add to teacher").click()
    expect(page.locator(".entry")).to_have_count(1)


def test_without_a_script_its_buttons_work_too(visits: Any, api: Any, model: str) -> None:
    with visits.of(api.url, "phone", java_script_enabled=False) as visit:
        page = visit.to(f"/jobs/new?model={model}")
        page.get_by_role("button", name=PRESETS[0].aim).click()
        expect(page.locator(".step")).to_have_count(1)
        expect(page.locator("#sending")).to_contain_text("Can run")
        page.get_by_text("The same with curl or Python").click()
        assert "quantize.weight_only" in page.locator("#curl").inner_text()
        assert not page.get_by_role("button", name="Send the job").is_visible()


def test_what_is_typed_while_a_button_works_is_kept(desk: Visit, model: str) -> None:
    page = desk.to(f"/jobs/new?model={model}")

    def slowly(route: Route) -> None:
        page.wait_for_timeout(300)
        route.continue_()

    page.route("**/jobs/new", slowly)
    page.get_by_role("button", name=PRESETS[0].aim).click()
    page.get_by_label("min speedup").fill("3")
    expect(page.locator("#json")).to_have_value(re.compile("weight_only.*min_speedup", re.DOTALL))
    assert page.get_by_label("min speedup").input_value() == "3"


# ---- the draft that is kept


def test_a_draft_is_there_after_a_reload_and_gone_when_somebody_starts_over(visit: Visit, model: str) -> None:
    page = visit.to(f"/jobs/new?model={model}")
    page.get_by_role("button", name=PRESETS[0].aim).click()
    expect(page.locator(".step")).to_have_count(1)
    page.get_by_label("Min speedup").fill("2.5")
    assert page.url.endswith("/jobs/new"), "a reload would ask for the model again, and for nothing else"
    page.reload()
    expect(page.get_by_label("Min speedup")).to_have_value("2.5")
    expect(page.locator(".step")).to_have_count(1)
    expect(page.locator("#sending")).to_contain_text("Can run")
    expect(page.get_by_text("Here is the draft that you left.")).to_be_visible()
    visit.holds("new-job-restored")
    page.get_by_role("button", name="Start over").click()
    expect(page.locator(".step")).to_have_count(0)
    expect(page.get_by_role("button", name="Start over")).to_be_hidden()
    page.reload()
    expect(page.locator(".step")).to_have_count(0)


def test_a_draft_is_there_after_a_step_back(desk: Visit, model: str) -> None:
    page = desk.to(f"/jobs/new?model={model}&preset=smaller")
    page.get_by_label("Min speedup").fill("2.5")
    expect(page.locator("#json")).to_have_value(re.compile("min_speedup"))
    page.get_by_role("link", name="Models", exact=True).click()
    page.get_by_role("heading", name="Models").wait_for()
    page.get_by_role("link", name="New job").click()
    expect(page.get_by_label("Min speedup")).to_have_value("2.5")
    page.go_back()
    page.go_forward()
    expect(page.get_by_label("Min speedup")).to_have_value("2.5")


def test_json_that_is_half_written_is_a_draft_too(desk: Visit, model: str) -> None:
    page = desk.to("/jobs/new")
    page.locator("#json").fill('{"model": ')
    expect(page.locator("#json-wrong")).to_contain_text("cannot be read")
    page.reload()
    expect(page.locator("#json")).to_have_value('{"model": ')
    expect(page.locator("#json-wrong")).to_contain_text("cannot be read")


def test_a_draft_gives_way_to_what_an_address_asks_for(desk: Visit, model: str) -> None:
    page = desk.to("/jobs/new")
    page.get_by_label("Min speedup").fill("2.5")
    expect(page.locator("#json")).to_have_value(re.compile("min_speedup"))
    for asked in (f"model={model}", "preset=smaller", "model=nope"):
        desk.to(f"/jobs/new?{asked}")
        expect(page.get_by_label("Min speedup")).to_have_value("")
        expect(page.get_by_role("button", name="Start over")).to_be_hidden()


def test_a_job_that_is_sent_leaves_no_draft(desk: Visit, model: str) -> None:
    page = desk.to(f"/jobs/new?model={model}")
    page.get_by_role("button", name=PRESETS[0].aim).click()
    page.get_by_role("button", name="Send the job").click()
    page.wait_for_url(re.compile(r"/jobs/job_\w+$"))
    assert page.evaluate("sessionStorage.length") == 0
    desk.to("/jobs/new")
    expect(page.locator(".step")).to_have_count(0)


def test_a_draft_is_nobody_else_s(desk: Visit, model: str) -> None:
    page = desk.to("/jobs/new")
    page.get_by_label("Min speedup").fill("2.5")
    expect(page.locator("#json")).to_have_value(re.compile("min_speedup"))
    page.evaluate("[[key, kept]] = Object.entries(sessionStorage); sessionStorage[key] = kept.replace('prj_', 'prj_0')")
    page.reload()
    expect(page.get_by_label("Min speedup")).to_have_value("")


# ---- what goes wrong while somebody works


def test_tags_are_checked_while_they_are_typed_and_nothing_is_pushed_away(desk: Visit, model: str) -> None:
    page = desk.to(f"/jobs/new?model={model}&preset=smaller")
    page.get_by_text("Everything else").click()
    send, tags = page.get_by_role("button", name="Send the job"), page.get_by_label("tags")
    expect(send).to_be_enabled()
    tags.scroll_into_view_if_needed()
    before = [each.bounding_box() for each in (send, tags)]
    tags.press_sequentially("vision, a!b")
    expect(page.locator("#ftags-wrong")).to_contain_text("“a!b” is no tag")
    expect(tags).to_have_attribute("aria-invalid", "true")
    expect(send).to_be_disabled()
    assert [each.bounding_box() for each in (send, tags)] == before, "what one is about to press has moved"
    tags.fill("vision, a-b")
    expect(send).to_be_enabled()
    send.click()
    page.wait_for_url(re.compile(r"/jobs/job_\w+$"))
    expect(page.locator("main")).to_contain_text("a-b")


def test_what_is_set_is_said_anew_after_each_change(desk: Visit, model: str) -> None:
    page = desk.to(f"/jobs/new?model={model}&preset=smaller")
    page.get_by_text("3 options").click()
    page.get_by_label("Bits").select_option("4")
    page.get_by_text("3 options").click()
    expect(page.locator("#f-recipe-0-of-told")).to_have_text(", set: bits 4")


def test_another_model_has_other_outputs_and_techniques(desk: Visit, model: str, finished: str) -> None:
    page = desk.to(f"/jobs/new?model={model}&preset=smaller")
    outputs = page.get_by_role("group", name="outputs").get_by_role("combobox")
    expect(outputs.nth(1)).to_have_value('"pt2"')
    page.locator("#f-model").select_option(finished)
    expect(outputs.nth(0)).to_have_value('"onnx"')
    expect(outputs.nth(1)).to_have_value("")
    expect(page.get_by_role("button", name=PRESETS[1].aim)).to_be_disabled()
    expect(page.locator("#sending")).to_contain_text("Can run")
    desk.holds("new-job-finished-model")
    page.locator("#f-model").select_option(model)
    expect(outputs.nth(1)).to_have_value('"pt2"')


@pytest.mark.parametrize("told", ["", "problem"])
def test_a_service_that_answers_otherwise_is_told_beside_the_button(desk: Visit, model: str, told: str) -> None:
    page = desk.to(f"/jobs/new?model={model}&preset=smaller")
    body = json.dumps({"detail": "A body may have 7 bytes at most."}) if told else "<h1>Bad gateway</h1>"
    page.route("**/jobs/new", lambda route: route.fulfill(status=413 if told else 502, body=body))
    page.get_by_label("Min speedup").fill("1")
    refused = page.locator("#refused")
    expect(refused).to_have_text("A body may have 7 bytes at most." if told else "The service answered 502.")
    expect(page.locator("#notices")).to_be_empty()
    page.unroute_all()
    page.get_by_label("Min speedup").fill("2")
    expect(refused).to_be_empty()
    desk.complaints[:] = [said for said in desk.complaints if "413" not in said and "502" not in said]


def test_a_form_that_is_too_long_is_told_in_words(desk: Visit, model: str) -> None:
    page = desk.to(f"/jobs/new?model={model}")
    page.locator("#json").evaluate("(field, text) => (field.value = text.repeat(12_000_000))", "b")
    page.get_by_label("Min speedup").fill("1")
    expect(page.locator("#refused")).to_contain_text("bytes at most")
    desk.complaints[:] = [said for said in desk.complaints if "413" not in said]
