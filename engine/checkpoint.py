"""State to resume from: the graph, the training state inside it, and where in the recipe that was.

Written at most every ``seconds``, each file aside and then moved, the position last; so a folder that was cut off at
any moment holds the checkpoint before. The files are read back as carefully as an upload: weights only.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from engine.model import Model, read_model
from pith.base import Frozen
from pith.report import MetricName


class Finished(Frozen):
    """What the report needs to know of a step that is done; its exported graph lies beside the checkpoint."""

    kind: str
    seconds: float = Field(ge=0)
    notes: tuple[str, ...] = ()
    counts: dict[MetricName, float] = Field(default_factory=dict)


class Position(Frozen):
    """Where a job is: before ``phase`` of ``step``, or inside its training when ``training`` is set."""

    step: int = Field(0, ge=0)
    phase: int = Field(0, ge=0)
    training: bool = False
    memo: dict[str, Any] = Field(default_factory=dict)
    finished: tuple[Finished, ...] = ()


class Checkpoints:
    """The checkpoint folder of one run."""

    def __init__(self, folder: Path, seconds: float) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seconds = seconds
        self._saved_at = time.monotonic()
        self._graph_of: tuple[int, int] | None = None

    def due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.seconds

    def measured(self, step: int) -> Path:
        """Where the exported graph after a step waits to be measured."""
        return self.folder / f"step-{step}.onnx"

    def save(self, position: Position, model: Model, training: dict[str, Any] | None) -> None:
        """Replace the checkpoint. ``training`` holds tensors and plain numbers alone."""
        here = (position.step, position.phase)
        if self._graph_of != here or training is None:
            self._write(self._graph(position), lambda path: torch.export.save(model.copy().program(), path))
            self._graph_of = here
        if training is not None:
            self._write(self._training(position), lambda path: torch.save(training, path))
        self._write(self._position, lambda path: path.write_text(position.model_dump_json()))
        self._sweep(position)
        self._saved_at = time.monotonic()

    def load(self, scratch: Path) -> tuple[Position, Model, dict[str, Any] | None] | None:
        """The last checkpoint, or None when there is none."""
        if not self._position.exists():
            return None
        position = Position.model_validate_json(self._position.read_bytes())
        model = read_model(self._graph(position), scratch)
        state = torch.load(self._training(position), weights_only=True) if position.training else None
        return position, model, state

    @property
    def _position(self) -> Path:
        return self.folder / "position.json"

    def _graph(self, position: Position) -> Path:
        return self.folder / f"graph-{position.step}-{position.phase}.pt2"

    def _training(self, position: Position) -> Path:
        return self.folder / f"training-{position.step}-{position.phase}.pt"

    def _write(self, path: Path, write: Callable[[Path], object]) -> None:
        aside = path.with_name(f".aside-{path.name}")
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)

    def _sweep(self, position: Position) -> None:
        keep = {self._graph(position), self._training(position), self._position}
        for path in self.folder.iterdir():
            if path not in keep and path.suffix in (".pt2", ".pt"):
                path.unlink()
