"""Uploads made of the real data in ``../shared``: texts, sounds, a table and pictures, as people would send them."""

import csv
import io
import json
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile

SHARED = Path(__file__).parents[2] / "shared" / "data"
ADULT = (
    *("age", "workclass", "fnlwgt", "education", "education_num", "marital_status", "occupation", "relationship"),
    *("race", "sex", "capital_gain", "capital_loss", "hours_per_week", "native_country", "income"),
)
TREC = {"train": "TREC.train.all", "test": "TREC.test.all"}
QUESTIONS = ("description", "entity", "abbreviation", "human", "location", "number")


def trec(path: Path, every: int = 1) -> Path:
    """Questions as JSON Lines with the published split; ``every`` n-th row is taken."""
    with path.open("w", encoding="utf-8") as file:
        for split, label, text in _labelled(
            SHARED / "trec", {"train": "TREC.train.all", "test": "TREC.test.all"}, every
        ):
            file.write(json.dumps({"question": text, "label": QUESTIONS[label], "split": split}) + "\n")
    return path


def sst2(path: Path, every: int = 1) -> Path:
    """Sentences as CSV, labelled by whether they praise."""
    names = {"train": "stsa.binary.train", "validation": "stsa.binary.dev", "test": "stsa.binary.test"}
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["sentence", "label", "split"])
        for split, label, text in _labelled(SHARED / "sst2", names, every):
            writer.writerow([text, label, split])
    return path


def adult(path: Path, every: int = 1) -> Path:
    """The census table as one CSV with its header; missing values are question marks."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*ADULT, "split"])
        for split in ("train", "test"):
            with (SHARED / "adult" / f"adult-{split}.csv").open() as rows:
                kept = (row for row in csv.reader(rows, skipinitialspace=True) if len(row) == len(ADULT))
                writer.writerows([*row[:-1], row[-1].rstrip("."), split] for row in list(kept)[::every])
    return path


def fsdd(path: Path, every: int = 1) -> Path:
    """Spoken digits as a tar of WAV files in a folder per split and digit; recordings 0 to 4 are the test split."""
    with np.load(SHARED / "fsdd" / "fsdd.npz") as data, tarfile.open(path, "w") as archive:
        pcm, offsets = data["pcm"], data["offsets"]
        for row in range(0, len(data["label"]), every):
            label, speaker, index = data["label"][row], data["speaker"][row], int(data["index"][row])
            buffer = io.BytesIO()
            soundfile.write(buffer, pcm[offsets[row] : offsets[row + 1]], 8000, "PCM_16", format="WAV")
            member = tarfile.TarInfo(f"fsdd/{'test' if index < 5 else 'train'}/{label}/{label}_{speaker}_{index}.wav")
            member.size = len(buffer.getvalue())
            archive.addfile(member, io.BytesIO(buffer.getvalue()))
    return path


def cifar(path: Path, every: int = 1, train_every: int | None = None) -> Path:
    """JPEG pictures as a zip of a folder per split and class; every n-th one, of the training split another n-th."""
    with zipfile.ZipFile(path, "w") as archive:
        for split, step in (("train", train_every or every), ("test", every)):
            with np.load(SHARED / "cifar10_jpeg" / f"{split}_jpeg.npz") as data:
                blob, offsets = data["blob"], data["offsets"]
                for row in range(0, len(data["y"]), step):
                    picture = blob[offsets[row] : offsets[row + 1]].tobytes()
                    archive.writestr(f"{split}/{data['y'][row]}/{row}.jpg", picture)
    return path


def _labelled(folder: Path, names: dict[str, str], every: int) -> Iterator[tuple[str, int, str]]:
    """Split, label and text of files whose lines are ``label text``."""
    for split, name in names.items():
        lines = (folder / name).read_text(encoding="latin-1").splitlines()
        for line in lines[::every]:
            label, _, text = line.partition(" ")
            yield split, int(label), text
