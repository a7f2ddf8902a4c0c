"""What a walk through the stages leaves behind: plain JSON, one file for each model."""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

CACHE = Path("build/zoo")
STAGES = ("read", "modes", "train", "head", "prune", "export")


@dataclass
class Result:
    """``stages`` maps a stage to "ok" or to the reason why not; a stage that is missing was never reached.

    ``lift`` is from the file to the graph, ``seconds`` has each stage's own: of one core, however busy the machine is.
    """

    name: str
    family: str
    stages: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    lift: float | None = None
    parameters: int = 0
    layers: int = 0
    prunable: int = 0

    @property
    def passed(self) -> bool:
        return all(self.stages.get(stage) == "ok" for stage in STAGES)

    def save(self) -> None:
        _path(self.name).parent.mkdir(parents=True, exist_ok=True)
        _path(self.name).write_text(json.dumps(asdict(self), indent=1))


def load(name: str) -> Result | None:
    """The result of the last walk, or None."""
    path = _path(name)
    return Result(**json.loads(path.read_text())) if path.exists() else None


def _path(name: str) -> Path:
    return CACHE / f"{name.replace('/', '--')}.json"
