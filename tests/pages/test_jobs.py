"""The list of jobs, one job as it goes, its report in a frame: as pages, and in a browser."""

import json
import os
import re
from datetime import UTC, datetime
from html import unescape
from typing import Any

import httpx
import pytest
from playwright.sync_api import expect

from pith.errors import PithError
from pith.job import EngineEvent, Progress
from pith.report import ConstraintResult, Replay
from tests.app.api_process import ApiProcess
from tests.app.by_hand import Bench
from tests.app.test_api_lineage import keep
from tests.pages.browsing import Visit
from tests.pages.made import QUANTIZE, submitted, succeeded

EVIL = "<script>alert(1)<script>"
TRAINED = {"kind": "prune.magnitude", "recovery": {"epochs": 3}}
PAGE = b"""<!doctype html><html lang=en><title>Report</title><style>h1 { color: rgb(1, 2, 3) }</style>
<h1>Half as large</h1><script>document.title = 'it ran'</script><img src="http://192.0.2.1/out.png">"""


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


@pytest.fixture
def running(http: httpx.Client, bench: Bench, model: str, dataset: str) -> tuple[str, int]:
    """A job that has begun, and the attempt that works on it."""
    job = submitted(http, model, TRAINED, {"kind": "quantize.static"}, dataset=dataset, tags=["nightly"])
    return job, bench.start(job)


def losses(*values: float, step: int = 0) -> list[EngineEvent]:
    now = datetime.now(UTC)
    return [
        EngineEvent(
            at=now, type="metric", message=f"recovery: loss {value}", step=step, data={"epoch": i, "loss": value}
        )
        for i, value in enumerate(values)
    ]


# ---- the list


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return re.findall(r'<tr id="(job_\w+)">', answer.text)


def test_the_list_is_filtered_and_paged(http: httpx.Client, bench: Bench, model: str) -> None:
    made = [submitted(http, model, tags=["odd" if i % 2 else "even", "list"]) for i in range(27)]
    succeeded(http, bench, made[0])
    first = http.get("/jobs", params={"model": model})
    assert ids(first) == made[:1:-1]
    older = re.search(r'href="(/jobs\?[^"]*cursor=[^"]*)"', first.text)
    assert older is not None
    assert ids(http.get(older[1].replace("&amp;", "&"))) == made[1::-1]
    assert ids(http.get("/jobs", params={"model": model, "tag": "odd list"})) == made[25:0:-2]
    assert ids(http.get("/jobs", params={"model": model, "status": "succeeded"})) == made[:1]
    part = http.get("/jobs", params={"model": model, "part": "table"})
    assert ids(part) == made[:1:-1] and "<html" not in part.text
    assert "alert(1)&lt;script&gt;</a>" in first.text and "<script>alert" not in first.text


@pytest.mark.parametrize("query", ["status=odd", "model=x", "tag=%3Cb%3E", "cursor=x", "what=1", "part=x"])
def test_a_filter_that_makes_no_sense_is_refused_as_a_page(http: httpx.Client, query: str) -> None:
    answer = http.get(f"/jobs?{query}")
    assert answer.status_code in (400, 422) and "<html" in answer.text and "<b>" not in answer.text


def test_nothing_is_so(http: httpx.Client) -> None:
    assert "No job matches." in http.get("/jobs", params={"tag": "nothing-has-this"}).text


