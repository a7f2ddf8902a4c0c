"""One model in a process of its own, forked from one that has imported torch and computed nothing."""

import multiprocessing
import os
import tempfile
from multiprocessing.context import ForkServerContext
from pathlib import Path

import torch

from tests.zoo.collection import named
from tests.zoo.entry import Entry
from tests.zoo.result import Result, load
from tests.zoo.stages import walk

SECONDS = 600


def server() -> ForkServerContext:
    """Where the processes come from; imports are paid for once."""
    os.environ["OMP_NUM_THREADS"] = "1"
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.zoo.apart", "onnxscript", "onnxruntime", "torch.onnx"])
    return context


def walk_apart(context: ForkServerContext, entry: Entry) -> Result:
    """The result, also when the process dies or takes too long."""
    Result(entry.name, entry.family, {"read": "unnamed: the process ended"}).save()
    process = context.Process(target=walk_here, args=(entry.name,))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        Result(entry.name, entry.family, {"read": f"unnamed: not done after {SECONDS} seconds"}).save()
    result = load(entry.name)
    assert result is not None
    return result


def walk_here(name: str) -> None:
    """One model in this process; its result is kept."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        walk(named(name), Path(folder)).save()
