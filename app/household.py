"""The children of the embedded service, tended in one thread: their words passed on, the fallen started again."""

import logging
import selectors
import signal
import time
from collections.abc import Callable, Sequence

import click

from app.child import Child
from store import logs

STOP_SECONDS = 30.0
LOOK_SECONDS = 0.2


Say = Callable[..., None]


def say(line: str, who: str = "up") -> None:
    click.echo(f"{who:<9} | {line}")


def say_json(line: str, who: str = "up") -> None:
    """What a child says as JSON is passed on as it is; all else becomes the message of such a line."""
    if line.startswith('{"time": '):
        click.echo(line)
        return
    record = logging.makeLogRecord({"name": "pith.up", "levelname": "INFO", "msg": "%s", "args": (line,)})
    click.echo(logs.JsonLines(who).format(record))


class Stop:
    """How often we were asked to stop: once is in order, twice is at once."""

    def __init__(self) -> None:
        self.asked = 0
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask)

    def _ask(self, _number: int, _frame: object) -> None:
        self.asked += 1


class Household:
    """A child that ends is started again after a pause, except an API that ends of its own accord."""

    def __init__(self, members: Sequence[Child], say: Say = say) -> None:
        self._members = {child.name: child for child in members}
        self._mortal = {"api"}
        self._say = say
        self._selector = selectors.DefaultSelector()
        self._watched: dict[str, int] = {}

    def has(self, name: str) -> bool:
        return name in self._members

    def waits_for(self) -> list[str]:
        """Who has not yet said that it works."""
        return [name for name, child in self._members.items() if not child.is_ready]

    def tend(self, restart: bool = True) -> None:
        for name, child in list(self._members.items()):
            if name in self._watched and not child.alive:
                self._part(child)
            if restart and name in self._members and name not in self._watched and time.monotonic() >= child.start_at:
                self._watched[name] = child.start()
                self._selector.register(self._watched[name], selectors.EVENT_READ, child)
        if not self._watched:
            time.sleep(LOOK_SECONDS)
            return
        for key, _ in self._selector.select(LOOK_SECONDS):
            self._pass_on(key.data)

    def end(self, at_once: Callable[[], bool]) -> None:
        """First the API, then who works, then the queue they talk over; ``at_once`` ends all patience."""
        patience = time.monotonic() + STOP_SECONDS
        workers = [name for name in self._members if name not in ("api", "redis")]
        for group in (("api",), workers, ("redis",)):
            self._signal(group, signal.SIGTERM)
            while self._alive(group) and not at_once() and time.monotonic() < patience:
                self.tend(restart=False)
            self._signal(group, signal.SIGKILL)
        while self._watched:
            self.tend(restart=False)

    def _alive(self, group: Sequence[str]) -> bool:
        return any(name in self._watched for name in group)  # until it has been said how each has ended

    def _signal(self, group: Sequence[str], number: signal.Signals) -> None:
        for name in group:
            if name in self._members:
                self._members[name].signal(number)

    def _part(self, child: Child) -> None:
        self._pass_on(child)
        self._selector.unregister(self._watched.pop(child.name))
        self._say(f"{child.name} ended by {child.bury()}")
        if child.name in self._mortal and not child.killed:
            del self._members[child.name]

    def _pass_on(self, child: Child) -> None:
        for line in child.lines():
            self._say(line, child.name)
