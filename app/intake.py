"""Bytes on their way from a connection into a blob, in constant memory.

They are gathered into batches; a thread hashes and writes one batch while the next one arrives.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pith.artifact import Digest
from pith.errors import PithError
from store.blob_writer import BlobWriter, Stored
from store.blobs import Blobs
from store.quotas import Room

BATCH_BYTES = 4 * 2**20


class Intake:
    def __init__(self, writer: BlobWriter, room: Room) -> None:
        self._writer = writer
        self._room = room
        self._batch: list[bytes] = []
        self._gathered = 0
        self._writing: asyncio.Future[None] | None = None
        self.received = 0

    async def feed(self, data: bytes) -> None:
        self.received += len(data)
        self._room.check(self.received)
        self._batch.append(data)
        self._gathered += len(data)
        if self._gathered >= BATCH_BYTES:
            await self._flush()

    async def finish(self, expected: Digest | None) -> Stored:
        """
        Raises:
            PithError: ``upload_empty``, ``digest_mismatch`` or ``storage_full``; nothing is stored then.
        """
        if not self.received:
            raise PithError("upload_empty")
        await self._flush()
        await self._written()
        return await asyncio.to_thread(self._writer.commit, expected)

    async def abort(self) -> None:
        with contextlib.suppress(PithError):
            await self._written()
        await asyncio.to_thread(self._writer.abort)

    async def _flush(self) -> None:
        await self._written()
        batch, self._batch, self._gathered = self._batch, [], 0
        self._writing = asyncio.ensure_future(asyncio.to_thread(self._write, batch))

    async def _written(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    def _write(self, batch: list[bytes]) -> None:
        self._writer.write(b"".join(batch))


@asynccontextmanager
async def intake(blobs: Blobs, room: Room) -> AsyncIterator[Intake]:
    """An intake whose bytes are forgotten unless it was finished."""
    one = Intake(await asyncio.to_thread(blobs.writer), room)
    try:
        yield one
    finally:
        await asyncio.shield(one.abort())
