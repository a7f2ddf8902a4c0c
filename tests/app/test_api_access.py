"""A service that asks for keys: who comes in, what each key may do, and that no project sees anything of another."""

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from typing import Any, Protocol

import httpx
import pytest

from app.access import Needs
from app.main import app
from pith.access import DEFAULT_PROJECT, SCOPES, NewKey, NewProject, ProjectChange, Quotas
from pith.client import Pith
from pith.errors import PithError
from pith.webhooks import NewWebhook
from tests.app.api_process import ApiProcess, running
from tests.app.by_hand import Bench

OPERATOR = "an-operator-s-key-of-more-than-32-letters"
RECIPE = [{"kind": "quantize.dynamic"}]


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ApiProcess]:
    data = tmp_path_factory.mktemp("guarded") / "data"
    with running(data, PITH_REQUIRE_KEYS=True, PITH_OPERATOR_KEY=OPERATOR, PITH_MAX_UPLOAD_BYTES=10**9) as process:
        yield process


@pytest.fixture(scope="module")
def operator(guarded: ApiProcess) -> Iterator[Pith]:
    with Pith(guarded.url, OPERATOR) as pith:
        yield pith


class Tenant:
    """A project of its own, and a key to it."""

    def __init__(self, operator: Pith, url: str, quotas: Quotas | None = None, **key: Any) -> None:
        self.project = operator.projects.create(NewProject(name="tenant", quotas=quotas or Quotas()))
        self.key = operator.keys.create(NewKey(name="it", project=self.project.id, **key))
        assert self.key.secret is not None
        self.headers = {"Authorization": f"Bearer {self.key.secret}"}
        self.http = httpx.Client(base_url=url, headers=self.headers, timeout=30)
        self.pith = Pith(url, self.key.secret)

    def model(self) -> str:
        answer = self.http.put("/v1/models", content=os.urandom(64))
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def job(self, model: str | None = None) -> str:
        answer = self.http.post("/v1/jobs", json={"model": model or self.model(), "recipe": RECIPE})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["id"])


class Tenants(Protocol):
    def __call__(self, quotas: Quotas | None = None, **key: Any) -> Tenant: ...


@pytest.fixture
def tenants(operator: Pith, guarded: ApiProcess) -> Iterator[Tenants]:
    made: list[Tenant] = []

    def make(quotas: Quotas | None = None, **key: Any) -> Tenant:
        made.append(Tenant(operator, guarded.url, quotas, **key))
        return made[-1]

    yield make
    for one in made:
        one.http.close()
        one.pith.close()


@pytest.fixture
def tenant(tenants: Tenants) -> Tenant:
    return tenants(scopes=SCOPES[:4])


@pytest.fixture
def other(tenants: Tenants) -> Tenant:
    return tenants(scopes=SCOPES[:4])


def code(answer: httpx.Response) -> str:
    return str(answer.json()["code"])


# ---- who comes in


def test_without_a_key_nothing_of_v1_answers_and_the_rest_does(guarded: ApiProcess) -> None:
    for path in ("/v1/jobs", "/v1/models", "/v1/nothing", "/v1/me", "/v1/techniques"):
        answer = httpx.get(guarded.url + path)
        assert (answer.status_code, code(answer)) == (401, "key_required")
        assert answer.headers["www-authenticate"] == 'Bearer realm="pith"'
    for path in ("/livez", "/readyz", "/docs", "/openapi.json", "/"):
        assert httpx.get(guarded.url + path).status_code == 200
    assert "Authorization: Bearer $PITH_API_KEY" in httpx.get(f"{guarded.url}/docs").text


@pytest.mark.parametrize(
    "given",
    ["Bearer nonsense", "Bearer pith_aaaaaaaa_" + "x" * 43, "Basic eDp5", "Bearer", "", "Bearer \xff"],
)
def test_a_wrong_key_is_refused_and_not_repeated(guarded: ApiProcess, given: str) -> None:
    answer = httpx.get(f"{guarded.url}/v1/jobs", headers=[(b"Authorization", given.encode("latin-1"))])
    assert (answer.status_code, code(answer)) == (401, "key_refused")
    assert "xxx" not in answer.text and "nonsense" not in answer.text


