"""Ranges of activations against their definitions."""

from pathlib import Path

import numpy as np
import pytest

from engine.export import write_onnx
from engine.quantize.calibrate import (
    Histogram,
    Method,
    calibrate,
    divergence,
    scale_of,
    squared_error,
    tensors_of,
)
from engine.quantize.placing import Scale
from tests.engine.tiny import Mlp, lifted, pictures

NAMES = ("input", "output")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_onnx(lifted(Mlp), tmp_path / "float.onnx")
    return tmp_path / "float.onnx"


def scales(file: Path, x: np.ndarray, method: Method, percentile: float = 99.0) -> dict[str, Scale]:
    return calibrate(
        file, NAMES, lambda: ((x[start : start + 10],) for start in range(0, len(x), 10)), method, percentile
    )


def spread(scale: Scale) -> tuple[float, float]:
    return -scale.zero_point * scale.scale, (255 - scale.zero_point) * scale.scale


def test_minmax_spans_everything_of_every_batch(file: Path) -> None:
    x = pictures(40, 1)[0]
    found = scales(file, x, "minmax")
    values = tensors_of(file, NAMES, (x,))
    for name in NAMES:
        low, high = spread(found[name])
        assert abs(low - values[name].min()) <= found[name].scale
        assert abs(high - values[name].max()) <= found[name].scale


def test_a_percentile_leaves_out_as_much_at_either_end(file: Path) -> None:
    x = pictures(40, 1)[0]
    low, high = spread(scales(file, x, "percentile", 90.0)["input"])
    assert low == pytest.approx(np.percentile(x, 5), abs=0.02) and high == pytest.approx(np.percentile(x, 95), abs=0.02)


def test_the_least_divergence_leaves_out_a_value_far_away(file: Path) -> None:
    x = pictures(40, 1)[0]
    usual = scales(file, x, "entropy")["input"].scale
    x[0, 0, 0, 0] = 20.0
    assert scales(file, x, "entropy")["input"].scale < 0.5 * scale_of(-1.0, 20.0).scale
    assert usual < scale_of(float(x.min()), 20.0).scale / 3


def test_the_range_of_least_squared_error_beats_every_other_of_a_fine_grid(file: Path) -> None:
    x = np.random.default_rng(0).standard_t(3, (400, 1, 8, 8)).astype(np.float32)

    def error(scale: Scale) -> float:
        integers = np.clip(np.round(x / scale.scale) + scale.zero_point, 0, 255)
        return float((((integers - scale.zero_point) * scale.scale - x) ** 2).mean())

    best = min(error(scale_of(float(x.min()) * a, float(x.max()) * b)) for a in GRID for b in GRID)
    assert error(scales(file, x, "mse")["input"]) < 1.05 * best < error(scales(file, x, "minmax")["input"])


GRID = np.linspace(0.2, 1.0, 33)


def test_squared_error_is_that_of_the_values_themselves() -> None:
    values = np.random.default_rng(0).normal(0, 1, 100_000)
    counts, edges = np.histogram(values, 2048, (values.min(), values.max()))
    scale = scale_of(-2.0, 2.0)
    integers = np.clip(np.round(values / scale.scale) + scale.zero_point, 0, 255)
    wanted = (((integers - scale.zero_point) * scale.scale - values) ** 2).sum()
    assert squared_error(Histogram(counts.astype(float), edges), -2.0, 2.0) == pytest.approx(wanted, rel=0.02)


def test_divergence_is_none_for_what_256_steps_hold_exactly_and_grows_with_what_is_cut_off() -> None:
    edges = np.linspace(0, 1, 2049)
    flat = Histogram(np.ones(2048), edges)
    assert divergence(flat, 0.0, 1.0) == pytest.approx(0.0, abs=1e-6)
    assert divergence(flat, 0.0, 0.9) < divergence(flat, 0.0, 0.5)


def test_zero_is_a_step_and_a_tensor_of_zeros_alone_has_a_scale() -> None:
    assert scale_of(1.0, 3.0) == Scale(float(np.float32(3 / 255)), 0)
    assert scale_of(-1.0, 1.0).zero_point == 128 and scale_of(0.0, 0.0) == Scale(1.0, 0)
