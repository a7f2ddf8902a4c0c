"""Compression as a pure library: files in, files out. No database, no Celery, no HTTP."""

import os

# ONNX Runtime 1.31 starts a thread that sends usage data as soon as it is imported. A service that people host for
# themselves does not do that; whoever wants it can set the variable to 0 (docs/decisions/0007).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

# Models of these libraries are built from their names alone: none of them asks a hub for weights or sends usage data.
for _variable in (
    "HF_HUB_OFFLINE",
    "TRANSFORMERS_OFFLINE",
    "HF_HUB_DISABLE_TELEMETRY",
    "DO_NOT_TRACK",
    "HF_HUB_DISABLE_PROGRESS_BARS",
):
    os.environ[_variable] = "1"
