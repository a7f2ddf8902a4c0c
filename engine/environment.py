"""Where the numbers of a report were made."""

import platform
from importlib.metadata import version
from pathlib import Path

import torch

from engine.latency import LATENCY_THREADS
from pith.report import Environment

_PACKAGES = ("torch", "onnx", "onnxruntime", "numpy")


def environment(device: torch.device, sandbox: tuple[str, ...]) -> Environment:
    """Latency is always of the processor; training may have run on another device, which is named too."""
    versions = {"python": platform.python_version(), **{name: version(name) for name in _PACKAGES}}
    trained = f"; trained on {torch.cuda.get_device_name(device)}" if device.type == "cuda" else ""
    return Environment(
        device="cpu",
        device_name=processor() + trained,
        runtime="onnxruntime",
        threads=LATENCY_THREADS,
        batch_size=1,
        versions=versions,
        sandbox=sandbox,
    )


def processor() -> str:
    """The processor's name as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return named or platform.processor() or platform.machine()
