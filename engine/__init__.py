"""Compression as a pure library: files in, files out. No database, no Celery, no HTTP."""

import os

# ONNX Runtime 1.31 starts a thread that sends usage data as soon as it is imported. A service that people host for
# themselves does not do that; whoever wants it can set the variable to 0 (docs/decisions/0007).
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