def test_a_key_of_the_right_beginning_and_another_end_is_refused(guarded: ApiProcess, tenant: Tenant) -> None:
    secret = tenant.key.secret or ""
    forged = secret[:-1] + ("a" if secret[-1] != "a" else "b")
    assert httpx.get(f"{guarded.url}/v1/me", headers={"Authorization": f"Bearer {forged}"}).status_code == 401


def test_a_key_that_is_revoked_or_has_expired_opens_nothing(tenants: Tenants, operator: Pith) -> None:
    late = tenants(expires_at="2020-01-01T00:00:00Z")
    answer = late.http.get("/v1/me")
    assert code(answer) == "key_refused" and "expired on 2020-01-01" in answer.json()["detail"]
    lost = tenants()
    assert lost.http.get("/v1/me").is_success
    assert operator.keys.revoke(lost.key.id).revoked_at is not None
    answer = lost.http.get("/v1/me")
    assert code(answer) == "key_refused" and "revoked" in answer.json()["detail"]


def test_the_body_of_who_has_no_key_is_never_read(guarded: ApiProcess) -> None:
    for headers in ("", "Authorization: Bearer nonsense\r\n"):
        with socket.create_connection(("127.0.0.1", guarded.port), timeout=20) as raw:
            raw.sendall(
                f"PUT /v1/models HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}Content-Length: 900000000\r\n"
                "Expect: 100-continue\r\n\r\n".encode()
            )
            answer = b""
            while piece := raw.recv(65536):  # it ends: the connection is closed
                answer += piece
        assert answer.startswith(b"HTTP/1.1 401") and b"100 Continue" not in answer
        assert b"connection: close" in answer.lower()
    assert guarded.incoming() == []


def test_a_key_says_whom_it_is_taken_for_and_when_it_was_used(operator: Pith, tenant: Tenant) -> None:
    assert operator.keys.get(tenant.key.id).last_used_at is None
    me = tenant.pith.me()
    assert (me.project.id, me.key, me.name) == (tenant.project.id, tenant.key.id, "it")
    assert operator.keys.get(tenant.key.id).last_used_at is not None
    assert operator.me().project.id == DEFAULT_PROJECT


def test_a_service_of_this_machine_asks_for_no_key_and_honours_one(api: ApiProcess) -> None:
    with Pith(api.url) as pith:
        assert pith.me().project.id == DEFAULT_PROJECT
        project = pith.projects.create(NewProject(name="mine"))
        key = pith.keys.create(NewKey(name="k", project=project.id))
        with Pith(api.url, key.secret) as within:
            assert within.me().project.id == project.id
            assert list(within.models.list()) == []
        pith.keys.revoke(key.id)
        assert httpx.get(f"{api.url}/v1/me", headers={"Authorization": f"Bearer {key.secret}"}).status_code == 401


# ---- what a key may do


def test_every_route_says_what_it_needs_and_all_but_reading_need_a_scope() -> None:
    reading = {"GET", "HEAD", "OPTIONS"}
    asked = {}
    for route in _routes():
        scopes = [need.dependency.scope for need in route.dependencies if isinstance(need.dependency, Needs)]
        if route.path.startswith("/v1/"):
            assert scopes, f"{route.path} lets anybody in"
            for method in route.methods - reading:
                asked[f"{method} {route.path}"] = next((scope for scope in scopes if scope), None)
    assert len(asked) > 20
    assert [route for route, scope in asked.items() if scope is None] == []


def _routes() -> list[Any]:
    """All, with what their routers demand."""
    found: list[Any] = []

    def walk(routes: Any) -> None:
        for route in routes:
            if hasattr(route, "dependencies") and hasattr(route, "methods"):
                found.append(route)
            elif hasattr(route, "original_router"):
                walk(route.original_router.routes)

    walk(app.routes)
    return found


