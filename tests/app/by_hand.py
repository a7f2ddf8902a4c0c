"""What a worker does to the store, done by the test itself."""

from datetime import UTC, datetime
from pathlib import Path

from pith.errors import Problem
from pith.job import EngineEvent, EventType, Progress, Verdict
from pith.outcome import Outcome
from store.attempts import NewArtifact
from store.blobs import Blobs, open_blobs
from store.checks import Learnt, NewPart
from store.database import Database
from store.inputs import Upload
from store.jobs import Jobs
from store.settings import Settings
from tests.store.shop import DATASET_FACTS, MODEL_DETAILS, MODEL_FACTS, PREVIEW


class Bench:
    """The store of a running API, from a second process's side."""

    def __init__(self, data: Path, **fields: str) -> None:
        settings = Settings.model_validate({"data_dir": data, **fields})
        self.db = Database(settings.database_url)
        self.blobs: Blobs = open_blobs(settings, self.db)
        self.jobs = Jobs(self.db)

    def start(self, job: str) -> int:
        """Claim it, after everything that it names was found good."""
        self.learn_all()
        claim = self.jobs.claim(job, "by hand", lease_seconds=600)
        assert claim is not None
        return claim.attempt

    def learn_all(self) -> None:
        for check in self.jobs.list(kind="intake", status="queued").data:
            self.learn(check.id)

    def learn(self, check: str, **facts: object) -> None:
        """End a check well, unless somebody else has: the canonical form is what was uploaded."""
        claim = self.jobs.claim(check, "by hand", lease_seconds=600)
        if claim is None:
            return
        assert isinstance(claim.inputs, Upload)
        model = claim.inputs.resource == "model"
        names = ("model.pt2",) if model else ("dataset.arrow", "dataset.json")
        parts = tuple(NewPart(name, claim.inputs.digest or f"sha256:{'0' * 64}", 1) for name in names)
        known = (MODEL_FACTS, MODEL_DETAILS) if model else (DATASET_FACTS, PREVIEW)
        assert self.jobs.learn(check, claim.attempt, Learnt({**known[0], **facts}, known[1], parts))

    def reject(self, check: str, problem: Problem) -> None:
        """End a check badly."""
        claim = self.jobs.claim(check, "by hand", lease_seconds=600)
        assert claim is not None and self.jobs.fail(check, claim.attempt, problem)

    def tell(self, job: str, attempt: int, *messages: str, type: EventType = "progress") -> None:
        events = [EngineEvent(at=datetime.now(UTC), type=type, message=message) for message in messages]
        assert self.jobs.record(job, attempt, events, Progress(fraction=0.5, message="half")) == "running"

    def succeed(
        self,
        job: str,
        attempt: int,
        *,
        verdict: Verdict = "unconstrained",
        outcome: Outcome | None = None,
        **files: bytes,
    ) -> None:
        """``model_onnx=b"…"`` becomes the artifact ``model.onnx``."""
        artifacts = [self._artifact(name.replace("_", "."), content) for name, content in files.items()]
        assert self.jobs.succeed(job, attempt, artifacts, verdict, outcome)

    def _artifact(self, name: str, content: bytes) -> NewArtifact:
        writer = self.blobs.writer()
        writer.write(content)
        digest, size = writer.commit()
        stem, form = name.rsplit(".", 1)
        return NewArtifact("report" if stem == "report" else "model", name, form, digest, size)
