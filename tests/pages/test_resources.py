"""The overview, models, datasets and webhooks: as HTML, and in a browser."""

import hashlib
import os
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Locator, Page, Route, expect

from app import offered
from pith.errors import PithError
from tests.app.api_process import ApiProcess
from tests.app.by_hand import Bench
from tests.pages.browsing import Visit, Visits

SCRIPT = "<script>alert(1)</script>"
NAMED = {"name": SCRIPT.replace("/", "|")}
"""A name may hold no slash; the rest of it is a script to whoever does not escape."""
LAYERS = [
    {"name": "features.conv1", "kind": "Conv2d", "shape": [16, 1, 3, 3], "parameters": 144, "macs": 36864},
    {"name": "features.norm1", "kind": "BatchNorm2d", "shape": [16], "parameters": 32},
    {"name": "head.<b>fc", "kind": "Linear", "shape": [10, 16], "parameters": 170, "macs": 160},
]
IMAGE = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg"
    "=="
)
SOUND = "data:audio/wav;base64,UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YQAAAAA="


@pytest.fixture
def model(http: httpx.Client, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> str:
    """One that is ready, of an evil name, with layers."""
    made = http.put("/v1/models", params=NAMED, content=os.urandom(64)).json()
    monkeypatch.setattr("tests.app.by_hand.MODEL_DETAILS", {"layers": LAYERS})
    bench.learn(made["check"])
    return str(made["id"])


def columns(*types: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"name": name, "role": "input", "type": type, "dtype": "x"} for name, type in types]


def test_a_model_and_its_layers(http: httpx.Client, model: str) -> None:
    text = http.get(f"/models/{model}").text
    assert "<script>alert" not in text and "&lt;script&gt;alert" in text and "<b>fc" not in text
    assert "features.<wbr>conv1" in text and "36.9 k" in text and "Conv2d" in text
    assert text.count('class="one"') > 1, "no bar for the convolution"
    assert model in http.get("/models").text


def test_no_page_takes_a_name_for_markup(http: httpx.Client, bench: Bench, model: str) -> None:
    dataset = http.put("/v1/datasets", params=NAMED, content=os.urandom(64)).json()
    bench.learn(dataset["check"], classes=[SCRIPT, "b"])
    webhook = http.post("/v1/webhooks", json={"url": "https://example.org/<script>", **NAMED}).json()["id"]
    http.post("/v1/keys", json=NAMED)
    http.post("/v1/jobs", json={"model": model, "recipe": [{"kind": "quantize.dynamic"}]})
    http.post("/v1/uploads", params=NAMED, headers={"Upload-Length": "10"})
    paths = ("/", "/models", "/datasets", "/keys", "/webhooks", f"/models/{model}", f"/datasets/{dataset['id']}")
    for path in (*paths, f"/webhooks/{webhook}"):
        text = http.get(path).text
        assert "&lt;script&gt;alert(1)" in text, path
        assert "<script>" not in text, path
        assert len(re.findall("<script", text)) == len(
            re.findall(r'<script (?:defer|type="module") src="/static/', text)
        )


def test_a_rejected_model_says_why_and_can_be_given_its_architecture(http: httpx.Client, bench: Bench) -> None:
    made = http.put("/v1/models", content=os.urandom(64)).json()
    problem = PithError("architecture_missing", count=7, way_out="say pith/resnet20").problem
    bench.reject(made["check"], problem)
    assert problem.title in http.get("/models", params={"status": "rejected"}).text
    text = http.get(f"/models/{made['id']}").text
    assert "holds 7 tensors and no graph" in text and "Name its architecture" in text
    words = {"architecture": "pith/resnet20", "arguments": '{"num_classes": 7}'}
    again = http.post(f"/v1/models/{made['id']}/check", params=words)
    assert (again.status_code, again.json()["status"]) == (202, "checking")
    assert again.json()["architecture"] == {**again.json()["architecture"], "name": "pith/resnet20"}
    assert again.json()["architecture"]["arguments"] == {"num_classes": 7}
    assert "A worker is looking at this model" in http.get(f"/models/{made['id']}").text
    bench.learn(again.json()["check"])
    as_before = http.post(f"/v1/models/{made['id']}/check").json()
    assert as_before["architecture"]["name"] == "pith/resnet20", "what was said is forgotten"
    wrong = http.post(f"/v1/models/{made['id']}/check", params={"architecture": "nonsense"})
    assert wrong.status_code == 422 and wrong.json()["errors"][0]["pointer"] == "/query/architecture"


