"""Everything of the store over one database and one folder, and quick ways to put things into it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pith.artifact import Digest
from pith.job import EngineEvent, Job, JobSpec
from pith.resources import Dataset, Model
from store import clock
from store.attempts import Claim
from store.blobs import LocalBlobs
from store.checks import Learnt, NewPart
from store.database import Database
from store.inputs import Upload
from store.jobs import Jobs
from store.resources import Resources, datasets, models

PRUNE = {"kind": "prune.magnitude", "sparsity": 0.5}
MODEL_FACTS = {
    "format": "pt2",
    "trainable": True,
    "inputs": [{"name": "input", "shape": [None, 4], "dtype": "float32"}],
    "outputs": [{"name": "output", "shape": [None, 2], "dtype": "float32"}],
    "dtype": "float32",
    "parameters": 10,
}
MODEL_DETAILS = {"layers": [{"name": "fc", "kind": "Linear", "shape": [2, 4], "parameters": 10}], "hints": []}
DATASET_FACTS = {
    "format": "npz",
    "task": "tabular-classification",
    "samples": 8,
    "splits": [{"name": "train", "samples": 8, "labelled": True, "classes": {"0": 4, "1": 4}}],
    "classes": ["0", "1"],
    "columns": [
        {"name": "input", "role": "input", "type": "tensor", "dtype": "float32", "shape": [4]},
        {"name": "label", "role": "label", "type": "tensor", "dtype": "int64", "shape": []},
    ],
    "input_shape": [4],
}
PREVIEW = {"splits": [], "samples": [{"x": 1}]}


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
        """A model whose check has ended well: its canonical form is the same bytes."""
        made = self.unchecked_model(data, name)
        self.learn(made.check, data)
        return self.models.get(made.id)

    def dataset(self, data: bytes = b"dataset") -> Dataset:
        made = self.unchecked_dataset(data)
        self.learn(made.check, data)
        return self.datasets.get(made.id)

    def unchecked_model(self, data: bytes = b"model", name: str = "model.pt2") -> Model:
        return self.models.create(name, *self.blob(data))

    def unchecked_dataset(self, data: bytes = b"dataset") -> Dataset:
        return self.datasets.create("dataset.npz", *self.blob(data))

    def learn(self, check: str, *parts: bytes) -> None:
        """Do what a worker does for a check that ends well."""
        claim = self.jobs.claim(check, "checker", 60)
        assert claim is not None
        assert self.jobs.learn(check, claim.attempt, self.learnt(claim, *parts))

    def learnt(self, claim: Claim, *parts: bytes) -> Learnt:
        """What a check has found whose canonical files have these bytes; they are stored and settled here."""
        names = ("model.pt2", "tokenizer.json")
        facts, details = MODEL_FACTS, MODEL_DETAILS
        if isinstance(claim.inputs, Upload) and claim.inputs.resource == "dataset":
            names, facts, details = ("dataset.arrow", "dataset.json"), DATASET_FACTS, PREVIEW
        stored = [NewPart(name, *self.blob(data)) for name, data in zip(names, parts, strict=False)]
        for part in stored:
            self.blobs.settle(part.digest)
        return Learnt(facts, details, tuple(stored))

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