ASKED = [
    ("PUT", "/v1/models", "upload"),
    ("POST", "/v1/models", "upload"),
    ("POST", "/v1/uploads", "upload"),
    ("POST", "/v1/jobs", "jobs"),
    ("POST", "/v1/jobs/job_x/cancel", "jobs"),
    ("DELETE", "/v1/jobs/job_x", "delete"),
    ("DELETE", "/v1/models/mdl_x", "delete"),
    ("GET", "/v1/keys", "admin"),
    ("POST", "/v1/keys", "admin"),
    ("POST", "/v1/projects", "operate"),
    ("GET", "/v1/projects", "operate"),
]


@pytest.mark.parametrize(("method", "path", "scope"), ASKED)
def test_what_a_key_may_not_do_is_refused_by_name(tenants: Tenants, method: str, path: str, scope: str) -> None:
    others = tuple(one for one in SCOPES if one != scope)
    without = tenants(scopes=others)
    answer = without.http.request(method, path, content=b"x")
    assert (answer.status_code, code(answer)) == (403, "scope_required")
    assert scope in answer.json()["detail"]
    assert without.http.get("/v1/jobs").is_success
    reading = tenants(scopes=())
    assert code(reading.http.request(method, path, content=b"x")) == "scope_required"


def test_no_key_makes_one_that_may_more_than_itself(tenant: Tenant, other: Tenant) -> None:
    mine = tenant.pith.keys.create(NewKey(name="less", scopes=("jobs",)))
    assert mine.project == tenant.project.id and mine.scopes == ("jobs",)
    with pytest.raises(PithError, match="scope_not_yours"):
        tenant.pith.keys.create(NewKey(name="more", scopes=("operate",)))
    with pytest.raises(PithError, match="scope_required"):
        tenant.pith.keys.create(NewKey(name="elsewhere", project=other.project.id))
    assert {key.id for key in tenant.pith.keys.list()} == {mine.id, tenant.key.id}
    with pytest.raises(PithError, match="not_found"):
        tenant.pith.keys.revoke(other.key.id)
    with pytest.raises(PithError, match="not_found"):
        tenant.pith.projects.get(other.project.id)
    assert tenant.pith.projects.get(tenant.project.id).name == "tenant"


def test_a_secret_is_shown_once_and_stored_nowhere(guarded: ApiProcess, operator: Pith, tenant: Tenant) -> None:
    secret = (tenant.key.secret or "").encode()
    stored = [file for file in guarded.data.rglob("*") if file.is_file() and secret in file.read_bytes()]
    assert stored == [] and secret not in guarded.log.read_bytes()
    body = NewKey(name="twice", project=tenant.project.id)
    first, again = operator.keys.create(body, "a request"), operator.keys.create(body, "a request")
    assert (first.id, again.secret) == (again.id, None) and first.secret is not None
    with pytest.raises(PithError, match="idempotency_key_reused"):
        operator.keys.create(NewKey(name="another"), "a request")


def test_a_key_for_a_project_that_is_not_there_is_refused(operator: Pith) -> None:
    with pytest.raises(PithError, match="not_found"):
        operator.keys.create(NewKey(name="k", project="prj_" + "1" * 26))


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "k", "scopes": ["all"]},
        {"name": "k", "expires_at": "soon"},
        {"name": "k", "expires_at": "2030-01-01T00:00:00"},
        {"name": "k", "project": "x"},
        {"name": "k", "secret": "mine"},
        [],
    ],
)
def test_a_malformed_key_is_refused_with_its_place(guarded: ApiProcess, body: Any) -> None:
    answer = httpx.post(f"{guarded.url}/v1/keys", json=body, headers={"Authorization": f"Bearer {OPERATOR}"})
    assert (answer.status_code, code(answer)) == (422, "malformed_request")


# ---- projects