def test_the_architectures_to_choose_from(http: httpx.Client) -> None:
    answer = http.get("/models/architectures")
    assert '<option value="timm/resnet18">' in answer.text and "max-age" in answer.headers["cache-control"]


def test_a_dataset_with_pictures_sounds_and_what_only_looks_so(
    http: httpx.Client, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = http.put("/v1/datasets", content=os.urandom(64)).json()
    types = columns(("picture", "image"), ("sound", "audio"), ("text", "text"), ("figures", "tensor"))
    figures = {"shape": [2], "min": 0.0, "max": 1.0, "mean": 0.5, "first": [0.0, 1.0]}
    sample = {"split": "train", "picture": IMAGE, "sound": SOUND, "text": IMAGE, "figures": figures}
    bare = {**sample, "sound": None, "figures": {**figures, "picture": IMAGE}}
    monkeypatch.setattr("tests.app.by_hand.PREVIEW", {"splits": [], "samples": [sample, bare]})
    bench.learn(made["check"], columns=types, task="image-classification")
    text = http.get(f"/datasets/{made['id']}").text
    assert text.count(f'<img src="{IMAGE}"') == 2, "a text is no picture"
    assert text.count("<audio") == 1 and "missing" in text and "mean 0.5" in text
    assert text.count('class="drawn"') == 1, "what the check has drawn"
    assert "image-classification" in text


def test_where_a_model_comes_from_and_what_came_of_it(http: httpx.Client, bench: Bench) -> None:
    first = http.put("/v1/models?name=first", content=os.urandom(64)).json()["id"]
    job = http.post("/v1/jobs", json={"model": first, "recipe": [{"kind": "quantize.dynamic"}]}).json()["id"]
    made = os.urandom(64)
    bench.succeed(job, bench.start(job), model_pt2=made, report_json=b"{}")
    second = http.put("/v1/models?name=second", content=made).json()["id"]
    before, after = http.get(f"/models/{second}").text, http.get(f"/models/{first}").text
    assert f'href="/jobs/{job}"' in before and f'href="/models/{first}"' in before and ">first<" in before
    assert f'href="/jobs/{job}"' in after and f'href="/models/{second}"' in after
    alone = http.put("/v1/models", content=os.urandom(64)).json()["id"]
    assert 'id="lineage"' not in http.get(f"/models/{alone}").text


def test_the_example_is_brought_in_once(http: httpx.Client, bench: Bench) -> None:
    with ThreadPoolExecutor(6) as pool:
        first, *others = pool.map(lambda _: http.post("/v1/example"), range(6))
    assert first.status_code == 201
    model, dataset = first.json()["model"], first.json()["dataset"]
    assert model["size_bytes"] == (offered.FOLDER / "model.pt2").stat().st_size
    assert model["tags"] == dataset["tags"] == ["example"]
    assert first.json()["spec"]["model"] == model["id"] and first.json()["spec"]["dataset"] == dataset["id"]
    for again in (*others, http.post("/v1/example")):
        assert (again.json()["model"]["id"], again.json()["dataset"]["id"]) == (model["id"], dataset["id"])
    bench.reject(model["check"], PithError("upload_empty").problem)
    assert http.post("/v1/example").json()["model"]["id"] != model["id"], "one that was rejected is of no use"


def test_the_root_is_json_for_a_program(http: httpx.Client) -> None:
    assert http.get("/", headers={"Accept": "*/*"}).json()["docs"] == "/docs"


def test_a_list_goes_on(http: httpx.Client) -> None:
    for _ in range(26):
        http.put("/v1/models", content=b"the same")
    page = http.get("/models").text
    older = re.search(r'href="(/models\?cursor=[^"]+)"', page)
    assert older is not None
    ids = re.findall(r'<a href="/models/(mdl_\w+)"', page)
    assert len(ids) == 25 and ids[-1] not in http.get(older[1]).text
    assert http.get("/models?cursor=nonsense").status_code == 400


@pytest.mark.parametrize("path", ["/models?statsu=ready", "/models?status=odd", "/datasets?cursor=%00"])
def test_a_wrong_address_is_told_in_words(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert answer.status_code in (400, 422) and "<h1>" in answer.text


# ---- in a browser


@pytest.fixture
def big(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "big model.pt2"
    file.write_bytes(os.urandom(8_000_000))
    yield file


def test_pages_hold(visit: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    webhook = http.post("/v1/webhooks", json={"url": "https://example.org/hook"}).json()["id"]
    http.post(f"/v1/webhooks/{webhook}/test")
    dataset = http.put("/v1/datasets", content=os.urandom(64)).json()
    bench.learn(dataset["check"])
    for name, path in {
        "overview": "/",
        "models": "/models",
        "model": f"/models/{model}",
        "datasets": "/datasets",
        "dataset": f"/datasets/{dataset['id']}",
        "keys": "/keys",
        "webhooks": "/webhooks",
        "webhook": f"/webhooks/{webhook}",
    }.items():
        visit.to(path)
        visit.holds(name)


def test_an_upload_is_paused_goes_on_after_a_reload_and_is_checked(desk: Visit, bench: Bench, big: Path) -> None:
    page = desk.to("/models")
    session = page.context.new_cdp_session(page)
    session.send("Network.enable")
    slow = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": 2_000_000}
    session.send("Network.emulateNetworkConditions", slow)
    page.get_by_label("Files").set_input_files(big)
    row = page.get_by_role("list", name="Transfers").get_by_role("listitem")
    while row.get_by_role("progressbar").evaluate("bar => bar.value") < 0.1:
        page.wait_for_timeout(20)
    row.get_by_role("button", name="Pause").click()
    row.get_by_text("paused").wait_for()
    page.reload()
    page.get_by_role("listitem").filter(has_text="big model.pt2").get_by_text("to go on").wait_for()
    sent = []
    page.on("request", lambda request: sent.append((request.method, request.headers.get("upload-offset"))))
    session.send("Network.emulateNetworkConditions", {**slow, "uploadThroughput": -1})
    page.get_by_label("Files").set_input_files(big)
    row.get_by_role("link", name="Open").wait_for()
    assert not [method for method, _ in sent if method == "POST"], "it began anew"
    assert all(int(offset or 0) > 0 for method, offset in sent if method == "PATCH")
    bench.learn_all()
    page.locator("#list").get_by_role("row", name="big model.pt2").get_by_text("ready").wait_for()
    row.get_by_role("link", name="Open").click()
    page.get_by_role("heading", name="big model.pt2").wait_for()


def test_a_file_is_dropped_and_a_wrong_word_is_told_at_its_field(desk: Visit) -> None:
    page = desk.to("/models")
    page.get_by_text("Weights without a graph").click()
    page.get_by_label("Architecture", exact=True).focus()
    page.locator("#architectures option[value='timm/resnet18']").wait_for(state="attached")
    page.get_by_label("Its arguments").fill("{not json")
    drop = """() => {
        const data = new DataTransfer();
        data.items.add(new File(["weights"], "dropped.pt2"));
        const dropped = new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: data});
        document.querySelector("#upload").dispatchEvent(dropped);
    }"""
    page.evaluate(drop)
    page.get_by_text("This should be a JSON object").wait_for()
    assert page.evaluate("document.activeElement.name") == "arguments"
    page.get_by_label("Its arguments").fill("")
    page.evaluate(drop)
    page.get_by_role("list", name="Transfers").get_by_role("link", name="Open").wait_for()


DROP = """([to, files]) => {
    const data = new DataTransfer();
    for (const [name, text] of files) data.items.add(new File([text], name));
    const zone = document.querySelector(to);
    for (const type of ["dragenter", "dragover", "drop"]) {
        zone.dispatchEvent(new DragEvent(type, {bubbles: true, cancelable: true, dataTransfer: data}));
        if (type === "dragover" && !zone.classList.contains("over")) throw new Error("nothing shows where to drop");
    }
    if (zone.classList.contains("over")) throw new Error("it still shows where to drop");
}"""


def transfers(page: Page, name: str) -> Locator:
    return page.get_by_role("list", name="Transfers").get_by_role("listitem").filter(has_text=name)


@pytest.mark.parametrize("what", ["models", "datasets"])
def test_several_files_are_dropped_at_once(desk: Visit, http: httpx.Client, what: str) -> None:
    page = desk.to(f"/{what}")
    page.get_by_text(re.compile("Weights without|What the files")).click()
    page.get_by_label("Tags").fill("dropped, twice v2")
    names = [f"{os.urandom(4).hex()}.zip" for _ in range(2)]
    page.evaluate(DROP, ["#transfer", [[name, name * 50] for name in names]])
    for name in names:
        transfers(page, name).get_by_role("link", name="Open").wait_for()
    found = {each["name"]: each for each in http.get(f"/v1/{what}").json()["data"]}
    for name in names:
        assert found[name]["size_bytes"] == 50 * len(name) and found[name]["tags"] == ["dropped", "twice", "v2"]


def test_what_cannot_be_uploaded_is_told_in_words_and_not_offered_again(desk: Visit, http: httpx.Client) -> None:
    page = desk.to("/models")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    bad = {"empty.pt2": ("", "is empty"), "a/b.pt2": ("x", "has a slash"), "a\\b.pt2": ("x", "has a slash")}
    bad |= {"n\u0001.pt2": ("x", "cannot be shown"), f"{'n' * 256}.pt2": ("x", "longer than 255")}
    page.evaluate(DROP, ["#transfer", [[name, text] for name, (text, _) in bad.items()]])
    for name, (_, words) in bad.items():
        row = page.get_by_role("list", name="Transfers").get_by_role("listitem").filter(has_text=words)
        row = row.filter(has=page.get_by_text(name, exact=True))
        assert row.get_by_role("alert").inner_text().endswith((".", "end.")) and "/v1" not in row.inner_text()
        assert row.get_by_role("button").all_inner_texts() == ["Dismiss"]
    desk.holds("models-refused")
    page.get_by_role("button", name="Dismiss empty.pt2").click()
    expect(page.get_by_role("list", name="Transfers").get_by_role("listitem")).to_have_count(len(bad) - 1)
    assert not [url for url in sent if "/v1/uploads" in url]


def test_a_folder_is_told_to_be_one(desk: Visit) -> None:
    """A browser hands a dropped folder over as a file; what it is stands beside it."""
    page = desk.to("/models")
    page.evaluate("DataTransferItem.prototype.webkitGetAsEntry = () => ({isDirectory: true, name: 'bert'})")
    page.evaluate(DROP, ["#transfer", [["bert", "x"]]])
    row = transfers(page, "bert")
    expect(row.get_by_role("alert")).to_have_text("This is a folder. Pack it as a zip or tar, and upload that.")
    assert row.get_by_role("button").all_inner_texts() == ["Dismiss"]


def test_what_is_too_large_is_not_offered_again(api: ApiProcess, visits: Visits, http: httpx.Client) -> None:
    project = http.post("/v1/projects", json={"name": "small", "quotas": {"upload_bytes": 10}}).json()["id"]
    secret = http.post("/v1/keys", json={"name": "it", "project": project}).json()["secret"]
    with visits.of(api.url, extra_http_headers={"Authorization": f"Bearer {secret}"}) as visit:
        page = visit.to("/models")
        page.evaluate(DROP, ["#transfer", [["large.pt2", "x" * 20]]])
        row = transfers(page, "large.pt2")
        expect(row.get_by_role("alert")).to_contain_text("larger than 10 bytes")
        assert row.get_by_role("button").all_inner_texts() == ["Dismiss"]
        assert "PITH_" not in row.inner_text()


@pytest.mark.parametrize(
    ("label", "text", "words"),
    [
        ("Tags", "fine, a!b", "letters, digits"),
        ("Architecture", "resnet", "timm"),
        ("Shape of one sample", "3x32", "3,32"),
    ],
)
def test_a_wrong_word_about_a_file_is_told_before_it_is_sent(desk: Visit, label: str, text: str, words: str) -> None:
    page = desk.to("/models")
    page.get_by_text("Weights without a graph").click()
    page.get_by_label(label, exact=True).fill(text)
    page.evaluate(DROP, ["#transfer", [["weights.pt2", "weights"]]])
    field = page.get_by_label(label, exact=True)
    wrong = page.locator(f"[id='{field.get_attribute('aria-errormessage')}']")
    expect(wrong).to_contain_text(words)
    expect(field).to_be_focused()
    expect(page.get_by_role("list", name="Transfers").get_by_role("listitem")).to_have_count(0)
    field.fill("")
    page.evaluate(DROP, ["#transfer", [["weights.pt2", "weights"]]])
    transfers(page, "weights.pt2").get_by_role("link", name="Open").wait_for()
    expect(wrong).to_have_count(0)


def test_what_only_the_service_finds_wrong_is_told_at_its_field(desk: Visit) -> None:
    page = desk.to("/models")
    page.get_by_text("Weights without a graph").click()
    page.get_by_label("Its arguments").fill('{"num_classes": 3}')
    page.evaluate(DROP, ["#transfer", [["weights.pt2", "weights"]]])
    row = transfers(page, "weights.pt2")
    expect(row.get_by_role("alert")).to_contain_text("see above")
    assert row.get_by_role("button").all_inner_texts() == ["Dismiss"]
    expect(page.get_by_label("Architecture", exact=True)).to_have_attribute("aria-invalid", "true")
    desk.complaints[:] = [said for said in desk.complaints if "422" not in said]  # the answer that was wanted


TUS = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}


def test_an_interrupted_upload_goes_on_from_the_page(desk: Visit, http: httpx.Client, big: Path) -> None:
    """Three megabytes of eight arrive before the line breaks, and then nobody answers."""
    page, arrived = desk.page, list[int]()

    def broken(route: Route) -> None:
        if route.request.method == "PATCH" and not arrived:
            answer = http.patch(route.request.url, content=big.read_bytes()[:3_000_000], headers=TUS)
            arrived.append(int(answer.headers["upload-offset"]))
        route.abort("connectionreset")

    page.add_init_script("const later = setTimeout; window.setTimeout = (done, ms) => later(done, Math.min(ms, 5))")
    page.route(re.compile("/v1/uploads/upl_"), broken)
    desk.to("/models")
    page.get_by_label("Files").set_input_files(big)
    row = transfers(page, big.name)
    again = row.get_by_role("button", name="Resume")
    again.wait_for()
    expect(row.get_by_role("alert")).to_contain_text("What has arrived is kept")
    page.unroute_all()
    sent: list[tuple[str, str | None]] = []
    page.on("request", lambda request: sent.append((request.method, request.headers.get("upload-offset"))))
    again.click()
    row.get_by_role("link", name="Open").wait_for()
    assert not [method for method, _ in sent if method == "POST"], "it began anew"
    assert [offset for method, offset in sent if method == "PATCH"] == [str(*arrived)] == ["3000000"]
    desk.complaints[:] = [said for said in desk.complaints if "ERR_CONNECTION_RESET" not in said]


def test_an_architecture_is_named_after_the_check_asked_for_it(desk: Visit, http: httpx.Client, bench: Bench) -> None:
    made = http.put("/v1/models", content=os.urandom(64)).json()
    bench.reject(made["check"], PithError("architecture_missing", count=7, way_out="say pith/resnet20").problem)
    page = desk.to(f"/models/{made['id']}")
    desk.picture("model-rejected")
    field = page.get_by_label("Architecture", exact=True)
    field.fill("nonsense")
    page.locator("#recheck").get_by_role("button", name="Check again").click()
    page.locator("#recheck .wrong").wait_for()
    assert field.get_attribute("aria-invalid") == "true"
    field.fill("pith/resnet20")
    page.keyboard.press("Enter")
    page.get_by_text("A worker is looking at this model").wait_for()
    bench.learn_all()
    page.get_by_role("heading", name="Facts").wait_for()
    page.get_by_text("pith/resnet20").wait_for()
    desk.complaints[:] = [said for said in desk.complaints if "422" not in said]


def test_what_the_api_refuses_is_told_at_the_field_by_keyboard_alone(desk: Visit) -> None:
    page = desk.to("/webhooks")
    page.get_by_label("Address").fill("https://user:password@example.org/")
    page.keyboard.press("Enter")
    wrong = page.get_by_text("should hold no user and no password")
    wrong.wait_for()
    field = page.get_by_label("Address")
    assert field.get_attribute("aria-invalid") == "true"
    assert field.get_attribute("aria-errormessage") == wrong.get_attribute("id")
    desk.complaints[:] = [said for said in desk.complaints if "422" not in said]  # the answer that was wanted


def test_the_example_is_compressed_without_a_terminal(api: ApiProcess, http: httpx.Client, visits: Visits) -> None:
    """In a project with nothing in it."""
    project = http.post("/v1/projects", json={"name": "new here"}).json()["id"]
    secret = http.post("/v1/keys", json={"name": "it", "project": project}).json()["secret"]
    headers = {"Authorization": f"Bearer {secret}"}
    with visits.of(api.url, extra_http_headers=headers) as visit:
        page = visit.to("/")
        page.get_by_role("heading", name="What to do first").wait_for()
        visit.holds("overview-first")
        page.get_by_role("button", name="Compress the example").click()
        page.wait_for_url(re.compile("/jobs/job_"))
        job = http.get(f"/v1/jobs/{page.url.rpartition('/')[2]}", headers=headers).json()
        assert [step["kind"] for step in job["spec"]["recipe"]] == [
            "prune.channel",
            "distill.logits",
            "quantize.static",
        ]
        page.goto("/")
        page.get_by_role("link", name="prune.channel → distill.logits → quantize.static").wait_for()
        assert not page.get_by_role("button", name="Compress the example").is_visible()


def test_a_result_is_taken_as_a_model(desk: Visit, http: httpx.Client, bench: Bench) -> None:
    model = http.put("/v1/models?name=before", content=os.urandom(64)).json()["id"]
    job = http.post("/v1/jobs", json={"model": model, "recipe": [{"kind": "quantize.dynamic"}]}).json()["id"]
    result = os.urandom(64)
    bench.succeed(job, bench.start(job), model_pt2=result, report_json=b"{}")
    page = desk.to(f"/models/{model}")
    page.get_by_role("button", name="Use its result").click()
    page.get_by_role("heading", name=f"before-{job[-6:]}.pt2").wait_for()
    page.get_by_role("link", name="before").first.wait_for()
    taken = http.get(f"/v1/models/{page.url.rpartition('/')[2]}").json()
    assert taken["digest"] == f"sha256:{hashlib.sha256(result).hexdigest()}"


@pytest.mark.parametrize(("label", "text"), [("Name", "a/b"), ("Tags", "fine, a!b")])
def test_a_wrong_name_or_tag_is_told_at_its_field(desk: Visit, model: str, label: str, text: str) -> None:
    page = desk.to(f"/models/{model}")
    page.get_by_text("Name and tags").click()
    field = page.get_by_label(label, exact=True)
    field.fill(text)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    page.get_by_role("button", name="Save").click()
    expect(field).to_be_focused()
    assert field.evaluate("field => field.validity.patternMismatch && field.title !== ''") and sent == []
    field.fill("right" if label == "Name" else "right, r2")
    page.get_by_role("button", name="Save").click()
    page.wait_for_load_state()
    expect(page.locator(".head")).to_contain_text("right")


def test_what_is_deleted_is_asked_for_first(desk: Visit, http: httpx.Client, model: str) -> None:
    page = desk.to(f"/models/{model}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="No, leave it").click()
    assert http.get(f"/v1/models/{model}").status_code == 200
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete it").click()
    page.wait_for_url("**/models")
    assert http.get(f"/v1/models/{model}").status_code == 410
