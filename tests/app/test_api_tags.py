"""Tags and names: given, changed, filtered by, refused."""

import base64
import os
from typing import Any

import httpx
import pytest

from pith.client import Pith
from pith.errors import PithError
from pith.job import JobSpec
from store.tables import TagRow
from tests.app.by_hand import Bench

RECIPE = [{"kind": "quantize.dynamic"}]


@pytest.fixture
def word() -> str:
    """A tag that nothing else has."""
    return f"w{os.urandom(6).hex()}"


def put(http: httpx.Client, noun: str, *tags: str) -> str:
    answer = http.put(f"/v1/{noun}", content=os.urandom(64), params={"tag": tags})
    assert answer.status_code == 201, answer.text
    assert answer.json()["tags"] == sorted(set(tags))
    return str(answer.json()["id"])


def ids(http: httpx.Client, noun: str, *tags: str, **more: Any) -> list[str]:
    answer = http.get(f"/v1/{noun}", params={"tag": tags, **more})
    assert answer.status_code == 200, answer.text
    return [one["id"] for one in answer.json()["data"]]


@pytest.mark.parametrize("noun", ["models", "datasets"])
def test_an_upload_is_found_by_all_of_its_tags(http: httpx.Client, noun: str, word: str) -> None:
    both, one = put(http, noun, word, "a", word), put(http, noun, word)
    assert ids(http, noun, word) == [one, both]
    assert ids(http, noun, word, "a") == [both] and ids(http, noun, word, "b") == []
    assert ids(http, noun, word, status="rejected") == []
    first = http.get(f"/v1/{noun}", params={"tag": word, "limit": 1}).json()
    assert ids(http, noun, word, cursor=first["next_cursor"]) == [both]
    form = http.post(f"/v1/{noun}", params={"tag": word}, files={"file": ("m", os.urandom(9))})
    assert form.json()["tags"] == [word]


def test_a_resumable_upload_hands_its_tags_on(http: httpx.Client, bench: Bench, word: str) -> None:
    made = http.post("/v1/uploads", params={"tag": ["q", word]}, headers={"Upload-Length": "9"}).json()["id"]
    done = http.put(f"/v1/uploads/{made}", content=os.urandom(9))
    assert http.get(done.headers["content-location"]).json()["tags"] == ["q", word]
    said = base64.b64encode(f"{word}, tus".encode()).decode()
    headers = {"Upload-Length": "9", "Tus-Resumable": "1.0.0", "Upload-Metadata": f"tags {said}"}
    made = http.post("/v1/uploads", headers=headers).headers["location"]
    done = http.put(made, content=os.urandom(9))
    assert http.get(done.headers["content-location"]).json()["tags"] == ["tus", word]
    forgotten = http.post("/v1/uploads", params={"tag": word}, headers={"Upload-Length": "9"}).json()["id"]
    http.delete(f"/v1/uploads/{forgotten}")
    with bench.db.reader() as session:
        assert session.query(TagRow).filter_by(resource_id=forgotten).count() == 0
    wrong = base64.b64encode(b"no good").decode()
    answer = http.post("/v1/uploads", headers={**headers, "Upload-Metadata": f"tags {wrong}"})
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request")


def test_jobs_have_tags_beside_their_spec(http: httpx.Client, client: Pith, model: str, word: str) -> None:
    spec = JobSpec.model_validate({"model": model, "recipe": RECIPE})
    one = client.jobs.submit(spec, tags=(word, "x"))
    other = client.jobs.submit(spec, tags=(word,))
    assert one.tags == (word, "x") and one.spec == other.spec
    assert ids(http, "jobs", word) == [other.id, one.id] and ids(http, "jobs", word, "x") == [one.id]
    assert [job.id for job in client.jobs.list(naming=model, tags=(word,))] == [other.id, one.id]
    assert ids(http, "jobs", word, model=model, status="queued") == [other.id, one.id]
    assert ids(http, "jobs", word, model="mdl_" + "7" * 26) == [] == ids(http, "jobs", word, status="failed")
    changed = client.jobs.change(one.id, ())
    assert changed.tags == () and ids(http, "jobs", word) == [other.id]


def test_the_same_key_with_other_tags_is_another_request(client: Pith, model: str, word: str) -> None:
    spec = JobSpec.model_validate({"model": model, "recipe": RECIPE})
    made = client.jobs.submit(spec, word, ("a", "b"))
    assert client.jobs.submit(spec, word, ("b", "a")).id == made.id
    with pytest.raises(PithError, match="idempotency_key_reused"):
        client.jobs.submit(spec, word, ("a",))


def test_names_and_tags_are_changed_and_what_is_left_out_stays(client: Pith, http: httpx.Client, word: str) -> None:
    id = put(http, "models", "old")
    named = client.models.change(id, name="a better name")
    assert (named.name, named.tags) == ("a better name", ("old",))
    tagged = client.models.change(id, tags=[word, "z", word])
    assert (tagged.name, tagged.tags) == ("a better name", (word, "z")) == (client.models.get(id).name, tagged.tags)
    assert [one.id for one in client.models.list(tags=(word,))] == [id]
    assert client.models.change(id).tags == tagged.tags


def test_tags_go_with_what_has_them(client: Pith, http: httpx.Client, bench: Bench, word: str) -> None:
    model = put(http, "models", word)
    job = client.jobs.submit(JobSpec.model_validate({"model": model, "recipe": RECIPE}), tags=(word,)).id
    client.jobs.cancel(job)
    client.jobs.delete(job)
    client.models.delete(model)
    with bench.db.reader() as session:
        assert session.query(TagRow).filter_by(tag=word).count() == 0


@pytest.mark.parametrize("tag", ["", " ", "a b", "-a", "ä", "a" * 65, "a,b", "a\n", "<b>"])
def test_a_tag_of_other_letters_is_refused(http: httpx.Client, model: str, job: str, tag: str) -> None:
    answers = [
        http.put("/v1/models", content=b"x", params={"tag": tag}),
        http.get("/v1/jobs", params={"tag": tag}),
        http.get("/v1/datasets", params={"tag": tag}),
        http.patch(f"/v1/models/{model}", json={"tags": [tag]}),
        http.patch(f"/v1/jobs/{job}", json={"tags": [tag]}),
    ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(422, "malformed_request")] * 5


@pytest.mark.parametrize(
    "body", [[], {"tags": "a"}, {"tags": ["a"] * 21}, {"name": ""}, {"name": 3}, {"id": "x"}, {"tags": [None]}]
)
def test_a_malformed_change_is_refused(http: httpx.Client, model: str, job: str, body: Any) -> None:
    for path in (f"/v1/models/{model}", f"/v1/jobs/{job}"):
        answer = http.patch(path, json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request"), answer.text
    answer = http.put("/v1/models", content=b"x", params={"tag": [f"t{number}" for number in range(21)]})
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request")