def test_a_project_is_made_changed_and_deleted_when_it_is_empty(tenants: Tenants, operator: Pith) -> None:
    one = tenants(Quotas(jobs_at_once=2))
    assert one.project.quotas == Quotas(jobs_at_once=2)
    changed = operator.projects.change(one.project.id, ProjectChange(name="renamed"))
    assert (changed.name, changed.quotas) == ("renamed", one.project.quotas)
    assert operator.projects.change(one.project.id, ProjectChange(quotas=Quotas())).quotas == Quotas()
    assert one.project.id in [project.id for project in operator.projects.list()]
    model = one.model()
    with pytest.raises(PithError, match="project_not_empty"):
        operator.projects.delete(one.project.id)
    one.pith.models.delete(model)
    operator.projects.delete(one.project.id)
    assert code(one.http.get("/v1/me")) == "key_refused"
    with pytest.raises(PithError, match="gone"):
        operator.projects.get(one.project.id)
    with pytest.raises(PithError, match="project_not_empty"):
        operator.projects.delete(DEFAULT_PROJECT)


# ---- separation


def test_every_route_answers_to_another_s_ids_as_to_ids_that_are_not_there(
    guarded: ApiProcess, tenant: Tenant, other: Tenant, operator: Pith
) -> None:
    theirs = _everything(guarded, tenant)
    never = {name: re.sub(r"_.*", "_" + "7" * 26, id) for name, id in theirs.items()}
    tried = 0
    for path, methods in app.openapi()["paths"].items():
        kind = re.match(r"/v1/(\w+)/\{id\}", path)
        if kind is None or kind[1] == "projects":
            continue
        for method in methods:
            answers = [_asked(other, method, _filled(path, ids[kind[1]], ids["deliveries"])) for ids in (theirs, never)]
            told = [_unnamed(answer.text, ids) for answer, ids in zip(answers, (theirs, never), strict=True)]
            assert told[0] == told[1], (method, path)
            assert answers[0].status_code == 404, (method, path, answers[0].text)
            tried += 1
    assert tried >= 20
    for noun in ("models", "datasets", "jobs", "uploads", "keys", "webhooks"):
        shown = json.dumps(other.http.get(f"/v1/{noun}", params={"limit": 200}).json())
        assert not any(id in shown for id in theirs.values()), noun
    assert other.http.get("/v1/jobs", params={"naming": theirs["models"], "kind": "all"}).json()["data"] == []
    assert other.http.get("/v1/jobs", params={"cursor": theirs["jobs"]}).json()["data"] == []
    # and nothing of it has happened
    assert tenant.pith.models.get(theirs["models"]).status == "ready"
    assert tenant.pith.jobs.get(theirs["jobs"]).status == "succeeded"
    assert tenant.http.get(f"/v1/uploads/{theirs['uploads']}").json()["offset"] == 0
    assert operator.keys.get(theirs["keys"]).revoked_at is None
    assert tenant.pith.webhooks.get(theirs["webhooks"]).enabled
    assert len(list(tenant.pith.webhooks.deliveries(theirs["webhooks"]))) == 1


def _everything(guarded: ApiProcess, tenant: Tenant) -> dict[str, str]:
    """One of each kind that a tenant has."""
    bench = Bench(guarded.data)
    model = tenant.model()
    dataset = str(tenant.http.put("/v1/datasets", content=os.urandom(64)).json()["id"])
    job = tenant.job(model)
    bench.succeed(job, bench.start(job), report_json=b"{}", model_onnx=b"x")
    bench.db.close()
    upload = tenant.http.post("/v1/uploads", headers={"Upload-Length": "10"}).json()["id"]
    webhook = tenant.pith.webhooks.create(NewWebhook(url="https://example.org/hook")).id
    delivery = tenant.pith.webhooks.test(webhook).id
    things = {"models": model, "datasets": dataset, "jobs": job, "uploads": upload, "keys": tenant.key.id}
    return {**things, "webhooks": webhook, "deliveries": delivery}


def _filled(path: str, id: str, delivery: str) -> str:
    return path.replace("{id}", id).replace("{name}", "report.json").replace("{delivery}", delivery)


def _unnamed(text: str, ids: dict[str, str]) -> str:
    for id in ids.values():
        text = text.replace(id, "ID")
    return re.sub(r'"request_id":"\w+"', "", text)


