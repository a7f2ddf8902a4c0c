"""Messages to webhooks: they arrive signed, are tried again, and go nowhere that they must not. Real sockets, and a
courier that is a process of its own."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook as Verifier

from pith.webhooks import Delivery, NewWebhook
from store.database import Database
from store.reach import Reach
from store.settings import Settings
from store.webhooks import Outbox, Webhooks
from tests.app.api_process import environment
from tests.receiver import Receiver
from tests.store.shop import Shop
from tests.waiting import eventually
from worker import courier
from worker.courier import Courier

HERE = Reach.of(("*",), ("127.0.0.0/8",), setting="PITH_WEBHOOK_HOSTS")


@pytest.fixture
def other() -> Iterator[Receiver]:
    with Receiver().serving() as other:
        yield other


@pytest.fixture
def webhooks(shop: Shop) -> Webhooks:
    return Webhooks(shop.db)


def brought(shop: Shop, reach: Reach = HERE, times: int = 1) -> None:
    """All that is due is sent, so many times, each a day later."""
    outbox = Outbox(shop.db)
    carrier = Courier(outbox, reach)
    for _ in range(times):
        for message in outbox.take(100):
            carrier.bring(message)
        with shop.db.session() as session:
            session.execute(text("UPDATE deliveries SET next_at = next_at - 90000000000"))


def last(webhooks: Webhooks, id: str) -> Delivery:
    return webhooks.deliveries(id).data[0]


def test_a_message_arrives_and_the_other_side_s_library_takes_it(
    shop: Shop, webhooks: Webhooks, other: Receiver
) -> None:
    made = webhooks.create(NewWebhook(url=other.url))
    job = shop.job()
    shop.jobs.cancel(job.id)
    brought(shop)
    ((headers, body),) = other.got
    assert made.secret is not None
    told: Any = Verifier(made.secret).verify(body, headers)
    assert (told["type"], told["data"]["job"]) == ("job.cancelled", job.id)
    assert headers["content-type"] == "application/json" and "authorization" not in headers
    assert (last(webhooks, made.id).status, last(webhooks, made.id).last_status) == ("delivered", 200)
    with pytest.raises(Exception, match="No matching signature"):
        Verifier(webhooks.create(NewWebhook(url=other.url)).secret or "").verify(body, headers)


def test_after_a_rotation_both_secrets_verify(shop: Shop, webhooks: Webhooks, other: Receiver) -> None:
    made = webhooks.create(NewWebhook(url=other.url))
    rotated = webhooks.rotate(made.id)
    webhooks.test(made.id)
    brought(shop)
    ((headers, body),) = other.got
    for secret in (made.secret, rotated.secret):
        assert Verifier(secret or "").verify(body, headers)


@pytest.mark.parametrize("status", [302, 400, 500])
def test_what_is_not_taken_comes_again_with_the_same_id(
    shop: Shop, webhooks: Webhooks, other: Receiver, status: int
) -> None:
    made = webhooks.create(NewWebhook(url=other.url))
    other.answers = [status, 503]
    webhooks.test(made.id)
    brought(shop)
    assert (last(webhooks, made.id).status, last(webhooks, made.id).last_error) == ("pending", f"it answered {status}")
    brought(shop, times=2)
    assert last(webhooks, made.id).status == "delivered"
    assert len({headers["webhook-id"] for headers, _ in other.got}) == 1 and len(other.got) == 3


def test_who_is_gone_is_told_nothing_more(shop: Shop, webhooks: Webhooks, other: Receiver) -> None:
    made = webhooks.create(NewWebhook(url=other.url))
    other.answers = [410]
    webhooks.test(made.id)
    brought(shop, times=3)
    assert len(other.got) == 1 and not webhooks.get(made.id).enabled


def test_who_does_not_answer_in_time_is_tried_again(
    shop: Shop, webhooks: Webhooks, other: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(courier, "ANSWER_SECONDS", 0.3)
    other.silent.clear()
    made = webhooks.create(NewWebhook(url=other.url))
    webhooks.test(made.id)
    brought(shop)
    delivery = last(webhooks, made.id)
    assert delivery.status == "pending" and "did not answer" in (delivery.last_error or "")


def test_where_nobody_listens_it_is_tried_again(shop: Shop, webhooks: Webhooks) -> None:
    made = webhooks.create(NewWebhook(url="http://127.0.0.1:9/hook"))
    webhooks.test(made.id)
    brought(shop)
    delivery = last(webhooks, made.id)
    assert delivery.status == "pending" and "did not answer" in (delivery.last_error or "")


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://8.8.8.8/hook", "only https"),
        ("https://127.0.0.1/hook", "no public address"),
        ("https://[::ffff:127.0.0.1]/hook", "no public address"),
        ("https://169.254.169.254/latest", "no public address"),
        ("https://localhost/hook", "no public address"),
        ("https://0x7f.1/hook", ""),
        ("https://127.0.0.1:22/hook", "port 22"),
    ],
)
def test_inner_addresses_are_refused(shop: Shop, webhooks: Webhooks, url: str, why: str) -> None:
    made = webhooks.create(NewWebhook(url=url))
    webhooks.test(made.id)
    brought(shop, Reach.of(("*",), (), setting="PITH_WEBHOOK_HOSTS"))
    delivery = last(webhooks, made.id)
    assert delivery.last_status is None and why in (delivery.last_error or "")


def test_a_host_that_the_operator_does_not_name_is_refused(shop: Shop, webhooks: Webhooks) -> None:
    made = webhooks.create(NewWebhook(url="https://example.org/hook"))
    webhooks.test(made.id)
    brought(shop, Reach.of((".inner.example",), (), setting="PITH_WEBHOOK_HOSTS"))
    assert "PITH_WEBHOOK_HOSTS does not name it" in (last(webhooks, made.id).last_error or "")


def test_one_who_is_slow_keeps_nobody_waiting(shop: Shop, webhooks: Webhooks, other: Receiver) -> None:
    with Receiver().serving() as slow:
        slow.silent.clear()
        webhooks.test(webhooks.create(NewWebhook(url=slow.url)).id)
        quick = webhooks.create(NewWebhook(url=other.url)).id
        webhooks.test(quick)
        carrier = Courier(Outbox(shop.db), HERE)
        carrier.tick()
        eventually(lambda: last(webhooks, quick).status == "delivered")
        eventually(lambda: len(slow.got) == 1)
        assert not slow.silent.is_set()
        slow.silent.set()


def test_a_process_brings_what_happens_and_one_that_is_killed_loses_nothing(tmp_path: Path, other: Receiver) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    db = Database(settings.database_url)
    db.migrate()
    webhooks = Webhooks(db)
    made = webhooks.create(NewWebhook(url=other.url))
    around = environment(tmp_path / "data", PITH_PRIVATE_HOSTS="127.0.0.1")
    command = [sys.executable, "-m", "worker.courier"]
    other.silent.clear()
    first = subprocess.Popen(command, env=around, stderr=subprocess.PIPE, text=True)
    sent = webhooks.test(made.id)
    eventually(lambda: len(other.got) == 1)
    first.kill()
    first.communicate()
    other.silent.set()
    assert last(webhooks, made.id).status == "pending"
    with db.session() as session:
        session.execute(text("UPDATE deliveries SET next_at = next_at - 90000000000"))
    second = subprocess.Popen(command, env=around, stderr=subprocess.PIPE, text=True)
    eventually(lambda: last(webhooks, made.id).status == "delivered")
    second.terminate()
    assert second.wait(30) == 0
    second.communicate()
    assert [json.loads(body)["type"] for _, body in other.got] == ["webhook.test"] * 2
    assert {headers["webhook-id"] for headers, _ in other.got} == {sent.id}
    db.close()


def test_while_the_database_is_away_it_waits(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/no/tables.db")
    carrier = Courier(Outbox(db), HERE)
    began = time.monotonic()
    assert not carrier.tick() and time.monotonic() - began < 30
    db.close()
