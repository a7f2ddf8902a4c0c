"""What work on a model will cost: one timed run, and the sizes of all that its graph computes.

The memory of training is bounded from above by every intermediate result being kept; a kernel's own workspace is not
counted.
"""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

from engine.model import Model
from pith.facts import Estimate

PROCESS_BYTES = 700 << 20
BYTES_OF_A_PARAMETER = 16  # itself, its gradient, two moments of AdamW
TRAINED_SAMPLES = 4
LONG_SECONDS = 2.0
RUNS = 3


def estimate(model: Model) -> Estimate:
    """Measured on the CPU, with the threads that torch has in this process: one, in a check."""
    graph, parameters = model.at_rest(), sum(parameter.numel() for parameter in model.graph.parameters())
    one = model.signature.tensors(1)
    with torch.no_grad():
        forward = _best(lambda: graph(*one))
    return Estimate(
        inference_seconds=forward,
        training_seconds=_training(model, forward),
        fixed_bytes=PROCESS_BYTES + BYTES_OF_A_PARAMETER * parameters,
        sample_bytes=max(0, _computed_bytes(model, 3) - _computed_bytes(model, 2)),
    )


def _training(model: Model, forward: float) -> float:
    """Seconds of one sample, forward and backward; a model that is slow already is not run again for it."""
    if forward > LONG_SECONDS:
        return 3 * forward
    trial = model.copy()
    inputs = trial.signature.tensors(TRAINED_SAMPLES)

    def step() -> None:
        total = sum(output.float().sum() for output in trial.run(inputs) if output.is_floating_point())
        if isinstance(total, Tensor) and total.requires_grad:
            total.backward()  # type: ignore[no-untyped-call]

    trial.graph.train()
    return _best(step) / TRAINED_SAMPLES


def _best(run: Callable[[], Any]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
        if sum(times) > LONG_SECONDS:
            break
    return min(times)


def _computed_bytes(model: Model, batch: int) -> int:
    counter = _Counter(model.at_rest())
    with torch.no_grad():
        counter.run(*model.signature.tensors(batch))
    return counter.bytes


class _Counter(fx.Interpreter):
    """Runs a graph and adds up what its nodes compute; views count as their own size."""

    def __init__(self, graph: fx.GraphModule) -> None:
        super().__init__(graph)
        self.bytes = 0

    def run_node(self, node: fx.Node) -> Any:
        result = super().run_node(node)
        if node.op in ("call_function", "call_module"):
            for part in result if isinstance(result, tuple | list) else (result,):
                self.bytes += part.nbytes if isinstance(part, Tensor) else 0
        return result