def _asked(tenant: Tenant, method: str, path: str) -> httpx.Response:
    headers = {"Upload-Offset": "0", "Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}
    if method == "patch" and "uploads" not in path:
        return tenant.http.patch(path, json={})
    writes = method in {"put", "patch", "post"}
    return tenant.http.request(method, path, content=b"x" if writes else None, headers=headers if writes else {})


def test_a_job_names_nothing_of_another_project(tenant: Tenant, other: Tenant, guarded: ApiProcess) -> None:
    theirs, mine = tenant.model(), other.model()
    bench = Bench(guarded.data)
    bench.learn_all()
    bench.db.close()
    for spec in (
        {"model": theirs, "recipe": RECIPE},
        {"model": mine, "recipe": [{"kind": "merge.average", "peers": [theirs]}]},
        {"model": mine, "recipe": RECIPE, "dataset": "dts_" + theirs[4:]},
    ):
        for query in ("", "?dry_run=true"):
            answer = other.http.post(f"/v1/jobs{query}", json=spec)
            assert (answer.status_code, code(answer)) == (404, "not_found"), (spec, query, answer.text)


def test_a_live_stream_of_another_s_job_is_not_there(tenant: Tenant, other: Tenant) -> None:
    job = tenant.job()
    answer = other.http.get(f"/v1/jobs/{job}/events", headers={"Accept": "text/event-stream"})
    assert (answer.status_code, code(answer)) == (404, "not_found")


def test_a_live_stream_ends_with_its_key(tenants: Tenants, operator: Pith) -> None:
    tenant = tenants(scopes=SCOPES[:4])
    path, live = f"/v1/jobs/{tenant.job()}/events", {"Accept": "text/event-stream"}
    with tenant.http.stream("GET", path, headers=live) as stream:
        lines = stream.iter_lines()
        assert "queued" in next(line for line in lines if line.startswith("event:"))
        operator.keys.revoke(tenant.key.id)
        until = time.monotonic() + 60  # a stream that goes on says so every few seconds
        for line in lines:
            assert not line.startswith("event:")
            assert time.monotonic() < until, "and it ends"
    assert tenant.http.get(path, headers=live).status_code == 401


def test_a_result_counts_as_stored_and_is_nobody_else_s_model(
    tenants: Tenants, operator: Pith, guarded: ApiProcess
) -> None:
    tenant, other = tenants(scopes=SCOPES[:4]), tenants(scopes=SCOPES[:4])
    job, bench = tenant.job(), Bench(guarded.data)
    bench.succeed(job, bench.start(job), model_onnx=b"x" * 1000)
    bench.db.close()
    assert code(other.http.post("/v1/models", json={"job": job})) == "not_found"
    used = tenant.pith.me().usage.storage_bytes
    change = {"storage_bytes": used + 1500, "upload_bytes": 1200}
    operator.projects.change(tenant.project.id, ProjectChange(quotas=Quotas.model_validate(change)))
    assert tenant.http.post("/v1/models", json={"job": job}).status_code == 201
    assert tenant.pith.me().usage.storage_bytes == used + 1000
    assert code(tenant.http.post("/v1/models", json={"job": job})) == "quota_exceeded"
    assert len(list(tenant.pith.models.list())) == 2
    operator.projects.change(tenant.project.id, ProjectChange(quotas=Quotas(upload_bytes=999)))
    assert code(tenant.http.post("/v1/models", json={"job": job})) == "upload_too_large"


def test_what_another_project_deleted_was_never_there(tenant: Tenant, other: Tenant) -> None:
    model = tenant.model()
    tenant.pith.models.delete(model)
    assert code(tenant.http.get(f"/v1/models/{model}")) == "gone"
    assert code(other.http.get(f"/v1/models/{model}")) == "not_found"


def test_the_same_idempotency_key_in_two_projects_is_two_keys(tenant: Tenant, other: Tenant) -> None:
    for one in (tenant, other):
        answers = [
            one.http.post("/v1/uploads", headers={"Upload-Length": "9", "Idempotency-Key": "the same"})
            for _ in range(2)
        ]
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["id"] for answer in answers}) == 1
        assert len(one.http.get("/v1/uploads").json()["data"]) == 1


