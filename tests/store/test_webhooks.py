"""What happens is told to whom it concerns, once for each webhook, and kept until it has arrived."""

import base64
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import text

from pith.access import NewProject
from pith.errors import PithError
from pith.webhooks import ENDS, HAPPENINGS, NewWebhook, WebhookChange
from store.access import Projects
from store.database import Database
from store.jobs import Jobs
from store.webhooks import RETRY_SECONDS, Message, Outbox, Webhooks, sign
from tests.store.shop import Shop

URL = "https://example.org/hook"
PROBLEM = PithError("worker_lost", attempts=1).problem


@pytest.fixture
def webhooks(db: Database) -> Webhooks:
    return Webhooks(db)


@pytest.fixture
def outbox(db: Database) -> Outbox:
    return Outbox(db)


def taken(outbox: Outbox) -> list[dict[str, Any]]:
    """What is due, delivered here."""
    messages = outbox.take(100)
    for message in messages:
        outbox.delivered(message, 200)
    return [json.loads(message.body) for message in messages]


def later(db: Database) -> None:
    """The day after tomorrow."""
    with db.session() as session:
        session.execute(text("UPDATE deliveries SET next_at = next_at - 172800000000 WHERE next_at IS NOT NULL"))


def test_each_step_of_a_job_s_way_is_told(shop: Shop, webhooks: Webhooks, outbox: Outbox) -> None:
    model = shop.model()
    webhooks.create(NewWebhook(url=URL, events=HAPPENINGS))
    job = shop.job(model=model.id)
    shop.jobs.pause(job.id)
    shop.jobs.resume(job.id)
    claim = shop.jobs.claim(job.id, "w", 60)
    assert claim is not None and shop.jobs.succeed(job.id, 1, [], "met")
    told = taken(outbox)
    assert [one["type"] for one in told] == ["job.paused", "job.started", "job.succeeded"]
    data = told[-1]["data"]
    assert (data["job"], data["status"], data["verdict"], data["error"]) == (job.id, "succeeded", "met", None)
    assert taken(outbox) == []


def test_what_a_check_has_found_is_told(shop: Shop, webhooks: Webhooks, outbox: Outbox) -> None:
    webhooks.create(NewWebhook(url=URL, events=HAPPENINGS))
    model, dataset = shop.model(), shop.dataset()
    bad = shop.unchecked_model(b"bad")
    claim = shop.jobs.claim(bad.check, "w", 60)
    assert claim is not None and shop.jobs.fail(bad.check, claim.attempt, PROBLEM)
    told = [(one["type"], one["data"].get("model") or one["data"].get("dataset")) for one in taken(outbox)]
    assert told == [("model.ready", model.id), ("dataset.ready", dataset.id), ("model.rejected", bad.id)]


def test_only_who_wants_to_hear_is_told(shop: Shop, webhooks: Webhooks, db: Database, outbox: Outbox) -> None:
    elsewhere = Webhooks(db, Projects(db).create(NewProject(name="p")).id)
    elsewhere.create(NewWebhook(url=URL, events=HAPPENINGS))
    named = webhooks.create(NewWebhook(url=URL, every_job=False))
    failing = webhooks.create(NewWebhook(url=URL, events=("job.failed",)))
    off = webhooks.create(NewWebhook(url=URL))
    webhooks.change(off.id, WebhookChange(enabled=False))
    model = shop.model()
    for spec in ({"webhooks": [named.id]}, {}):
        shop.jobs.cancel(shop.job(model=model.id, **spec).id)
    assert [len(webhooks.deliveries(one.id).data) for one in (named, failing, off)] == [1, 0, 0]
    assert [one["type"] for one in taken(outbox)] == ["job.cancelled"]


def test_a_job_names_webhooks_of_its_own_project_alone(shop: Shop, db: Database) -> None:
    theirs = Webhooks(db, Projects(db).create(NewProject(name="p")).id).create(NewWebhook(url=URL))
    with pytest.raises(PithError, match=r"not_found.*webhook"):
        shop.job(webhooks=[theirs.id])


def test_a_message_that_was_not_taken_comes_again_and_then_no_more(
    webhooks: Webhooks, outbox: Outbox, db: Database
) -> None:
    made = webhooks.create(NewWebhook(url=URL))
    webhooks.test(made.id)
    for attempt in range(1, len(RETRY_SECONDS) + 2):
        (message,) = outbox.take(10)
        assert message.attempt == attempt and outbox.take(10) == ()
        outbox.failed(message, 500, "it answered 500")
        later(db)
    (delivery,) = webhooks.deliveries(made.id).data
    assert (delivery.status, delivery.attempts, delivery.last_status) == ("failed", len(RETRY_SECONDS) + 1, 500)
    assert outbox.take(10) == ()
    assert webhooks.resend(made.id, delivery.id).status == "pending"
    (again,) = outbox.take(10)
    assert again.id == message.id and again.body == message.body
    outbox.delivered(again, 204)
    assert webhooks.deliveries(made.id).data[0].status == "delivered"


def test_one_that_was_taken_by_somebody_who_died_is_taken_again(
    webhooks: Webhooks, outbox: Outbox, db: Database
) -> None:
    webhooks.test(webhooks.create(NewWebhook(url=URL)).id)
    (lost,) = outbox.take(10)
    later(db)
    (again,) = outbox.take(10)
    outbox.delivered(lost, 200)  # too late: it is another's now
    assert again.attempt == 2
    outbox.failed(again, None, "no answer")
    later(db)
    assert len(outbox.take(10)) == 1


