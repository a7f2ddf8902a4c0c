"""Imports from beginning to end, with a real HTTP server and the real sandbox; only the engine is a script."""

import threading
from collections.abc import Iterator

import pytest

from pith.access import DEFAULT_PROJECT, ProjectChange, Quotas
from pith.imports import DatasetImport, ModelImport
from pith.resources import Model
from store.access import Projects
from store.idempotency import Key
from store.imports import Fetched
from store.settings import Settings
from tests.store.shop import Shop, digest
from tests.waiting import eventually
from tests.web import OK, Conversation, Web, breaking, file, first, serving
from tests.worker.by_reference import allowing, imported, wanted
from tests.worker.processes import Service
from worker import importing, supervise
from worker.imports import fetch
from worker.workplace import Workplace

SCRIPT = b"learn('model.pt2')"
BIG = SCRIPT + b"\n#" + b"x" * (3 << 20)


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fetch, importing):
        monkeypatch.setattr(module, "FIRST_PAUSE", 0.01)


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        yield web


@pytest.fixture
def place(place: Workplace) -> Workplace:
    return allowing(place, import_hosts=("*",), private_hosts=("127.0.0.1",))


def code(model: Model) -> str:
    assert model.status == "rejected" and model.error is not None
    return model.error.code


def warnings(shop: Shop, model: Model) -> list[str]:
    return [event.message for event in shop.jobs.events(model.check) if event.type == "warning"]


def nothing_left(shop: Shop) -> bool:
    root = shop.blobs.root
    return not [*(root / "incoming").iterdir(), *(root / "pins").iterdir(), *(root / "sha256").glob("*/*")]


def test_a_file_is_fetched_and_checked_like_an_upload(shop: Shop, place: Workplace, web: Web) -> None:
    web.pages["/nets/net.pt2"] = file(SCRIPT)
    model = imported(shop, place, f"{web.url}/nets/net.pt2?X-Amz-Signature=secret")
    assert (model.status, model.error, model.name) == ("ready", None, "net.pt2")
    assert (model.digest, model.size_bytes) == (digest(SCRIPT), len(SCRIPT))
    assert model.source is not None
    assert (model.source.uri, model.source.revision) == (f"{web.url}/nets/net.pt2?…", '"one"')
    assert web.asked[0].headers["accept-encoding"] == "identity"
    assert not list((shop.blobs.root / "pins").iterdir())


def test_a_dataset_is_imported_with_its_schema(shop: Shop, place: Workplace, web: Web) -> None:
    web.pages["/data.csv"] = file(b"assert folder.read_intake().declared.label == 'y'\nlearn()")
    asked = DatasetImport.model_validate({"source": f"{web.url}/data.csv", "schema": {"label": "y"}})
    dataset = shop.datasets.create(asked.called(), None, 0, asked.given(), imported=asked)
    assert dataset.digest is None
    supervise.run(place, dataset.check)
    assert shop.datasets.get(dataset.id).status == "ready"


def test_a_broken_transfer_goes_on_where_it_was(shop: Shop, place: Workplace, web: Web) -> None:
    web.pages["/net.pt2"] = first(breaking(BIG, 2 << 20, 'ETag: "one"'), file(BIG))
    model = imported(shop, place, f"{web.url}/net.pt2")
    assert (model.status, model.digest) == ("ready", digest(BIG))
    assert [asked.headers.get("range") for asked in web.asked] == [None, f"bytes={2 << 20}-"]
    assert "2,097,152 bytes; it is tried again" in warnings(shop, model)[0]


def test_a_file_that_changed_meanwhile_is_fetched_anew(shop: Shop, place: Workplace, web: Web) -> None:
    other = SCRIPT + b"\n#" + b"y" * (3 << 20)
    web.pages["/net.pt2"] = first(breaking(BIG, 2 << 20, 'ETag: "one"'), file(other, '"two"'))
    model = imported(shop, place, f"{web.url}/net.pt2")
    assert (model.status, model.digest) == ("ready", digest(other))
    assert any("All is fetched again" in message for message in warnings(shop, model))


def test_without_an_etag_nothing_is_put_together(shop: Shop, place: Workplace, web: Web) -> None:
    web.pages["/net.pt2"] = first(breaking(BIG, 2 << 20), file(BIG))
    model = imported(shop, place, f"{web.url}/net.pt2")
    assert (model.status, model.digest) == ("ready", digest(BIG))
    assert [asked.headers.get("range") for asked in web.asked] == [None, None]


