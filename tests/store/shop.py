"""Everything of the store over one database and one folder, and quick ways to put things into it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pith.artifact import Digest
from pith.job import EngineEvent, Job, JobSpec
from pith.resources import Dataset, Model
from store import clock
from store.blobs import LocalBlobs
from store.database import Database
from store.jobs import Jobs
from store.resources import Resources, datasets, models

PRUNE = {"kind": "prune.magnitude", "sparsity": 0.5}


@dataclass
class Shop:
    db: Database
    blobs: LocalBlobs
    models: Resources[Model]
    datasets: Resources[Dataset]
    jobs: Jobs

    @classmethod
    def open(cls, db: Database, folder: Path) -> "Shop":
        blobs = LocalBlobs(folder)
        return cls(db, blobs, models(db, blobs), datasets(db, blobs), Jobs(db))

    def blob(self, data: bytes = b"model") -> tuple[Digest, int]:
        writer = self.blobs.writer()
        writer.write(data)
        return writer.commit()

    def model(self, data: bytes = b"model", name: str = "model.pt2") -> Model:
        return self.models.create(name, *self.blob(data))

    def dataset(self, data: bytes = b"dataset") -> Dataset:
        return self.datasets.create("dataset.npz", *self.blob(data))

    def spec(self, **fields: Any) -> JobSpec:
        if "model" not in fields:
            fields["model"] = self.model().id
        return JobSpec.model_validate({"recipe": [PRUNE], **fields})

    def job(self, **fields: Any) -> Job:
        return self.jobs.submit(self.spec(**fields))

    def event(self, **fields: Any) -> EngineEvent:
        with self.db.reader() as session:
            return EngineEvent(**{"at": clock.now(session), "type": "progress", **fields})


def digest(data: bytes) -> Digest:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
