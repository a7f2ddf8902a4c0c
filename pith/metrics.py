"""What is measured, by name, and on what."""

from typing import Literal

MetricName = Literal[
    "size_bytes",
    "parameters",
    "nonzero_parameters",
    "macs",
    "latency_median_ms",
    "latency_p95_ms",
    "peak_memory_bytes",
    "accuracy",
    "agreement",
    "r2",
    "rmse",
    "mae",
    "cosine_similarity",
    "loss",
    "sqnr_db",
]

MeasuredOn = Literal["test split", "training inputs", "random inputs"]
