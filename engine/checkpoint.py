"""State to resume from: the graph, the training state inside it, and where in the recipe that was.

Written at most every ``seconds``, and when the run is asked to stop: each file aside and then moved, under a name that
no other checkpoint has, the position last; so a folder that was cut off at any moment holds the checkpoint before. The
files are read back as carefully as an upload: weights only.
"""

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError

from engine import position as at
from engine.export import write_pt2
from engine.model import Model, read_model
from engine.position import Finished, Position
from pith.findings.curves import Curve


class Drained(Exception):
    """The run was asked to stop; its checkpoint is written."""


class Checkpoints:
    """The checkpoint folder of one run; where the file ``stop`` lies, the run is asked to stop."""

    def __init__(self, folder: Path, seconds: float, stop: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.seconds = seconds
        self._stop = stop
        self._saved_at = time.monotonic()
        self._last: Position | None = None

    @property
    def stopping(self) -> bool:
        return self._stop.exists()

    def due(self) -> bool:
        return time.monotonic() - self._saved_at >= self.seconds or self.stopping

    def measured(self, step: int) -> Path:
        """Where the exported graph after a step waits to be measured."""
        return self.folder / at.measured(step)

    def save(
        self,
        model: Model,
        training: dict[str, Any] | None,
        *,
        step: int,
        phase: int,
        memo: dict[str, Any],
        finished: tuple[Finished, ...],
        pieces: int = 1,
        curves: tuple[Curve, ...] = (),
    ) -> None:
        """Replace the checkpoint. ``training`` holds tensors and plain numbers alone.

        Raises:
            Drained: the run is asked to stop; not before the checkpoint is there.
        """
        number = 0 if self._last is None else self._last.number + 1
        graph = self._graph_of(step, phase) if training is not None else None
        position = Position(
            number=number,
            step=step,
            phase=phase,
            graph=graph or f"graph-{number}.pt2",
            training=None if training is None else f"training-{number}.pt",
            memo=memo,
            finished=finished,
            pieces=pieces,
            curves=curves,
        )
        if graph is None:
            self._write(position.graph, lambda path: write_pt2(model.copy(), path))
        if position.training is not None:
            self._write(position.training, lambda path: torch.save(training, path))
        self._write(at.NAME, lambda path: path.write_text(position.model_dump_json()))
        self._last = position
        self._sweep(position)
        self._saved_at = time.monotonic()
        if self.stopping:
            raise Drained

    def keep(self, model: Model, finished: tuple[Finished, ...], folder: Path) -> None:
        """Leave the model after the last finished step in ``folder``, for jobs that go on from there; the position
        last."""
        step = len(finished) - 1
        position = Position(number=0, step=step + 1, graph=f"graph-{step}.pt2", finished=finished)
        folder.mkdir(parents=True, exist_ok=True)
        self._write(position.graph, lambda path: write_pt2(model.copy(), path), folder)
        self._write(at.measured(step), lambda path: shutil.copyfile(self.measured(step), path), folder)
        self._write(at.kept(step), lambda path: path.write_text(position.model_dump_json()), folder)

    def load(self, scratch: Path) -> tuple[Position, Model, dict[str, Any] | None] | None:
        """The last checkpoint; None when there is none, or one of another version."""
        file = self.folder / at.NAME
        if not file.exists():
            return None
        try:
            position = Position.model_validate_json(file.read_bytes())
        except ValidationError:
            return None
        model = read_model(self.folder / position.graph, scratch)
        state = None
        if position.training is not None:
            state = torch.load(self.folder / position.training, weights_only=True)
        self._last = position
        return position, model, state

    def _graph_of(self, step: int, phase: int) -> str | None:
        """The file of the graph that is being trained, if a checkpoint inside the same training has written it."""
        last = self._last
        return last.graph if last and last.training and (last.step, last.phase) == (step, phase) else None

    def _write(self, name: str, write: Callable[[Path], object], folder: Path | None = None) -> None:
        path = (folder or self.folder) / name
        aside = path.with_name(f".aside-{name}")
        write(aside)
        with aside.open("rb") as file:
            os.fsync(file.fileno())
        aside.replace(path)

    def _sweep(self, position: Position) -> None:
        keep = {position.graph, position.training}
        for path in self.folder.iterdir():
            if path.name not in keep and path.suffix in (".pt2", ".pt"):
                path.unlink()


class Followed(Checkpoints):
    """Those of the process that leads: resumed from, and never written."""

    def due(self) -> bool:
        return False

    def save(self, *_: Any, **__: Any) -> None:
        pass
