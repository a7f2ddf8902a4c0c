"""Uploads in parts, whichever way they are spoken of: tus 1.0, the IETF's resumable uploads, PUT with Content-Range.

Here is what these have in common: where the bytes go, how many there may be, and that they are kept when the rest does
not come. What a request says in which headers is in ``app.dialects``.
"""

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import Any

from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from app.intake import BATCH_BYTES
from app.settings import ApiSettings
from pith.errors import PithError
from pith.resources import Dataset, Model, Upload
from store.partial import PartialFile
from store.uploads import Uploads

BUSY_SECONDS = 5.0
GIVE_SECONDS = 0.5
"""What came over a slow line is written at least so often."""
_LOOK_SECONDS = 0.05


@dataclass(frozen=True)
class Checksum:
    """Of the bytes of one request: they are kept only if they have it."""

    algorithm: str
    expected: bytes

    def check(self, actual: bytes) -> None:
        """Raises PithError ``upload_checksum_mismatch``."""
        if actual != self.expected:
            wanted = self.expected.hex()
            raise PithError("upload_checksum_mismatch", algorithm=self.algorithm, actual=actual.hex(), expected=wanted)


@dataclass(frozen=True)
class Part:
    """What one request brings. ``offset`` None begins anew; ``length`` is that of the whole upload, if it says so, and
    ``last`` that nothing comes after."""

    offset: int | None
    length: int | None = None
    last: bool = False
    checksum: Checksum | None = None


class Receiver:
    """Takes the parts. A request for an upload ends the one before it, whose client has most likely gone away."""

    def __init__(self, uploads: Uploads, settings: ApiSettings, completed: Callable[[Model | Dataset], object]) -> None:
        self._uploads = uploads
        self._settings = settings
        self._completed = completed
        self._writing: dict[str, asyncio.Event] = {}

    def within(self, uploads: Uploads) -> "Receiver":
        """The same for these uploads alone, which are those of one project."""
        one = copy(self)
        one._uploads = uploads
        return one

    async def take(self, request: Request, id: str, part: Part) -> tuple[Upload, Model | Dataset | None]:
        """The upload after this part, and what it has become if that was the last one.

        Raises:
            PithError: any ``upload_…`` code, ``digest_mismatch``, ``storage_full``, ``not_found``.
        """
        most = (await run_in_threadpool(self._uploads.room, self._settings.max_upload_bytes)).file_bytes
        async with self._alone(id) as (file, stop):
            upload = await run_in_threadpool(self._uploads.get, id)
            if file is None or file.named:
                _refuse_more(request, upload, part)
            if file is not None and not file.named:
                upload = await self._told_length(request, upload, part, most)
                batches = _batches(request, self._settings.upload_idle_seconds, stop)
                await self._write(batches, upload, file, part, most)
                upload = await run_in_threadpool(self._settled, upload, file, part)
            made = await self._finished(upload, file)
            return upload if made is None else await run_in_threadpool(self._uploads.get, id), made

    async def look(self, id: str, resuming: bool) -> Upload:
        """As it stands. One that is whole becomes what it should, if a process died before it could.

        Who is ``resuming`` ends the request that is still being waited for, so that the offset stays as it is.
        """
        upload = await run_in_threadpool(self._uploads.get, id)
        complete, whole = upload.model or upload.dataset, upload.offset == upload.length
        if complete or not (resuming or whole):
            return upload
        async with self._alone(id) as (file, _):
            upload = await run_in_threadpool(self._uploads.get, id)
            if upload.offset == upload.length and upload.offset:
                await self._finished(upload, file)
            return await run_in_threadpool(self._uploads.get, id)

    async def forget(self, id: str) -> None:
        """Raises PithError ``not_found``."""
        async with self._alone(id):
            await run_in_threadpool(self._uploads.delete, id)

    async def _finished(self, upload: Upload, file: PartialFile | None) -> Model | Dataset | None:
        if file is None:
            return await run_in_threadpool(self._uploads.resource, upload)
        if upload.length != file.offset:
            return None
        if not file.offset:
            raise PithError("upload_empty")
        return await run_in_threadpool(self._complete, upload.id, file)

    def _complete(self, id: str, file: PartialFile) -> Model | Dataset:
        made = self._uploads.complete(id, file)
        self._completed(made)
        return made

    async def _told_length(self, request: Request, upload: Upload, part: Part, most: int) -> Upload:
        """The upload with what this part says of its length; the part begins where it must, and is not too long."""
        if part.offset is not None and part.offset != upload.offset:
            raise PithError("upload_offset_mismatch", offset=upload.offset, given=part.offset)
        announced, start = request.headers.get("content-length", ""), part.offset or 0
        end = start + int(announced[:30]) if announced.isdecimal() else start
        length = end if part.last and announced else part.length
        if max(end, length or 0) > most:
            raise PithError("upload_too_large", limit=most)
        if upload.length is None and length is not None and length < start:
            raise PithError("upload_too_long", length=length)
        if length is not None:
            upload = await run_in_threadpool(self._uploads.set_length, upload.id, length)
        if upload.length is not None and end > upload.length:
            raise PithError("upload_too_long", length=upload.length)
        return upload

    async def _write(
        self, batches: AsyncIterator[bytes], upload: Upload, file: PartialFile, part: Part, most: int
    ) -> None:
        """The body, as far as it comes; what came is kept, unless a checksum says that it is wrong. A thread writes one
        batch while the next one arrives."""
        if part.offset is None:
            await run_in_threadpool(file.back_to, 0)
        begun, seen = file.offset, None if part.checksum is None else hashlib.new(part.checksum.algorithm)
        most = most if upload.length is None else upload.length
        writing: asyncio.Future[None] | None = None
        right, touched = part.checksum is None, time.monotonic()
        try:
            async for batch in batches:
                if writing is not None:
                    await writing
                end = file.offset + len(batch)
                writing = asyncio.ensure_future(asyncio.to_thread(_write, file, batch[: most - file.offset], seen))
                if time.monotonic() > touched + self._uploads.expire_seconds / 4:  # it would expire while it arrives
                    await run_in_threadpool(self._uploads.touch, upload.id)
                    touched = time.monotonic()
                if end > most and upload.length is None:
                    raise PithError("upload_too_large", limit=most)
                if end > most:
                    raise PithError("upload_too_long", length=most)
            if writing is not None:
                await writing
            if part.checksum is not None and seen is not None:
                part.checksum.check(seen.digest())
                right = True
        finally:
            if writing is not None:
                await asyncio.gather(writing, return_exceptions=True)
            if not right:
                await run_in_threadpool(file.back_to, begun)
            await run_in_threadpool(file.sync)

    def _settled(self, upload: Upload, file: PartialFile, part: Part) -> Upload:
        """The upload's row after a part that came whole."""
        if part.last:  # refused where more was promised before
            self._uploads.set_length(upload.id, file.offset)
        return self._uploads.touch(upload.id)

    @asynccontextmanager
    async def _alone(self, id: str) -> AsyncIterator[tuple[PartialFile | None, asyncio.Event]]:
        """The upload's file, with nobody else writing to it, and what tells to stop; no file when it is complete.

        Raises:
            PithError: ``not_found``; ``upload_busy`` when another process does not let it go.
        """
        await run_in_threadpool(self._uploads.get, id)
        if (other := self._writing.get(id)) is not None:
            other.set()
        stop = self._writing[id] = asyncio.Event()
        file = None
        try:
            file = await self._opened(id)
            yield file, stop
        finally:
            if file is not None:
                await asyncio.shield(asyncio.to_thread(file.close))
            if self._writing.get(id) is stop:
                del self._writing[id]

    async def _opened(self, id: str) -> PartialFile | None:
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            try:
                file = await run_in_threadpool(self._uploads.partials.open, id)
            except FileNotFoundError:
                return None
            if file is not None:
                return file
            if time.monotonic() > deadline:
                raise PithError("upload_busy", id=id)
            await asyncio.sleep(_LOOK_SECONDS)


