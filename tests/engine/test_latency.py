"""Time and memory: measured in turn, in bounded time, and as much as they really are."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from engine import latency, peak_memory
from engine.intervals import ratio_interval
from engine.latency import in_turn, latencies, timing, timings
from engine.measure import Candidate
from engine.trade import trade

SAMPLE = (np.ones((1, 512), np.float32),)


def matrices(path: Path, count: int, width: int = 512) -> Path:
    """So many matrices, one after the other; a megabyte each."""
    names = ["x", *(f"v{index}" for index in range(count))]
    weights = [numpy_helper.from_array(np.eye(width, dtype=np.float32), f"w{index}") for index in range(count)]
    nodes = [helper.make_node("MatMul", [names[index], f"w{index}"], [names[index + 1]]) for index in range(count)]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", width]) for name in ("x", names[-1])]
    graph = helper.make_graph(nodes, "matrices", ports[:1], ports[1:], weights)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("matrices")
    return [matrices(folder / f"{count}.onnx", count) for count in (12, 6, 1)]


def sleeping(seconds: float, log: list[float]) -> Callable[[], None]:
    def run() -> None:
        log.append(seconds)
        time.sleep(seconds)

    return run


def test_models_take_turns_and_a_known_ratio_is_found() -> None:
    log: list[float] = []
    slow, fast = in_turn([sleeping(0.006, log), sleeping(0.003, log)], 1, range(6, 13), 60.0)
    assert len(slow) == len(fast) == 12 and log[2:] == [0.006, 0.003] * 12
    assert slow.min() >= 0.006 and fast.min() >= 0.003
    low, high = ratio_interval(slow, fast)
    assert 1 < low <= np.median(slow) / np.median(fast) <= high


def test_rounds_end_with_the_time_that_there_is() -> None:
    log: list[float] = []
    (runs,) = in_turn([sleeping(0, log)], 2, range(6, 1000), 0.0)
    assert len(runs) == 6 and len(log) == 8


def test_a_timing_says_what_its_runs_were() -> None:
    found = timing(np.arange(1, 101) / 1000, 2, 8)
    assert (found.threads, found.batch_size, found.median_ms) == (2, 8, pytest.approx(50.5))
    assert found.p95_ms == pytest.approx(95.05) and found.throughput == pytest.approx(8 / 0.0505)
    assert found.median_interval_ms == pytest.approx((40, 61))


def test_every_setting_is_tried_on_every_model(files: list[Path]) -> None:
    first = latencies(files, SAMPLE, seconds=0.0)
    found = timings(files, SAMPLE, 2, first)
    settings = [(1, 1), (1, 8), (1, 32), (2, 1), (2, 8), (2, 32)]
    assert [[(one.threads, one.batch_size) for one in each] for each in found] == [settings] * 3
    assert [one.batch_size for one in timings(files, SAMPLE, 1, first)[0]] == [1, 8, 32]
    for each in found:
        assert each[0].median_ms == pytest.approx(np.median(first[found.index(each)]) * 1e3)
        assert all(one.median_interval_ms[0] <= one.median_ms <= one.median_interval_ms[1] for one in each)


def test_what_takes_too_long_is_done_for_the_ends_alone_or_not_at_all(files: list[Path]) -> None:
    first = [np.full(20, seconds) for seconds in (0.1, 0.1, 0.1)]
    ends = timings(files, SAMPLE, 1, first, most=7 * 8 * 0.2 + 5)  # three would take 16.8 s
    assert [[one.batch_size for one in each] for each in ends] == [[1, 8], [1], [1, 8]]
    assert [len(each) for each in timings(files, SAMPLE, 4, first, most=0.0)] == [1, 1, 1]


def test_a_batch_that_has_no_room_is_left_out(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run = latency.run_session

    def scarce(session: object, x: tuple[np.ndarray, ...]) -> object:
        if len(x[0]) > 8:
            raise RuntimeError("Failed to allocate memory for requested buffer")
        return run(session, x)

    monkeypatch.setattr(latency, "run_session", scarce)
    found = timings(files, SAMPLE, 1, latencies(files, SAMPLE, seconds=0.0))
    assert [one.batch_size for one in found[0]] == [1, 8]


def test_memory_is_that_of_the_weights_and_more(files: list[Path]) -> None:
    twelve, six, one = peak_memory.peak_memory(files, SAMPLE)
    assert twelve is not None and six is not None and one is not None
    assert 12e6 < twelve < 60e6 and 6e6 < six < 30e6 and 1e6 < one < 10e6
    assert twelve > six > one


def test_memory_that_was_free_is_not_used_unseen(files: list[Path]) -> None:
    held = [bytes(60_000) for _ in range(1000)]
    del held[::2]
    (found,) = peak_memory.peak_memory(files[:1], SAMPLE)
    assert found is not None and found > 12e6


def test_memory_that_cannot_be_had_is_absent(files: list[Path], tmp_path: Path) -> None:
    none = tmp_path / "none.onnx"
    none.write_bytes(b"no model")
    found = peak_memory.peak_memory([none, files[2]], SAMPLE)
    assert found[0] is None and found[1] is not None


def test_a_file_that_takes_too_long_is_given_up(files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peak_memory, "SECONDS", 1)
    monkeypatch.setattr(peak_memory, "_growth", lambda path, sample: time.sleep(600))
    assert peak_memory.peak_memory(files[:1], SAMPLE) == [None]


@pytest.mark.parametrize("short", [True, False])
def test_a_short_report_runs_each_model_with_one_thread_and_one_sample(files: list[Path], short: bool) -> None:
    candidates = [Candidate({"size_bytes": path.stat().st_size}, path) for path in files[1:]]
    found, (low, high), each = trade(candidates, [[], []], SAMPLE, 1, short)
    assert each == [(low, high)] and 0 < low <= high and all(each.get("latency_p95_ms") for each in found)
    assert [len(each.timings) for each in found] == ([0, 0] if short else [3, 3])
    assert [each.get("peak_memory_bytes") is None for each in found] == [short, short]
