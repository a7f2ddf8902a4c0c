"""Webhooks and their deliveries. What happens is written beside what made it happen, in one transaction: a message for
each webhook that wants to hear of it. ``worker.courier`` brings them.
"""

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import cast

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, aliased

from pith.access import DEFAULT_PROJECT
from pith.errors import PithError
from pith.ids import DeliveryId, ProjectId, new_id
from pith.resources import Page
from pith.webhooks import (
    HAPPENINGS,
    Delivery,
    Happening,
    IssuedWebhook,
    NewWebhook,
    Webhook,
    WebhookChange,
)
from store import clock, idempotency, listing
from store.clean import clean_text
from store.database import Database
from store.idempotency import Key
from store.reach import Reach
from store.tables import DeliveryRow, JobRow, WebhookRow

LISTING = "/v1/webhooks"
TEST = "webhook.test"
RETRY_SECONDS = (5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
"""How long after each attempt the next one follows; after the last of them no more do."""
ROTATION = timedelta(days=1)
LEASE_SECONDS = 60.0
"""Who has taken a message and says nothing for so long has died with it."""
KEPT_SECONDS = 30 * 24 * 3600


@dataclass(frozen=True)
class Message:
    """A delivery that is due, as it goes out: the bytes of the body, where to, and the secrets that sign it."""

    id: DeliveryId
    attempt: int
    url: str
    body: bytes
    secrets: tuple[str, ...]

    def headers(self, at: datetime) -> dict[str, str]:
        """As Standard Webhooks 1.0 has them."""
        seconds = str(int(at.timestamp()))
        signatures = (f"v1,{sign(secret, self.id, seconds, self.body)}" for secret in self.secrets)
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": seconds,
            "webhook-signature": " ".join(signatures),
        }


