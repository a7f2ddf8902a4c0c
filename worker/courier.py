"""`python -m worker.courier`: brings messages to webhooks. Any number of them may run; none is needed for jobs.

What is due is taken out of the database (store/webhooks.py), a few at a time, and each goes out in a thread of its own,
so that one who is slow to answer keeps nobody waiting.
"""

import logging
import signal
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
from prometheus_client import Counter
from pydantic import ValidationError

from pith.errors import PithError
from store import logs
from store.database import Database
from store.metrics import REGISTRY
from store.port import Life, open_port
from store.reach import Reach
from store.settings import Settings, refusal
from store.webhooks import Message, Outbox
from worker.outward import Outward, Resolve, resolve

AT_ONCE = 8
LOOK_SECONDS = 1.0
SILENCE_SECONDS = 60.0
ANSWER_SECONDS = 10.0
"""How long an answer may take in all."""
ANSWER_BYTES = 64 * 1024
BROUGHT = Counter(
    "pith_webhook_attempts_total",
    "Messages to webhooks that were sent, by what became of them.",
    ["end"],
    registry=REGISTRY,
)
log = logging.getLogger("worker.courier")


class Courier:
    """``reach``: where messages may go."""

    def __init__(self, outbox: Outbox, reach: Reach, resolve: Resolve = resolve) -> None:
        self._outbox = outbox
        self._reach = reach
        self._resolve = resolve
        self._pool = ThreadPoolExecutor(AT_ONCE, "courier")
        self._out: set[Future[None]] = set()
        self._away = False

    def run(self, stop: threading.Event, life: Life) -> None:
        while not stop.is_set():
            life.beat("courier", SILENCE_SECONDS)
            if not self.tick():
                stop.wait(LOOK_SECONDS)
        self._pool.shutdown()

    def tick(self) -> bool:
        """Send what is due; whether there was as much as could be sent. Never raises because the database is away."""
        self._out = {future for future in self._out if not future.done()}
        free = AT_ONCE - len(self._out)
        if not free:
            return False
        try:
            messages = self._outbox.take(free)
            self._away = False
        except PithError as error:
            if not self._away:
                log.warning("messages wait: %s", error)
            self._away = True
            return False
        self._out |= {self._pool.submit(self.bring, message) for message in messages}
        return len(messages) == free

    def bring(self, message: Message) -> None:
        """Send one, and write what became of it. If that cannot be written it is sent again."""
        try:
            status, error = self._sent(message)
            BROUGHT.labels("arrived" if error is None else "failed").inc()
            if error is None:
                self._outbox.delivered(message, status or 0)
            else:
                log.info("message %s did not arrive: %s", message.id, error)
                self._outbox.failed(message, status, error)
        except PithError as fault:
            log.warning("what became of message %s is not known: %s", message.id, fault)
        except Exception:
            log.exception("message %s", message.id)

    def _sent(self, message: Message) -> tuple[int | None, str | None]:
        """The status of the answer, and why it is no arrival."""
        until = time.monotonic() + ANSWER_SECONDS

        def patience() -> None:
            if time.monotonic() > until:
                raise httpx.ReadTimeout(f"within {ANSWER_SECONDS:g} seconds")

        try:
            with Outward(self._reach, self._resolve, patience) as outward:
                answer = outward.post(message.url, message.body, message.headers(datetime.now(UTC)), ANSWER_BYTES)
        except PithError as refusal:
            return None, refusal.problem.detail
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            return None, f"it did not answer: {fault or type(fault).__name__}"
        if answer.is_success:
            return answer.status_code, None
        return answer.status_code, f"it answered {answer.status_code}"


def main() -> int:
    stop, life = threading.Event(), Life()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        settings = Settings()
        logs.set_up(settings, "courier")
        open_port(settings, life)
    except (ValidationError, PithError) as error:
        logging.basicConfig()
        log.error("cannot start: %s", refusal(error))
        return 2
    db = Database(settings.database_url)
    log.info("ready.")
    Courier(Outbox(db), Reach.of_webhooks(settings)).run(stop, life)
    db.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