def _refuse_more(request: Request, upload: Upload, part: Part) -> None:
    """All bytes are there: only a request that was sent again for want of an answer, and brings none, is answered."""
    if request.headers.get("content-length") != "0" and part.offset != upload.length:
        raise PithError("upload_complete", id=upload.id, became=upload.model or upload.dataset or "a model or dataset")


def _write(file: PartialFile, data: bytes, seen: Any) -> None:
    file.write(data)
    if seen is not None:
        seen.update(data)


async def _batches(request: Request, idle: float, stop: asyncio.Event) -> AsyncIterator[bytes]:
    """The body in large pieces, and an empty one when nothing comes. What has come is given out before it is said that
    no more does.

    Raises:
        PithError: ``upload_interrupted``.
    """
    batch: list[bytes] = []
    size, received, why = 0, 0, ""
    heard = given = time.monotonic()
    stream, asked = request.stream(), asyncio.ensure_future(stop.wait())
    coming: asyncio.Future[bytes] | None = None
    try:
        while not why:
            coming = coming or asyncio.ensure_future(anext(stream, _END))
            either: set[asyncio.Future[Any]] = {asked, coming}
            await asyncio.wait(either, timeout=min(GIVE_SECONDS, idle), return_when=asyncio.FIRST_COMPLETED)
            now = time.monotonic()
            if coming.done():
                if (piece := _heard(coming)) is _END:
                    break
                coming, heard = None, now
                if piece is None:
                    why = "the connection was closed"
                else:
                    batch.append(piece)
                    size, received = size + len(piece), received + len(piece)
            elif asked.done():
                why = "another request took the upload over, or ended it"
            elif now >= heard + idle:
                why = f"nothing came for {idle:g} seconds"
            if size >= BATCH_BYTES or now >= given + GIVE_SECONDS:
                yield b"".join(batch)
                batch, size, given = [], 0, now
        if batch:
            yield b"".join(batch)
    finally:
        asked.cancel()
        if coming is not None:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)
    if why:
        raise PithError("upload_interrupted", received=received, reason=why)


_END = b"the end"


def _heard(coming: asyncio.Future[bytes]) -> bytes | None:
    """None when the client is gone."""
    try:
        return coming.result()
    except ClientDisconnect:
        return None