def test_a_server_that_fails_is_asked_again_and_then_given_up(shop: Shop, place: Workplace, web: Web) -> None:
    failing = [lambda one: one.give(b"", status="503 Later")] * 3
    web.pages["/net.pt2"] = first(*failing, file(SCRIPT))
    assert imported(shop, place, f"{web.url}/net.pt2").status == "ready"
    web.pages["/never.pt2"] = failing[0]
    model = imported(shop, place, f"{web.url}/never.pt2")
    assert code(model) == "import_failed" and model.error is not None
    assert "127.0.0.1 did not hand the file out: it answered 503, 6 times in a row" in model.error.detail
    assert f"POST /v1/models/{model.id}/check" in model.error.detail


def test_a_refusal_is_told_at_once_and_the_check_can_be_repeated(shop: Shop, place: Workplace, web: Web) -> None:
    model = imported(shop, place, f"{web.url}/net.pt2?token=secret")
    assert code(model) == "import_failed" and model.error is not None
    assert "it answered 404 Not Found" in model.error.detail and "secret" not in model.error.detail
    assert len(web.asked) == 1 and nothing_left(shop)
    web.pages["/net.pt2"] = file(SCRIPT)
    again = shop.models.check(model.id)
    supervise.run(place, again.check)
    assert shop.models.get(model.id).status == "ready"
    assert web.asked[-1].path == "/net.pt2?token=secret"


def test_no_word_of_a_secret_query_stays(shop: Shop, place: Workplace, web: Web, settings: Settings) -> None:
    web.pages["/net.pt2"] = file(SCRIPT)
    model = imported(shop, place, f"{web.url}/net.pt2?sig=a-secret-word")
    assert model.status == "ready"
    assert "a-secret-word" not in model.model_dump_json()
    assert not any("a-secret-word" in event.model_dump_json() for event in shop.jobs.events(model.check))
    shop.db.close()
    assert b"a-secret-word" not in (settings.data_dir / "pith.db").read_bytes()


