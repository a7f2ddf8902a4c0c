"""How many requests a key may make: counted in one place for all processes, and on their own while that is away."""

import re
from pathlib import Path

import pytest

from store.rates import Rate, Rates
from tests.store.redis_process import RedisProcess


def counts(*rates: Rates, most: int, times: int, name: str = "key_1") -> list[Rate]:
    return [rates[n % len(rates)].take(name, most) for n in range(times)]


def test_processes_share_one_count(redis: RedisProcess) -> None:
    rates = counts(Rates(redis.url), Rates(redis.url), most=10, times=12)
    assert [rate.allowed for rate in rates] == [True] * 10 + [False] * 2
    assert [rate.remaining for rate in rates[:10]] == list(range(9, -1, -1))
    assert rates[-1].remaining == 0 and 0 < rates[-1].wait_seconds <= 6
    assert 54 < rates[9].reset_seconds <= 60
    assert Rates(redis.url).take("key_2", 10).remaining == 9


@pytest.mark.parametrize("url", [None, "filesystem:///tmp/nowhere"])
def test_without_redis_each_process_counts_on_its_own(url: str | None) -> None:
    one = Rates(url)
    assert [rate.allowed for rate in counts(one, most=3, times=5)] == [True] * 3 + [False] * 2
    assert Rates(url).take("key_1", 3).allowed


def test_while_redis_is_away_nobody_is_refused_for_that(redis: RedisProcess, caplog: pytest.LogCaptureFixture) -> None:
    rates = Rates(redis.url)
    assert rates.take("key_1", 2).allowed
    redis.kill()
    assert [rates.take("key_1", 2).allowed for _ in range(3)] == [True, True, False]
    assert len(re.findall("counted in each process", caplog.text)) == 1


def test_places_come_back_as_time_goes_by(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    now = 1000.0
    monkeypatch.setattr("store.rates.time.monotonic", lambda: now)
    rates = Rates(None)
    assert [rate.allowed for rate in counts(rates, most=60, times=61)] == [True] * 60 + [False]
    now += 2.5
    assert [rate.allowed for rate in counts(rates, most=60, times=3)] == [True, True, False]


def test_those_who_came_long_ago_take_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("store.rates.time.monotonic", lambda: now)
    monkeypatch.setattr("store.rates._MOST_KEYS", 100)
    rates = Rates(None)
    for n in range(100):
        rates.take(f"key_{n}", 60)
    now += 61
    rates.take("key_x", 60)
    assert len(rates._full) == 1