def sign(secret: str, id: str, timestamp: str, body: bytes) -> str:
    """HMAC-SHA256 in base64; ``secret`` is whsec_ and base64."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    return base64.b64encode(hmac.digest(key, f"{id}.{timestamp}.".encode() + body, hashlib.sha256)).decode()


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


class Webhooks:
    """Those of one project, or of all for None. ``reach``: where a new address may lead, as far as its words tell;
    the courier holds each message to it again, and to the address that the name has then."""

    def __init__(self, db: Database, project: ProjectId | None = None, reach: Reach | None = None) -> None:
        self._db = db
        self._project = project
        self._reach = reach

    def create(self, asked: NewWebhook, key: Key | None = None) -> IssuedWebhook:
        """Raises PithError ``address_refused``, ``idempotency_key_reused``."""
        self._check(asked.url)
        project = self._project or DEFAULT_PROJECT
        with self._db.session() as session:
            id = new_id("whk")
            before = None if key is None else idempotency.taken(session, project, key, id)
            if before is not None:
                return _issued(self._find(session, before), shown=False)
            row = WebhookRow(
                id=id,
                project=project,
                name=asked.name,
                url=asked.url,
                events=_joined(asked.events),
                every_job=asked.every_job,
                enabled=True,
                secret=new_secret(),
                created_at=clock.now(session),
            )
            session.add(row)
            session.flush()
            return _issued(row, shown=True)

    def get(self, id: str) -> Webhook:
        """Raises PithError ``not_found``."""
        with self._db.reader() as session:
            return _contracts(session, [self._find(session, id)])[0]

    def list(self, limit: int = 50, cursor: str | None = None) -> Page[Webhook]:
        """Newest first. Raises PithError ``bad_cursor``."""
        query = select(WebhookRow)
        if self._project is not None:
            query = query.where(WebhookRow.project == self._project)
        with self._db.reader() as session:
            query = listing.page_of(query, WebhookRow.id, "whk", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=_contracts(session, rows), next_cursor=after)

    def change(self, id: str, change: WebhookChange) -> Webhook:
        """Messages that wait already go where it says now. Raises PithError ``not_found``, ``address_refused``."""
        self._check(change.url)
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            for name, value in change.model_dump(exclude_none=True).items():
                setattr(row, name, _joined(value) if name == "events" else value)
            session.flush()
            return _contracts(session, [row])[0]

    def rotate(self, id: str) -> IssuedWebhook:
        """A new secret; for a day the one before signs too. Raises PithError ``not_found``."""
        with self._db.session() as session:
            row = self._find(session, id, lock=True)
            row.secret_before, row.secret, row.rotated_at = row.secret, new_secret(), clock.now(session)
            session.flush()
            return _issued(row, shown=True)

    def delete(self, id: str) -> None:
        """With its deliveries, also those that wait. Raises PithError ``not_found``."""
        with self._db.session() as session:
            session.delete(self._find(session, id, lock=True))

    def test(self, id: str) -> Delivery:
        """Queue a message that says nothing. Raises PithError ``not_found``, ``webhook_disabled``."""
        with self._db.session() as session:
            row = self._find(session, id)
            if not row.enabled:
                raise PithError("webhook_disabled", id=id)
            made = _deliver(session, row, TEST, None, {})
            session.flush()
            return _delivery(made)

    def deliveries(self, id: str, limit: int = 50, cursor: str | None = None) -> Page[Delivery]:
        """Newest first. Raises PithError ``not_found``, ``bad_cursor``."""
        with self._db.reader() as session:
            self._find(session, id)
            query = select(DeliveryRow).where(DeliveryRow.webhook_id == id)
            query = listing.page_of(query, DeliveryRow.id, "dlv", limit, cursor)
            rows, after = listing.cut(session.scalars(query).all(), limit)
            return Page(data=tuple(map(_delivery, rows)), next_cursor=after)

    def resend(self, id: str, delivery: str) -> Delivery:
        """At once, whatever has become of it, and as often again as a new one. Raises PithError ``not_found``,
        ``webhook_disabled``."""
        with self._db.session() as session:
            webhook = self._find(session, id)
            if not webhook.enabled:
                raise PithError("webhook_disabled", id=id)
            row = session.get(DeliveryRow, delivery) if listing.is_id("dlv", delivery) else None
            if row is None or row.webhook_id != id:
                listed = f"{LISTING}/{id}/deliveries"
                raise PithError("not_found", what="delivery", id=delivery[:64], listing=listed)
            row.attempts, row.next_at, row.delivered_at = 0, clock.now(session), None
            session.flush()
            return _delivery(row)

    def _check(self, url: str | None) -> None:
        if url is not None and self._reach is not None:
            self._reach.check(url)

    def _find(self, session: Session, id: str, lock: bool = False) -> WebhookRow:
        query = select(WebhookRow).where(WebhookRow.id == id)
        row = None
        if listing.is_id("whk", id):
            row = session.scalars(query.with_for_update() if lock else query).one_or_none()
        if row is None or self._project not in (None, row.project):
            raise PithError("not_found", what="webhook", id=id[:64], listing=LISTING)
        return row


def refuse_unknown(session: Session, ids: Sequence[str], project: str) -> None:
    """For a job that names them. Raises PithError ``not_found``."""
    query = select(WebhookRow.id).where(WebhookRow.id.in_(ids), WebhookRow.project == project)
    known = set(session.scalars(query)) if ids else set()
    for id in ids:
        if id not in known:
            raise PithError("not_found", what="webhook", id=id, listing=LISTING)


def tell(session: Session, row: JobRow, event: str) -> None:
    """A job has moved: queue a message for each webhook that wants to hear of it."""
    happening = _happening(row, event)
    if happening is None:
        return
    query = select(WebhookRow).where(WebhookRow.project == row.project, WebhookRow.enabled)
    named = row.spec.get("webhooks", ())
    for webhook in session.scalars(query):
        if happening in webhook.events.split() and (webhook.every_job or webhook.id in named):
            _deliver(session, webhook, happening, row.id, _told(row))


def _happening(row: JobRow, event: str) -> str | None:
    if row.kind == "intake":
        found = {"succeeded": "ready", "failed": "rejected", "cancelled": "rejected"}.get(event)
        what = "model" if str(row.spec["check"]).startswith("mdl") else "dataset"
        name = f"{what}.{found}"
    else:
        name = f"job.{event}"
    return name if name in HAPPENINGS else None


def _told(row: JobRow) -> dict[str, object]:
    """Little: who wants to know more asks, with a key."""
    if row.kind == "intake":
        return {str(row.spec["check"])[:3].replace("mdl", "model").replace("dts", "dataset"): row.spec["check"]}
    code = None if row.error is None else row.error.get("code")
    return {"job": row.id, "status": row.status, "verdict": row.verdict, "error": code, "attempt": row.attempt}


def _deliver(session: Session, webhook: WebhookRow, type: str, job: str | None, told: dict[str, object]) -> DeliveryRow:
    now = clock.now(session)
    data = {"project": webhook.project, **told}
    body = {"type": type, "timestamp": now.astimezone(UTC).isoformat(), "data": data}
    row = DeliveryRow(
        id=new_id("dlv"),
        webhook_id=webhook.id,
        type=type,
        job=job,
        body=json.dumps(body),
        created_at=now,
        attempts=0,
        next_at=now,
    )
    session.add(row)
    return row


class Outbox:
    """A courier's side: messages that are due, and what became of them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def take(self, limit: int) -> Sequence[Message]:
        """Due messages, for whoever asks first; they are due again after LEASE_SECONDS if nothing is said of them."""
        due = select(DeliveryRow).where(DeliveryRow.next_at <= clock.now_plus()).order_by(DeliveryRow.next_at)
        with self._db.session() as session:
            now = clock.now(session)
            rows = session.scalars(due.limit(limit).with_for_update(skip_locked=True)).all()
            return tuple(message for row in rows if (message := _taken(session, row, now)) is not None)

    def delivered(self, message: Message, status: int) -> None:
        self._settle(message, status, None, next_at=None, delivered_at=clock.now_plus())

    def failed(self, message: Message, status: int | None, error: str) -> None:
        """It is sent again later, unless that was the last time; 410 disables the webhook."""
        again = None
        if message.attempt <= len(RETRY_SECONDS) and status != 410:
            pause = RETRY_SECONDS[message.attempt - 1]
            again = clock.now_plus(pause * (1 + secrets.randbelow(1000) / 5000))
        self._settle(message, status, error, next_at=again)
        if status == 410:
            with self._db.session() as session:
                whose = select(DeliveryRow.webhook_id).where(DeliveryRow.id == message.id).scalar_subquery()
                session.execute(update(WebhookRow).where(WebhookRow.id == whose).values(enabled=False))

    def expire(self) -> None:
        """Forget deliveries that are over and old."""
        old = DeliveryRow.created_at < clock.now_plus(-KEPT_SECONDS)
        with self._db.session() as session:
            session.execute(delete(DeliveryRow).where(old, DeliveryRow.next_at.is_(None)))

    def _settle(self, message: Message, status: int | None, error: str | None, **values: object) -> None:
        """Unless it was sent again by hand meanwhile, or by another after a lease."""
        mine = (DeliveryRow.id == message.id, DeliveryRow.attempts == message.attempt)
        told = None if error is None else clean_text(error, 500)
        with self._db.session() as session:
            statement = update(DeliveryRow).where(*mine).values(last_status=status, last_error=told, **values)
            session.execute(statement, execution_options={"synchronize_session": False})