WRONG = {
    "a wrong digest": (file(SCRIPT), {"sha256": "0" * 64}, "digest_mismatch"),
    "nothing": (file(b""), {}, "upload_empty"),
    "too much, as announced": (lambda one: one.say(f"{OK}Content-Length: 9999999999\r\n\r\n"), {}, "upload_too_large"),
    "a gzip bomb": (lambda one: one.give(b"\x1f\x8b" + bytes(99), "Content-Encoding: gzip"), {}, "import_failed"),
    "less than it said": (lambda one: one.say(f"{OK}Content-Length: 99\r\n\r\n", b"x"), {}, "import_failed"),
    "a part": (lambda one: one.give(b"x", status="206 Partial Content"), {}, "import_failed"),
    "no HTTP": (lambda one: one.say("SSH-2.0-OpenSSH\r\n"), {}, "import_failed"),
    "endless headers": (lambda one: one.say(OK + "A: b\r\n" * 100_000), {}, "import_failed"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_not_what_was_wanted_is_not_stored(shop: Shop, place: Workplace, web: Web, what: str) -> None:
    handler, said, wanted_code = WRONG[what]
    web.pages["/net.pt2"] = handler  # type: ignore[assignment]
    model = imported(shop, allowing(place, max_upload_bytes=1 << 20), f"{web.url}/net.pt2", **said)
    assert (code(model), model.digest) == (wanted_code, None)
    assert nothing_left(shop)


def test_a_body_without_an_end_is_cut_off(shop: Shop, place: Workplace, web: Web) -> None:
    web.pages["/net.pt2"] = endless
    model = imported(shop, allowing(place, max_upload_bytes=1 << 20), f"{web.url}/net.pt2")
    assert code(model) == "upload_too_large" and nothing_left(shop)


def endless(one: Conversation) -> None:
    one.say(f"{OK}Transfer-Encoding: chunked\r\n\r\n")
    while not one.over.is_set():
        one.say("10000\r\n", bytes(65536) + b"\r\n")


def dripping(one: Conversation) -> None:
    """So slowly that it would take days."""
    one.say(f"{OK}Content-Length: 100000\r\n\r\n")
    while not one.over.wait(0.02):
        one.say("x")


@pytest.mark.parametrize("how", ["cancel", "delete"])
def test_a_cancelled_or_deleted_import_ends_in_the_midst(shop: Shop, place: Workplace, web: Web, how: str) -> None:
    web.pages["/net.pt2"] = dripping
    model = wanted(shop, f"{web.url}/net.pt2")
    thread = threading.Thread(target=supervise.run, args=(place, model.check))
    thread.start()
    eventually(lambda: web.asked)
    if how == "cancel":
        shop.jobs.cancel(model.check)
    else:
        shop.models.delete(model.id)
    thread.join(60)
    assert not thread.is_alive() and nothing_left(shop)
    assert shop.jobs.get(model.check).status == "cancelled"
    if how == "cancel":
        assert code(shop.models.get(model.id)) == "check_cancelled"


def test_an_import_has_a_time_limit_of_its_own(shop: Shop, place: Workplace, web: Web) -> None:
    web.pages["/net.pt2"] = dripping
    model = imported(shop, allowing(place, import_time_seconds=0.5), f"{web.url}/net.pt2")
    assert code(model) == "engine_timeout" and model.error is not None
    assert "PITH_IMPORT_TIME_SECONDS" in model.error.detail and nothing_left(shop)


def test_a_worker_that_stops_gives_the_import_back(shop: Shop, place: Workplace, web: Web) -> None:
    web.pages["/net.pt2"] = first(dripping, file(SCRIPT))
    model = wanted(shop, f"{web.url}/net.pt2")
    thread = threading.Thread(target=supervise.run, args=(place, model.check))
    thread.start()
    eventually(lambda: web.asked)
    place.stopping.set()
    thread.join(60)
    assert shop.jobs.get(model.check).status == "queued" and nothing_left(shop)
    place.stopping.clear()
    supervise.run(place, model.check)
    assert shop.models.get(model.id).status == "ready"


def test_what_came_before_a_worker_was_fenced_is_not_named(shop: Shop, place: Workplace, web: Web) -> None:
    """The lease runs out in mid-transfer, another worker has the job, and the first one's bytes come to nothing."""
    web.pages["/net.pt2"] = file(SCRIPT)
    model = wanted(shop, f"{web.url}/net.pt2")
    claim = shop.jobs.claim(model.check, "lost", 0.0)
    assert claim is not None
    stored = shop.blob(b"of the lost one")
    eventually(shop.jobs.reap)
    assert not shop.jobs.fetched(model.check, claim.attempt, Fetched(*stored), shop.blobs)
    assert shop.models.get(model.id).digest is None and nothing_left(shop)


def test_progress_says_how_many_bytes_of_how_many(
    shop: Shop, place: Workplace, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "TELL_SECONDS", 0.0)
    web.pages["/net.pt2"] = file(BIG)
    model = imported(shop, place, f"{web.url}/net.pt2")
    told = [event for event in shop.jobs.events(model.check) if "bytes are fetched" in event.message]
    assert told and told[-1].data == {"bytes": len(BIG), "of": len(BIG)}


def test_the_same_key_makes_one_import(shop: Shop) -> None:
    asked = ModelImport(source="https://example.org/net.pt2")
    key = Key.of("k", asked.source)
    one, two = (shop.models.create("net", None, 0, key=key, imported=asked) for _ in range(2))
    assert one == two


def test_a_killed_worker_is_followed_by_another(shop: Shop, web: Web, service: Service) -> None:
    service.set("PITH_IMPORT_HOSTS", "*")
    service.set("PITH_PRIVATE_HOSTS", "127.0.0.0/8")
    web.pages["/net.pt2"] = first(dripping, file(SCRIPT))
    model = wanted(shop, f"{web.url}/net.pt2?sig=a-secret-word")
    service.scheduler()
    worker = service.worker()
    eventually(lambda: web.asked)
    worker.kill()
    service.worker()
    eventually(lambda: shop.models.get(model.id).status != "checking")
    found = shop.models.get(model.id)
    assert (found.status, found.digest) == ("ready", digest(SCRIPT))
    assert "a-secret-word" not in service.log.read_text()


def test_what_a_quota_has_no_room_for_is_rejected_and_not_kept(shop: Shop, place: Workplace, web: Web) -> None:
    Projects(shop.db).change(DEFAULT_PROJECT, ProjectChange(quotas=Quotas(storage_bytes=len(SCRIPT) - 1)))
    web.pages["/net.pt2"] = file(SCRIPT)
    model = imported(shop, place, f"{web.url}/net.pt2")
    assert code(model) == "quota_exceeded" and model.digest is None and nothing_left(shop)
    Projects(shop.db).change(DEFAULT_PROJECT, ProjectChange(quotas=Quotas(storage_bytes=len(SCRIPT))))
    assert imported(shop, place, f"{web.url}/net.pt2").status == "ready"
