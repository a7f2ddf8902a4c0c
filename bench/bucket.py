"""(h) Upload of 256 MiB into a bucket through the driver of blobs, against boto3's ``upload_file`` of the same file.

The server is OpenStack Swift on this machine, which is what both mostly wait for.
"""

import os
import statistics
import tempfile
import time
from pathlib import Path

from store.blobs import open_blobs
from store.database import Database
from store.settings import Settings
from tests.store.swift_process import SwiftProcess

SIZE = 256 << 20
PIECE = 4 << 20
ROUNDS = 3


def measure() -> dict[str, float]:
    server = SwiftProcess()
    try:
        with tempfile.TemporaryDirectory() as name:
            return _measured(server, Path(name))
    finally:
        server.close()


def _measured(server: SwiftProcess, folder: Path) -> dict[str, float]:
    bucket, source = server.create_bucket(), folder / "source"
    source.write_bytes(b"".join(os.urandom(PIECE) for _ in range(SIZE // PIECE)))
    db = Database(f"sqlite:///{folder}/pith.db")
    db.migrate()
    blobs = open_blobs(Settings.model_validate({"data_dir": folder, **server.settings(bucket)}), db)
    client = server.client()
    rounds = []
    for number in range(ROUNDS):
        with source.open("r+b") as file:
            file.write(number.to_bytes(8, "big"))
        started = time.perf_counter()
        blobs.put_file(source)
        stored = time.perf_counter()
        client.upload_file(str(source), bucket, f"peer-{number}")
        rounds.append((stored - started, time.perf_counter() - stored))
    db.close()
    ours, peer = (SIZE / 1e6 / statistics.median(column) for column in zip(*rounds, strict=True))
    return {"ours": ours, "peer": peer, "ratio": statistics.median(peer / ours for ours, peer in rounds)}
