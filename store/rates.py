"""How many requests a key makes in a minute, counted in Redis for all API processes together, or here without one.

The generic cell rate algorithm (ITU-T I.371): one number for each key, the time at which its bucket would be empty.
"""

import logging
import threading
import time
from dataclasses import dataclass
from typing import Any

from redis import Redis, RedisError

log = logging.getLogger("pith.rates")
WINDOW_SECONDS = 60.0
PATIENCE_SECONDS = 0.5
AWAY_SECONDS = 10.0
"""After Redis has not answered, it is not asked for so long."""
_MOST_KEYS = 10_000
_SCRIPT = """
local clock = redis.call('TIME')
local now = clock[1] + clock[2] / 1000000
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or '0'), now) + tonumber(ARGV[1])
if full - now <= tonumber(ARGV[2]) then
  redis.call('SET', KEYS[1], string.format('%.6f', full), 'EX', math.ceil(full - now) + 1)
  return {1, tostring(full - now)}
end
return {0, tostring(full - now)}
"""


@dataclass(frozen=True)
class Rate:
    """Whether one more request is within the limit, how many more are left now, and when all of them are again."""

    most: int
    allowed: bool
    remaining: int
    reset_seconds: float
    wait_seconds: float


class Rates:
    """``url`` as PITH_REDIS_URL. Never raises: while Redis is away each process counts on its own."""

    def __init__(self, url: str | None) -> None:
        self._redis = _connect(url)
        self._script: Any = None if self._redis is None else self._redis.register_script(_SCRIPT)
        self._away_until = 0.0
        self._full: dict[str, float] = {}
        self._lock = threading.Lock()

    def take(self, name: str, most: int) -> Rate:
        """One request of whoever is called so, who may make ``most`` a minute."""
        each = WINDOW_SECONDS / most
        allowed, ahead = self._shared(name, each) or self._own(name, each)
        # Within a limit the bucket holds what is ahead; beyond it one request too many was added and not kept.
        held = ahead if allowed else ahead - each
        return Rate(most, allowed, int((WINDOW_SECONDS - held) / each + 1e-6), held, max(0.0, ahead - WINDOW_SECONDS))

    def _shared(self, name: str, each: float) -> tuple[bool, float] | None:
        if self._script is None or time.monotonic() < self._away_until:
            return None
        try:
            allowed, ahead = self._script(keys=[f"pith:rate:{name}"], args=[each, WINDOW_SECONDS])
        except RedisError as error:
            self._away_until = time.monotonic() + AWAY_SECONDS
            log.warning("requests are counted in each process on its own: %s", error)
            return None
        return bool(allowed), float(ahead)

    def _own(self, name: str, each: float) -> tuple[bool, float]:
        now = time.monotonic()
        with self._lock:
            if len(self._full) >= _MOST_KEYS:
                self._full = {name: full for name, full in self._full.items() if full > now}
            full = max(self._full.get(name, 0.0), now) + each
            if full - now > WINDOW_SECONDS:
                return False, full - now
            self._full[name] = full
            return True, full - now


def _connect(url: str | None) -> "Redis | None":
    if url is None or url.startswith("filesystem:"):
        return None
    address = url.replace("redis+socket://", "unix://", 1)
    return Redis.from_url(address, socket_timeout=PATIENCE_SECONDS, socket_connect_timeout=PATIENCE_SECONDS)
