"""A job's process is not trusted: what it says must be kept the same way by both databases, or dropped."""

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pith.errors import FieldProblem, Problem
from pith.job import EngineEvent, Progress
from store import history
from store.clean import DATA_BYTES, clean_data, clean_text
from tests.store.shop import Shop

SOME_DATE = datetime(2026, 1, 1, tzinfo=UTC)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters()), inner, max_size=4),
    max_leaves=20,
)


def running(shop: Shop) -> str:
    job = shop.job()
    shop.jobs.claim(job.id, "w", 60)
    return job.id


def recorded(shop: Shop, job: str, event: EngineEvent) -> EngineEvent:
    assert shop.jobs.record(job, 1, [event]) == "running"
    return shop.jobs.events(job, after=len(shop.jobs.events(job)) - 1)[0]


@pytest.mark.parametrize(
    "value",
    [
        "\x00",
        "\ud800",
        float("nan"),
        float("inf"),
        2**63,
        pytest.param(-(10**400), id="more than a float holds"),
        pytest.param(10**5000, id="more digits than Python prints"),
        object(),
        b"\x00",
        {"\x00\ud800": 1},
        {1: 2},
    ],
)
def test_values_that_a_database_chokes_on_are_made_harmless(shop: Shop, value: Any) -> None:
    event = recorded(shop, running(shop), EngineEvent.model_construct(at=SOME_DATE, type="metric", data={"v": value}))
    json.dumps(event.data, allow_nan=False)
    assert "\x00" not in str(event.data)


@given(data=st.dictionaries(st.text(st.characters()), anything, max_size=4))
@settings(deadline=None, max_examples=200)
def test_cleaned_data_is_small_strict_json_and_cleaning_it_again_changes_nothing(data: dict[str, Any]) -> None:
    kept = clean_data(data)
    text = json.dumps(kept, allow_nan=False)
    assert len(text) <= DATA_BYTES
    text.encode()
    assert "\\u0000" not in text
    assert clean_data(kept) == kept


@given(data=st.dictionaries(st.text(st.characters()), anything, max_size=3), message=st.text(st.characters()))
@settings(
    deadline=None,
    max_examples=15,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_both_databases_give_back_what_was_cleaned(shop: Shop, data: dict[str, Any], message: str) -> None:
    event = EngineEvent.model_construct(at=SOME_DATE, type="metric", message=message[:2000], data=data)
    kept = recorded(shop, running(shop), event)
    assert (kept.data, kept.message) == (clean_data(data), clean_text(message, 2000))


def test_a_message_cannot_start_a_new_line_or_turn_the_text_around(shop: Shop) -> None:
    event = EngineEvent(at=SOME_DATE, type="progress", message="a\nb\x1b[31mc\u202ed\u2028e\x7f✓é")
    assert recorded(shop, running(shop), event).message == "a b [31mc d e ✓é"


def test_data_that_is_too_large_is_dropped_and_says_so(shop: Shop) -> None:
    event = EngineEvent(at=SOME_DATE, type="metric", data={"blob": "x" * 3000, "more": "y" * 3000})
    assert recorded(shop, running(shop), event).data == {"dropped": "6024 bytes; 4096 are kept at most"}


def test_data_that_is_nested_too_deeply_is_cut(shop: Shop) -> None:
    deep: dict[str, Any] = {}
    for _ in range(500):
        deep = {"d": deep}
    kept = recorded(shop, running(shop), EngineEvent.model_construct(at=SOME_DATE, type="metric", data=deep))
    assert json.dumps(kept.data).count("d") == 9


@pytest.mark.parametrize(
    "at",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=14))),
        datetime(1999, 1, 1),
    ],
)
def test_an_absurd_date_becomes_now(shop: Shop, at: datetime) -> None:
    kept = recorded(shop, running(shop), EngineEvent(at=at, type="progress"))
    assert abs(kept.at - datetime.now(UTC)) < timedelta(minutes=10)


def test_a_naive_date_is_taken_as_utc(shop: Shop) -> None:
    kept = recorded(shop, running(shop), EngineEvent(at=datetime(2026, 1, 1), type="progress"))
    assert kept.at == SOME_DATE


def test_a_step_beyond_any_column_is_dropped(shop: Shop) -> None:
    assert recorded(shop, running(shop), EngineEvent(at=SOME_DATE, type="progress", step=2**40)).step is None


def test_hostile_progress_and_problems_are_kept_clean(shop: Shop) -> None:
    job = running(shop)
    shop.jobs.record(job, 1, [], Progress(fraction=0.5, step=2**70, message="a\x00" * 5000))
    assert shop.jobs.get(job).progress == Progress(fraction=0.5, step=None, message=("a " * 5000)[:2000])
    field = FieldProblem(pointer="/\x00", code="c", detail="d")
    shop.jobs.fail(
        job, 1, Problem(type="t", title="\x00", status=400, detail="x\x00" * 9000, code="c", errors=(field,))
    )
    failed = shop.jobs.get(job)
    assert failed.error is not None
    assert failed.error.detail == ("x " * 9000)[:4000]
    assert (failed.error.title, failed.error.errors[0].pointer) == (" ", "/ ")


def test_events_are_bounded_and_the_end_is_always_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "MAX_EVENTS", 10)
    job = running(shop)
    for _ in range(5):
        shop.jobs.record(job, 1, [shop.event()] * 3)
    shop.jobs.succeed(job, 1, [], "met")
    events = shop.jobs.events(job)
    assert [event.seq for event in events] == list(range(1, 12))
    assert [event.type for event in events[-3:]] == ["progress", "warning", "succeeded"]
    assert events[-2].message == "There are 10 events; no more are kept."