def _taken(session: Session, row: DeliveryRow, now: datetime) -> Message | None:
    webhook = session.get_one(WebhookRow, row.webhook_id)
    if not webhook.enabled:
        row.next_at, row.last_error = None, "the webhook is disabled"
        return None
    row.attempts += 1
    row.next_at = now + timedelta(seconds=LEASE_SECONDS)
    signing = [webhook.secret]
    if webhook.secret_before is not None and webhook.rotated_at is not None and webhook.rotated_at > now - ROTATION:
        signing.append(webhook.secret_before)
    return Message(row.id, row.attempts, webhook.url, row.body.encode(), tuple(signing))


def _joined(events: Sequence[str]) -> str:
    return " ".join(event for event in HAPPENINGS if event in events)


def _contracts(session: Session, rows: Sequence[WebhookRow]) -> tuple[Webhook, ...]:
    """With what became of the last message of each, and how many have failed since one arrived."""
    mine = DeliveryRow.webhook_id.in_([row.id for row in rows])
    newest = select(func.max(DeliveryRow.id)).where(mine).group_by(DeliveryRow.webhook_id)
    last = {each.webhook_id: each for each in session.scalars(select(DeliveryRow).where(DeliveryRow.id.in_(newest)))}
    sent, after = aliased(DeliveryRow), aliased(DeliveryRow)
    arrived = (
        select(sent.id)
        .where(sent.webhook_id == WebhookRow.id, sent.delivered_at.is_not(None))
        .order_by(sent.id.desc())
        .limit(1)
        .correlate(WebhookRow)
        .scalar_subquery()
    )
    failing = (
        select(func.count())
        .where(after.webhook_id == WebhookRow.id, after.id > func.coalesce(arrived, ""))
        .where(after.delivered_at.is_(None), after.last_error.is_not(None))
        .correlate(WebhookRow)
        .scalar_subquery()
    )
    counted = select(WebhookRow.id, failing).where(WebhookRow.id.in_([row.id for row in rows]))
    counts: dict[str, int] = {id: count for id, count in session.execute(counted)}  # noqa: C416
    return tuple(_contract(row, last.get(row.id), counts.get(row.id, 0)) for row in rows)


def _contract(row: WebhookRow, last: DeliveryRow | None = None, failing: int = 0) -> Webhook:
    return Webhook(
        id=row.id,
        project=row.project,
        name=row.name,
        url=row.url,
        events=cast(tuple[Happening, ...], tuple(row.events.split())),
        every_job=row.every_job,
        enabled=row.enabled,
        created_at=row.created_at,
        last_delivery=None if last is None else _delivery(last),
        failing=failing,
    )


def _issued(row: WebhookRow, shown: bool) -> IssuedWebhook:
    return IssuedWebhook(**dict(_contract(row)), secret=row.secret if shown else None)


def _delivery(row: DeliveryRow) -> Delivery:
    done = row.delivered_at is not None
    return Delivery(
        id=row.id,
        webhook=row.webhook_id,
        type=row.type,
        job=row.job,
        status="delivered" if done else "pending" if row.next_at is not None else "failed",
        attempts=row.attempts,
        created_at=row.created_at,
        next_at=row.next_at,
        delivered_at=row.delivered_at,
        last_status=row.last_status,
        last_error=row.last_error,
    )