def test_couriers_share_what_is_due(webhooks: Webhooks, db: Database) -> None:
    made = webhooks.create(NewWebhook(url=URL))
    sent = {webhooks.test(made.id).id for _ in range(20)}
    with ThreadPoolExecutor(4) as pool:
        taken = [message.id for found in pool.map(lambda _: Outbox(db).take(5), range(4)) for message in found]
    taken += [message.id for message in Outbox(db).take(100)]
    assert sorted(taken) == sorted(sent)


def test_one_who_is_gone_is_told_nothing_more(webhooks: Webhooks, outbox: Outbox) -> None:
    made = webhooks.create(NewWebhook(url=URL))
    first, second = webhooks.test(made.id), webhooks.test(made.id)
    message = next(one for one in outbox.take(1))
    outbox.failed(message, 410, "it answered 410")
    assert not webhooks.get(made.id).enabled and outbox.take(10) == ()
    assert {one.status for one in webhooks.deliveries(made.id).data} == {"failed"}
    for ask in (lambda: webhooks.test(made.id), lambda: webhooks.resend(made.id, second.id)):
        with pytest.raises(PithError, match="webhook_disabled"):
            ask()
    webhooks.change(made.id, WebhookChange(enabled=True))
    assert webhooks.resend(made.id, first.id).status == "pending"


def test_the_signature_is_that_of_the_standard() -> None:
    # The example of the specification (standard-webhooks/spec).
    secret, id, body = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}'
    assert sign(secret, id, "1614265330", body) == "g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_after_a_rotation_both_secrets_sign_for_a_day(webhooks: Webhooks, outbox: Outbox, db: Database) -> None:
    made = webhooks.create(NewWebhook(url=URL))
    assert made.secret is not None and len(base64.b64decode(made.secret.removeprefix("whsec_"))) == 32
    rotated = webhooks.rotate(made.id)
    assert rotated.secret not in (None, made.secret)
    webhooks.test(made.id)
    (message,) = outbox.take(10)
    assert message.secrets == (rotated.secret, made.secret)
    signed = message.headers(datetime(2026, 1, 1, tzinfo=UTC))["webhook-signature"]
    assert [one[:3] for one in signed.split()] == ["v1,", "v1,"]
    with db.session() as session:
        session.execute(text("UPDATE webhooks SET rotated_at = rotated_at - 172800000000"))
    webhooks.test(made.id)
    assert [one.secrets for one in outbox.take(10)] == [(rotated.secret,)]


def test_a_webhook_is_deleted_with_its_messages(webhooks: Webhooks, outbox: Outbox) -> None:
    made = webhooks.create(NewWebhook(url=URL))
    webhooks.test(made.id)
    webhooks.delete(made.id)
    assert outbox.take(10) == () and webhooks.list().data == ()
    for id in (made.id, "whk_x", "", "nonsense"):
        with pytest.raises(PithError, match="not_found"):
            webhooks.deliveries(id)


def test_deliveries_that_are_over_and_old_are_forgotten(webhooks: Webhooks, outbox: Outbox, db: Database) -> None:
    made = webhooks.create(NewWebhook(url=URL))
    over, waiting = webhooks.test(made.id), None
    taken(outbox)
    waiting = webhooks.test(made.id)
    outbox.expire()
    assert len(webhooks.deliveries(made.id).data) == 2
    with db.session() as session:
        session.execute(text("UPDATE deliveries SET created_at = created_at - 2678400000000"))
    outbox.expire()
    assert [one.id for one in webhooks.deliveries(made.id).data] == [waiting.id] != [over.id]


def test_nothing_is_told_of_what_is_rolled_back(shop: Shop, webhooks: Webhooks, outbox: Outbox) -> None:
    webhooks.create(NewWebhook(url=URL, events=HAPPENINGS))
    job = shop.job()
    taken(outbox)
    assert not Jobs(shop.db).succeed(job.id, 7, [], "met")  # fenced
    assert taken(outbox) == []


@pytest.mark.parametrize(
    "url",
    ["", "example.org", "ftp://example.org", "https://", "https://u:p@example.org", "https://a b", "https://h:99999",
     "https://é.example", "https://example.org/#x", "javascript:alert(1)", "https://[::1", "x" * 2001],
)  # fmt: skip
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValidationError):
        NewWebhook(url=url)


def test_by_default_the_ends_of_all_jobs_are_told() -> None:
    assert NewWebhook(url=URL).events == ENDS and NewWebhook(url=URL).every_job


def test_a_message_has_the_same_id_and_body_each_time(webhooks: Webhooks, outbox: Outbox, db: Database) -> None:
    webhooks.test(webhooks.create(NewWebhook(url=URL)).id)
    seen: set[tuple[str, bytes]] = set()
    for _ in range(3):
        message: Message
        (message,) = outbox.take(1)
        seen.add((message.id, message.body))
        outbox.failed(message, 503, "busy")
        later(db)
    assert len(seen) == 1


def test_how_many_have_failed_since_one_arrived_is_counted_for_each_alone(shop: Shop) -> None:
    webhooks, outbox = Webhooks(shop.db), Outbox(shop.db)
    good, ill = (webhooks.create(NewWebhook(url=f"https://example.org/{name}")).id for name in ("good", "ill"))
    for _ in range(2):
        webhooks.test(good)
        webhooks.test(ill)
        for message in outbox.take(100):
            if message.url.endswith("good"):
                outbox.delivered(message, 200)
            else:
                outbox.failed(message, 500, "it answered 500")
    told = {each.id: each for each in webhooks.list().data}
    assert (told[good].failing, told[ill].failing) == (0, 2)
    last = told[ill].last_delivery
    assert last is not None and (last.webhook, last.last_status, last.status) == (ill, 500, "pending")
    assert webhooks.create(NewWebhook(url="https://example.org/new")).last_delivery is None
