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
    places = re.findall(r'<span class="wrong-place" id="(.*?)-wrong">(.+?)</span></span>', answer.text)
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
    assert 'href="#f-recipe-0-sparsity"' in answer.text and "recipe 1, sparsity" in answer.text
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


def test_a_job_is_made_by_preset(visit: Visit, model: str) -> None:
    page = visit.to(f"/jobs/new?model={model}")
    visit.holds("new-job-empty")
    page.get_by_role("button", name=PRESETS[0].aim).click()
    expect(page.locator("#plan")).to_contain_text("Can run")
    expect(page.locator(".step")).to_have_count(1)
    page.get_by_text("3 options").click()
    page.get_by_label("Bits").select_option("4")
    expect(page.locator("#json")).to_have_value(re.compile('"bits": 4'))
    expect(page.locator("#curl")).to_contain_text('"bits": 4')
    visit.holds("new-job-preset")
    page.get_by_role("button", name="Send the job").click()
    page.wait_for_url(re.compile(r"/jobs/job_\w+$"))


def test_what_is_wrong_is_found_by_keyboard(visit: Visit, model: str) -> None:
    page = visit.to(f"/jobs/new?model={model}&preset=smaller")
    page.get_by_label("Min speedup").fill("none")
    page.get_by_label("Group size").evaluate("field => field.closest('details').open = false")
    page.locator("#json").fill(page.locator("#json").input_value().replace('"bits": 8', '"bits": 8, "group_size": 1'))
    summary = page.locator("#problems")
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
        expect(page.locator("#plan")).to_contain_text("Can run")
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