def test_the_list_moves_by_itself_and_marks_stay(visit: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    done, waiting = submitted(http, model), submitted(http, model)
    succeeded(http, bench, done)
    page = visit.to(f"/jobs?model={model}")
    page.locator(f"#pick-{done}").check()
    attempt = bench.start(waiting)
    expect(page.locator(f"#{waiting} .state")).to_have_text("running")
    assert page.locator(f"#pick-{done}").is_checked()
    visit.holds("jobs")
    bench.jobs.succeed(waiting, attempt, [], "unconstrained")
    expect(page.locator(f"#{waiting} .state").first).to_have_text("succeeded")
    page.locator(f"#pick-{waiting}").check()
    page.get_by_role("button", name="Compare the marked ones").click()
    page.wait_for_url(re.compile(rf"/compare\?job={waiting}&job={done}"))


def missed(limit: float) -> dict[str, Any]:
    constraint = {"name": "min_compression_ratio", "limit": limit, "value": 4.0, "met": False, "margin": 4.0 - limit}
    return {"verdict": "not_met", "constraints": (ConstraintResult.model_validate(constraint),)}


def test_the_list_says_what_was_gained_and_opens_no_report(
    visit: Visit, http: httpx.Client, bench: Bench, model: str
) -> None:
    good, bad = submitted(http, model), submitted(http, model)
    succeeded(http, bench, good, accuracy=0.935)
    succeeded(http, bench, bad, size=5e6, latency=16.0, accuracy=0.9, further=missed(8))
    page = visit.to(f"/jobs?model={model}")
    said = page.locator(f"#{good} .gained span")
    expect(said).to_have_text(["4.00× smaller", "2.00× faster", "accuracy +0.50 points"])
    expect(page.locator(f"#{good} .worse")).to_have_count(0)
    expect(page.locator(f"#{bad} .worse")).to_have_text(["1.25× larger", "2.00× slower", "accuracy −3.00 points"])
    expect(page.locator(f"#{bad}")).to_contain_text("constraints not met")
    visit.holds("jobs-done")
    page.goto(f"/jobs/{bad}")
    result = page.get_by_role("region", name="Result")
    expect(result).to_contain_text("not met Times smaller, at least 8.00: it is 4.00")
    expect(result.locator(".worse")).to_have_count(3)
    visit.holds("job-not-met")
    assert "1.25× larger" in http.get("/").text, "the overview says it too"
    stored = next(each for each in bench.jobs.get(good).artifacts if each.name == "report.json")
    bench.blobs.delete(stored.digest, lambda digest: False)
    assert "4.00× smaller" in http.get("/jobs", params={"model": model}).text


@pytest.mark.parametrize(
    ("identical", "says"), [(True, "The same bytes."), (False, "Other bytes."), (None, "Not compared.")]
)
def test_a_replay_says_whether_it_has_the_same_bytes(
    http: httpx.Client, bench: Bench, model: str, identical: bool | None, says: str
) -> None:
    first = submitted(http, model)
    again = http.post(f"/v1/jobs/{first}/replay").json()["id"]
    replay = Replay(job=first, status="succeeded", verdict=f"As told <of> {first}.", identical=identical)
    succeeded(http, bench, again, further={"replay": replay})
    text = http.get(f"/jobs/{again}").text
    assert says in text and f"As told &lt;of&gt; {first}." in text
    assert http.get(f"/v1/jobs/{again}").json()["outcome"]["identical"] is identical


def test_a_result_is_used_as_a_model_once(visit: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    succeeded(http, bench, job)
    page = visit.to(f"/jobs/{job}/report")
    page.get_by_role("button", name="Use as model").click()
    page.wait_for_url(re.compile("/models/mdl_"))
    made = page.url.rpartition("/")[2]
    assert http.get(f"/v1/models/{made}").json()["source"]["uri"] == f"/v1/jobs/{job}/artifacts/model.onnx"
    page.goto(f"/jobs/{job}")
    page.get_by_role("link", name="Its model").click()
    page.wait_for_url(re.compile("/models/mdl_"))


def test_who_presses_twice_has_one_model(desk: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    succeeded(http, bench, job)
    page = desk.to(f"/jobs/{job}/report")
    twice = """form => { for (let i = 0; i < 2; i++)
        form.dispatchEvent(new SubmitEvent("submit", {bubbles: true, cancelable: true})) }"""
    page.locator("form[data-once]").evaluate(twice)
    page.wait_for_url(re.compile("/models/mdl_"))
    found = http.get("/v1/models", params={"limit": 200}).json()["data"]
    assert len([each for each in found if each["source"] and job in each["source"]["uri"]]) == 1


# ---- a job


def test_a_job_s_page(http: httpx.Client, running: tuple[str, int]) -> None:
    answer = http.get(f"/jobs/{running[0]}")
    assert answer.status_code == 200
    assert "<script>alert" not in answer.text and "&lt;script&gt;alert(1)" in answer.text
    asked = re.search(r'<code id="spec">(.*?)</code>', answer.text, re.DOTALL)
    assert asked is not None
    assert json.loads(unescape(asked[1]))["recipe"] == [TRAINED, {"kind": "quantize.static"}]
    now = http.get(f"/jobs/{running[0]}/now")
    assert now.status_code == 200 and "<html" not in now.text and 'data-status="running"' in now.text
    for path in ("", "/now", "/report", "/report/framed"):
        assert http.get(f"/jobs/job_{'0' * 26}{path}").status_code == 404
    assert http.get(f"/jobs/{running[0]}/report").status_code == 409


def test_a_check_has_a_page_too(http: httpx.Client, model: str) -> None:
    check = http.get(f"/v1/models/{model}").json()["check"]
    answer = http.get(f"/jobs/{check}")
    assert answer.status_code == 200 and f"Check of {model}" in answer.text
    assert http.get("/jobs/new", params={"like": check}).status_code == 409


def test_a_job_is_watched(visit: Visit, bench: Bench, running: tuple[str, int]) -> None:
    job, attempt = running
    page = visit.to(f"/jobs/{job}")
    began = [EngineEvent(at=datetime.now(UTC), type="step_started", message="prune.magnitude", step=0)]
    bench.jobs.record(job, attempt, [*began, *losses(1.0, 0.5)], Progress(fraction=0.25, step=0, message="epoch 2"))
    expect(page.locator("#log")).to_contain_text("recovery: loss 0.5")
    expect(page.locator("#curves figcaption")).to_have_text("loss, 1. prune.magnitude: 2 points, 1 at first, 0.5 now")
    expect(page.locator("#now")).to_contain_text("25 % · epoch 2")
    expect(page.locator(".bar .running")).to_contain_text("prune.magnitude")
    bench.jobs.record(job, attempt, losses(0.25), Progress(fraction=0.3, step=0, message=EVIL))
    expect(page.locator("#curves figcaption")).to_contain_text("3 points")
    expect(page.locator("#now")).to_contain_text(EVIL)
    visit.holds("job-running")
    page.reload()
    expect(page.locator("#event-count")).to_have_text("6")
    expect(page.locator("#curves figcaption")).to_contain_text("3 points")


def test_notes_are_quiet_and_curves_say_which_training_they_are_of(
    desk: Visit, bench: Bench, running: tuple[str, int]
) -> None:
    job, attempt = running
    page = desk.to(f"/jobs/{job}")
    bench.tell(job, attempt, "Two layers stay as they are.", type="warning")
    now = datetime.now(UTC)
    trained = [{"epoch": i % 2 + 1, "phase": i // 2, "loss": 1 / (i + 1)} for i in range(6)]
    events = [EngineEvent(at=now, type="metric", message="loss", step=0, data=data) for data in trained]
    widths = {"stem": 32, "body": 64}
    events.append(EngineEvent(at=now, type="metric", message="channels left", step=0, data={"widths": widths}))
    bench.jobs.record(job, attempt, events, Progress(fraction=0.5, step=0))
    note = page.locator("#log .warning")
    expect(note).to_contain_text("note          Two layers stay")
    expect(page.locator("#log")).to_contain_text("channels left: 96")
    ink = "each => getComputedStyle(each).color"
    assert note.evaluate(ink) == page.locator(".soft").first.evaluate(ink)
    expect(page.locator("#curves figcaption")).to_contain_text("in 3 trainings of this step")
    expect(page.locator("#curves figcaption")).to_contain_text("1. prune.magnitude")
    desk.picture("job-trainings")


def test_curves_make_room_for_one_another(visit: Visit, bench: Bench, running: tuple[str, int]) -> None:
    job, attempt = running
    page = visit.to(f"/jobs/{job}")
    bench.jobs.record(job, attempt, losses(1.0, 0.5), Progress(fraction=0.25, step=0, message="epoch 2"))
    expect(page.locator("#curves figure")).to_have_count(1)
    expect(page.locator("#curves canvas")).to_have_count(1)
    bench.jobs.record(job, attempt, losses(0.3, 0.2, step=1), Progress(fraction=0.5, step=1, message="epoch 2"))
    expect(page.locator("#curves canvas")).to_have_count(2)
    page.wait_for_function(
        "[...document.querySelectorAll('#curves figure')].every((figure) =>"
        " figure.querySelector('.uplot').getBoundingClientRect().width <= figure.clientWidth + 1)"
    )


def test_it_ends_before_one_s_eyes(visit: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    page = visit.to(f"/jobs/{job}")
    expect(page.locator("#now")).to_contain_text("queued")
    succeeded(http, bench, job)
    expect(page.locator(".head .state").first).to_have_text("succeeded")
    expect(page.get_by_role("link", name="Report", exact=True)).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="Download model.onnx").click()
    assert download.value.path().read_bytes() == b"model"
    visit.holds("job-succeeded")


def test_an_error_is_told_in_words(visit: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    error = PithError("technique_inapplicable", index=0, kind="quantize.weight_only", reason=EVIL, way_out="leave it")
    assert bench.jobs.fail(job, bench.start(job), error.problem)
    page = visit.to(f"/jobs/{job}")
    expect(page.get_by_role("region", name="Technique does not apply")).to_contain_text(EVIL)
    visit.holds("job-failed")


def test_what_can_be_done_with_a_job(desk: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    page = desk.to(f"/jobs/{job}")
    page.get_by_role("button", name="Pause").click()
    expect(page.locator(".head .state").first).to_have_text("paused")
    page.get_by_role("button", name="Resume").click()
    expect(page.locator(".head .state").first).to_have_text("queued")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel the job").click()
    expect(page.locator(".head .state").first).to_have_text("cancelled")
    page.get_by_text("Tags", exact=True).click()
    page.get_by_label("Tags, with").fill("one two")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".head .tag")).to_have_text(["one", "two"])
    page.get_by_text("Tags", exact=True).click()
    page.get_by_label("Tags, with").fill("")
    page.get_by_role("button", name="Save").click()
    expect(page.locator(".head .tag")).to_have_count(0)
    page.get_by_role("button", name="Replay").click()
    page.get_by_role("dialog").get_by_role("button", name="Replay").click()
    page.wait_for_url(lambda url: job not in url)
    expect(page.locator(".facts")).to_contain_text(job[-6:])
    page.goto(f"/jobs/{job}")
    page.get_by_role("button", name="Delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url(re.compile("/jobs$"))
    gone = http.get(f"/jobs/{job}")
    assert gone.status_code == 410 and "<h1>This job was deleted</h1>" in gone.text


def test_many_events_are_shown_a_few_at_a_time(desk: Visit, bench: Bench, running: tuple[str, int]) -> None:
    job, attempt = running
    now = datetime.now(UTC)
    for start in range(0, 1500, 500):
        events = [EngineEvent(at=now, type="progress", message=f"message {start + i}") for i in range(500)]
        bench.jobs.record(job, attempt, events, Progress(fraction=0.5))
    page = desk.to(f"/jobs/{job}")
    expect(page.locator("#log li").last).to_contain_text("message 1499")
    expect(page.locator("#log li")).to_have_count(300)
    expect(page.locator("#event-count")).to_have_text("1203 to 1502 of 1502")
    page.get_by_role("button", name="Earlier").click()
    expect(page.locator("#event-count")).to_have_text("903 to 1202 of 1502")
    bench.tell(job, attempt, "the very last")
    expect(page.locator("#event-count")).to_have_text("903 to 1202 of 1503")
    page.get_by_role("button", name="Follow the newest").click()
    expect(page.locator("#log li").last).to_contain_text("the very last")


def test_nothing_is_lost_when_the_line_breaks(
    desk: Visit, api: ApiProcess, bench: Bench, running: tuple[str, int]
) -> None:
    job, attempt = running
    page = desk.to(f"/jobs/{job}")
    bench.tell(job, attempt, "before", "also before")
    expect(page.locator("#log")).to_contain_text("also before")
    api.stop()
    bench.tell(job, attempt, "meanwhile")
    expect(page.locator("#notices")).to_contain_text("The service does not answer")
    api.start()
    api.wait_until_it_answers()
    expect(page.locator("#log")).to_contain_text("meanwhile", timeout=30_000)
    expect(page.locator("#notices")).to_be_empty()
    expect(page.locator("#event-count")).to_have_text("5")
    assert [int(each.split()[0]) for each in page.locator("#log li").all_text_contents()] == [1, 2, 3, 4, 5]
    desk.complaints.clear()  # the browser says that there was nobody


def test_a_fork_begins_on_the_page(desk: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    page = desk.to(f"/jobs/{job}")
    page.get_by_text("Run it again from one of its steps on").click()
    expect(page.locator("#fork")).to_contain_text("Set “keep steps”")


def test_json_that_is_none_is_told_at_its_field(desk: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model, {"kind": "prune.magnitude"}, QUANTIZE, keep_steps=True)
    keep(bench, job, bench.start(job), 0)
    page = desk.to(f"/jobs/{job}")
    page.get_by_text("Run it again from one of its steps on").click()
    page.get_by_label("Other steps from there on, as JSON").fill("[{")
    page.get_by_role("button", name="Fork").click()
    field = page.get_by_label("Other steps from there on, as JSON")
    expect(page.locator("#fork .wrong")).to_contain_text("This should be JSON and is not")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#notices")).to_be_empty()
    field.fill('[{"kind": "quantize.weight_only", "bits": 4}]')
    page.get_by_role("button", name="Fork").click()
    page.wait_for_url(lambda url: job not in url)


# ---- its report


def test_the_report_is_framed_and_stays_locked_in(http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    succeeded(http, bench, job, page=PAGE)
    framed = http.get(f"/jobs/{job}/report/framed")
    assert framed.content == PAGE and framed.headers["x-frame-options"] == "SAMEORIGIN"
    rules = framed.headers["content-security-policy"].split("; ")
    assert {"default-src 'none'", "sandbox", "frame-ancestors 'self'", "img-src data:"} <= set(rules)
    assert not any(rule.startswith("script-src") for rule in rules)
    around = http.get(f"/jobs/{job}/report").headers["content-security-policy"]
    assert "frame-src 'self'" in around and "frame-ancestors 'none'" in around and "unsafe" not in around
    alone = http.get(f"/v1/jobs/{job}/report", headers={"Accept": "text/html"})
    assert "frame-ancestors 'none'" in alone.headers["content-security-policy"]


def test_the_report_is_read(visit: Visit, http: httpx.Client, bench: Bench, model: str) -> None:
    job = submitted(http, model)
    succeeded(http, bench, job, page=PAGE)
    page = visit.to(f"/jobs/{job}/report")
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading")).to_have_text("Half as large")
    inner = next(each for each in page.frames if each.url.endswith("/framed"))
    assert inner.title() == "Report", "a script of a report ran"
    assert all("script" in said.lower() or "192.0.2.1" in said for said in visit.complaints), visit.complaints
    visit.complaints.clear()
    for name in ("HTML", "JSON"):
        page.get_by_text("More", exact=True).click()
        with page.expect_download() as download:
            page.get_by_role("link", name=name).click()
        assert download.value.suggested_filename == f"report.{name.lower()}"
        page.keyboard.press("Escape")
        expect(page.get_by_role("link", name=name)).to_be_hidden()


LONG = b"<!doctype html><html lang=en><title>Report</title><h1>Long</h1><a href='#end'>To the end</a>"
LONG += b"<p>A line.</p>" * 300 + b"<h2 id=end>The end</h2>"


def test_only_the_report_scrolls_and_it_has_the_window(
    visit: Visit, http: httpx.Client, bench: Bench, model: str
) -> None:
    job = submitted(http, model, *[{"kind": "prune.magnitude"}] * 5, QUANTIZE)
    succeeded(http, bench, job, page=LONG)
    page = visit.to(f"/jobs/{job}/report")
    inner = page.frame_locator("iframe")
    expect(inner.get_by_role("heading", name="Long")).to_be_visible()
    scrolls = """() => [...document.querySelectorAll("*")].filter((each) => each.scrollHeight > each.clientHeight &&
        (each === document.scrollingElement || /auto|scroll/.test(getComputedStyle(each).overflowY))).length"""
    assert page.evaluate(scrolls) == 0
    box, size = page.locator("iframe").bounding_box(), page.viewport_size
    assert box is not None and size is not None
    assert (box["x"], box["width"], box["y"] + box["height"]) == (0, size["width"], size["height"])
    assert box["height"] > 0.75 * size["height"]
    inner.get_by_role("link", name="To the end").click()
    expect(inner.get_by_role("heading", name="The end")).to_be_in_viewport()
    visit.holds("report")
    page.set_viewport_size({"width": 844, "height": 390})
    on_its_side = page.locator("iframe").bounding_box()
    assert on_its_side is not None and on_its_side["height"] > 0.75 * 390 and page.evaluate(scrolls) == 0


def test_a_report_alone_is_an_ordinary_page_that_prints_whole(
    desk: Visit, http: httpx.Client, bench: Bench, model: str
) -> None:
    job = submitted(http, model)
    succeeded(http, bench, job, page=LONG)
    page = desk.to(f"/jobs/{job}/report")
    page.emulate_media(media="print")
    expect(page.locator("iframe")).to_be_hidden()
    expect(page.locator(".paper")).to_contain_text(f"/jobs/{job}/report/framed")
    page.emulate_media(media="screen")
    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Open it alone").click()
    page = opened.value
    page.wait_for_url(re.compile("/framed$"))
    page.get_by_role("link", name="To the end").click()
    expect(page.get_by_role("heading", name="The end")).to_be_in_viewport()
    sheets = re.findall(rb"/Type\s*/Page\b", page.pdf())
    assert len(sheets) > 5