def test_the_same_bytes_in_two_projects_outlive_the_deletion_of_one(
    tenant: Tenant, other: Tenant, guarded: ApiProcess
) -> None:
    data = os.urandom(100)
    mine, theirs = (str(one.http.put("/v1/models", content=data).json()["id"]) for one in (tenant, other))
    digest = other.pith.models.get(theirs).digest or ""
    tenant.pith.models.delete(mine)
    assert any(file.name == digest[7:] for file in guarded.blobs())
    other.pith.models.delete(theirs)
    assert not any(file.name == digest[7:] for file in guarded.blobs())


# ---- quotas and rates


def test_a_file_beyond_a_quota_is_refused_before_and_while_it_comes(tenants: Tenants, guarded: ApiProcess) -> None:
    one = tenants(Quotas(upload_bytes=1000, storage_bytes=1500))
    before = set(guarded.blobs())
    assert code(one.http.put("/v1/models", content=bytes(1001))) == "upload_too_large"
    assert code(one.http.put("/v1/models", content=iter([bytes(600), bytes(600)]))) == "upload_too_large"
    assert one.http.put("/v1/models", content=os.urandom(1000)).status_code == 201
    for content in (os.urandom(600), iter([os.urandom(300), os.urandom(300)])):
        answer = one.http.put("/v1/models", content=content)
        assert (answer.status_code, code(answer)) == (403, "quota_exceeded")
    assert "1500 bytes of storage" in answer.json()["detail"]
    assert code(one.http.post("/v1/models", files={"file": ("m", bytes(600))})) == "quota_exceeded"
    assert code(one.http.post("/v1/uploads", headers={"Upload-Length": "600"})) == "quota_exceeded"
    assert code(one.http.post("/v1/uploads", headers={"Upload-Length": "1200"})) == "upload_too_large"
    assert len(set(guarded.blobs()) - before) == 1 and guarded.incoming() == []
    assert one.pith.me().usage.storage_bytes == 1000


def test_an_upload_in_parts_counts_as_what_it_is_going_to_be(tenants: Tenants) -> None:
    one = tenants(Quotas(storage_bytes=1000))
    upload = one.http.post("/v1/uploads", headers={"Upload-Length": "800"}).json()["id"]
    assert one.pith.me().usage.storage_bytes == 800
    assert code(one.http.put("/v1/models", content=bytes(300))) == "quota_exceeded"
    done = one.http.put(f"/v1/uploads/{upload}", content=os.urandom(800))
    assert done.status_code == 200, done.text
    assert one.pith.me().usage.storage_bytes == 800
    open_ended = one.http.post("/v1/uploads").json()["id"]
    answer = one.http.put(f"/v1/uploads/{open_ended}", content=iter([os.urandom(300)]))
    assert (answer.status_code, code(answer)) == (403, "quota_exceeded")
    assert one.pith.me().usage.storage_bytes == 800


def test_more_unfinished_jobs_than_the_quota_are_refused(tenants: Tenants) -> None:
    one = tenants(Quotas(jobs_unfinished=2))
    model = one.model()
    first = one.job(model)
    one.job(model)
    answer = one.http.post("/v1/jobs", json={"model": model, "recipe": RECIPE})
    assert (answer.status_code, code(answer)) == (403, "quota_exceeded")
    assert one.pith.me().usage.jobs_unfinished == 2
    one.pith.jobs.cancel(first)
    one.job(model)


def test_requests_beyond_the_rate_are_told_when_to_come_again(tenants: Tenants, guarded: ApiProcess) -> None:
    one = tenants(Quotas(requests_per_minute=5))
    answers = [one.http.get("/v1/jobs") for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429]
    assert answers[0].headers["ratelimit-policy"] == '"default";q=5;w=60'
    assert re.fullmatch(r'"default";r=4;t=1[0-3]', answers[0].headers["ratelimit"])
    assert code(answers[5]) == "rate_limited" and 1 <= int(answers[5].headers["retry-after"]) <= 12
    assert httpx.get(f"{guarded.url}/livez").is_success
    free = tenants()
    assert "ratelimit" not in free.http.get("/v1/jobs").headers
