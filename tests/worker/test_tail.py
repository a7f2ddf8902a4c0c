"""The event stream of a process that may lie."""

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pith.job import EVENT_TYPES
from worker import tail
from worker.tail import EventTail, parse


def line(**fields: Any) -> bytes:
    return json.dumps({"at": datetime.now(UTC).isoformat(), "type": "metric", **fields}).encode()


@pytest.mark.parametrize("kind", EVENT_TYPES)
def test_only_what_an_engine_may_say_is_taken(kind: str) -> None:
    accepted = {"progress", "step_started", "step_finished", "metric", "artifact", "warning"}
    assert (parse(line(type=kind)) is not None) == (kind in accepted)


BAD = (
    b"",
    b"null",
    b"[]",
    b'{"type": "metric"}',
    b"\xff\xfe",
    b"[" * 10_000,
    line(message="x" * 2001),
    line(status="succeeded"),
    line(step=-1),
    line(data={"loss": float("nan")}),
    line(data={"loss": float("inf")}),
    line(data={"loss": 0}).replace(b"0}", b"1e999}"),
    line(data={"big": 10**30}),
    line(data={"text": "a\0b"}),
    line(data={"a\0b": 1}),
    line(message="\ud800"),
    line(data={"x": [[[[[[[[[1]]]]]]]]]}),
    line(data={"x": "y" * tail.LINE_BYTES}),
)


@pytest.mark.parametrize("bad", BAD, ids=map(str, range(len(BAD))))
def test_bad_lines_are_dropped(bad: bytes) -> None:
    assert parse(bad) is None


JSON = st.recursive(st.none() | st.floats() | st.text(), st.lists).map(lambda value: json.dumps(value).encode())


@settings(max_examples=50, deadline=None)
@given(st.binary(max_size=200) | JSON)
def test_no_line_does_harm(anything: bytes) -> None:
    assert parse(anything) is None


@pytest.mark.parametrize("off", [timedelta(days=-400), timedelta(days=400)])
def test_a_forged_date_becomes_now(off: timedelta) -> None:
    event = parse(line(at=(datetime.now(UTC) + off).isoformat()))
    assert event is not None
    assert abs(event.at - datetime.now(UTC)) < timedelta(seconds=30)


def test_lines_are_read_as_they_grow(tmp_path: Path) -> None:
    stream, reader = tmp_path / "events", EventTail(tmp_path / "events", steps=2)
    assert reader.read() == ([], False)
    first, second = line(message="first"), line(message="second")
    stream.write_bytes(first + b"\n" + second[:10])
    assert [event.message for event in reader.read()[0]] == ["first"]
    with stream.open("ab") as more:
        more.write(second[10:] + b"\n")
    assert [event.message for event in reader.read()[0]] == ["second"]
    assert reader.read() == ([], False)
    reader.close()


def test_an_endless_line_is_skipped_to_its_end(tmp_path: Path) -> None:
    stream, reader = tmp_path / "events", EventTail(tmp_path / "events", steps=2)
    with stream.open("ab") as file:
        file.write(b"x" * (tail.LINE_BYTES + 1))
        file.flush()
        assert reader.read()[0] == []
        assert len(reader._rest) <= tail.LINE_BYTES
        file.write(line(message="inside the long line") + b"\n" + line(message="after") + b"\n")
    assert [event.message for event in reader.read()[0]] == ["after"]
    reader.close()


def test_a_step_that_the_recipe_has_not_is_dropped(tmp_path: Path) -> None:
    stream, reader = tmp_path / "events", EventTail(tmp_path / "events", steps=2)
    stream.write_bytes(b"\n".join([line(step=1), line(step=2), b""]))
    assert [event.step for event in reader.read()[0]] == [1]
    reader.close()


def test_too_many_events_end_in_a_warning(tmp_path: Path) -> None:
    stream, reader = tmp_path / "events", EventTail(tmp_path / "events", steps=1)
    stream.write_bytes((line() + b"\n") * (tail.EVENTS + 100))
    found = []
    while (got := reader.read())[1]:
        found += got[0]
    assert len(found) == tail.EVENTS + 1
    assert found[-1].message == tail.TOO_MANY
    reader.close()


def test_progress_is_thinned_and_the_newest_is_known(tmp_path: Path) -> None:
    stream, reader = tmp_path / "events", EventTail(tmp_path / "events", steps=1)
    said = [line(type="progress", message=str(part), data={"fraction": part / 1000}) for part in range(1000)]
    stream.write_bytes(b"\n".join([*said, b""]))
    events = reader.read()[0]
    assert len(events) <= 1
    assert reader.progress is not None
    assert (reader.progress.fraction, reader.progress.message) == (0.999, "999")
    reader.close()


@pytest.mark.parametrize("fraction", [-1, 2, "half", None, [0.5]])
def test_an_impossible_fraction_is_none(tmp_path: Path, fraction: object) -> None:
    stream, reader = tmp_path / "events", EventTail(tmp_path / "events", steps=1)
    stream.write_bytes(line(type="progress", data={"fraction": fraction}) + b"\n")
    reader.read()
    assert reader.progress is not None
    assert reader.progress.fraction == 0
    reader.close()


def test_a_link_or_a_pipe_is_not_opened(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(line(message="secret") + b"\n")
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        assert EventTail(tmp_path / name, steps=1).read() == ([], False)
