"""The first part of the check of an import: what it is to look at is fetched, stored, and named in one fenced write."""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

from pith.errors import PithError
from pith.imports import shown
from pith.intake import IntakeSpec
from pith.job import EngineEvent, EventType, Progress
from store.attempts import Claim
from store.blob_writer import BlobWriter, Stored
from store.imports import Fetched, Wanted
from store.inputs import Upload
from worker.imports import pack, sources
from worker.imports.fetch import FIRST_PAUSE, Anew, Fetcher
from worker.imports.patience import Patience, Unwanted
from worker.outward import Outward
from worker.pulse import Pulse
from worker.results import plain_text
from worker.workplace import Workplace

TELL_SECONDS = 1.0
MOST_TIMES = 4
"""How often all is fetched from the beginning."""
Tell = Callable[[int, int | None], None]
_log = logging.getLogger(__name__)


def fetched(place: Workplace, claim: Claim, pulse: Pulse) -> Claim:
    """The claim, with the bytes that it works on there.

    Raises:
        PithError: why they are not to be had.
        Unwanted: the job is not this worker's any more, or the worker is to stop.
    """
    upload = claim.inputs
    if not isinstance(upload, Upload) or upload.wanted is None:
        return claim
    found = _Importer(place, claim, pulse, upload.wanted).run()
    return replace(claim, inputs=replace(upload, digest=found.digest, wanted=None))


class _Importer:
    def __init__(self, place: Workplace, claim: Claim, pulse: Pulse, wanted: Wanted) -> None:
        self._place, self._claim, self._pulse, self._wanted = place, claim, pulse, wanted
        checked = claim.job.spec.check if isinstance(claim.job.spec, IntakeSpec) else ""
        self._again = f"/v1/{'models' if checked.startswith('mdl_') else 'datasets'}/{checked}/check"
        self._patience = Patience(self._unwanted, place.options.import_time_seconds)
        self._told_at = self._began = time.monotonic()

    def run(self) -> Fetched:
        reach = sources.reach(self._wanted.source, self._place.options, self._place.settings)
        with Outward(reach, watch=self._patience) as outward:
            fetcher = Fetcher(outward, self._patience, self._warn, self._again)
            for turn in range(1, MOST_TIMES + 1):
                try:
                    found = self._stored(fetcher)
                    break
                except Anew as why:
                    if turn == MOST_TIMES:
                        source = shown(self._wanted.source)
                        raise PithError(
                            "import_failed", host=source, reason=f"{why}, {turn} times", again=self._again
                        ) from why
                    self._warn(f"All is fetched again: {why}.")
                    self._patience.pause(FIRST_PAUSE * 2**turn)
        self._name(found)
        return found

    def _stored(self, fetcher: Fetcher) -> Fetched:
        """Everything that the source means, as one blob that is pinned."""
        meant = sources.find(self._wanted.source, self._place.options, self._place.settings, fetcher)
        writer = self._place.blobs.writer()
        try:
            sink = _Counted(writer, self._place.options.max_upload_bytes, self._tell)
            tag = self._take(fetcher, meant, sink)
            if not sink.done:
                raise PithError("upload_empty")
            stored: Stored = writer.commit(self._wanted.expected)
            return Fetched(stored.digest, stored.size, meant.revision or (tag and plain_text(tag, 200)))
        finally:
            writer.abort()

    def _take(self, fetcher: Fetcher, meant: sources.Meant, sink: "_Counted") -> str | None:
        if len(meant.files) == 1:
            return fetcher.fetch(meant.files[0], sink)
        sink.expect(pack.packed_size(meant.files))
        for file in meant.files:
            size = file.size or 0
            sink.write(pack.head(file.name, size))
            member = pack.Member(sink)
            fetcher.fetch(file, member)
            if member.size != size:
                raise Anew(f"{file.name} has {member.size:,} bytes, and its listing says {size:,}")
            sink.write(pack.tail(size))
        sink.write(pack.END)
        return None

    def _name(self, found: Fetched) -> None:
        """However long the database is away. Raises PithError ``quota_exceeded``."""
        while True:
            self._patience()
            try:
                written = self._place.jobs.fetched(self._claim.job.id, self._claim.attempt, found, self._place.blobs)
                break
            except PithError as error:
                if error.code == "quota_exceeded":
                    raise
                _log.warning("job %s: what was fetched could not be named yet: %s", self._claim.job.id, error)
                self._patience.pause(FIRST_PAUSE)
        if not written:
            raise Unwanted

    def _unwanted(self) -> bool:
        return self._place.stopping.is_set() or self._pulse.verdict != "running"

    def _tell(self, done: int, total: int | None) -> None:
        """Once a second at first, later seldom."""
        now = time.monotonic()
        if now - self._told_at >= max(TELL_SECONDS, (now - self._began) / 1000):
            self._told_at = now
            of = "" if total is None else f" of {total:,}"
            self._record("progress", f"{done:,}{of} bytes are fetched", {"bytes": done, "of": total})

    def _warn(self, message: str) -> None:
        _log.info("job %s: %s", self._claim.job.id, message)
        self._record("warning", message, {})

    def _record(self, kind: EventType, message: str, data: dict[str, int | None]) -> None:
        event = EngineEvent(at=datetime.now(UTC), type=kind, message=message, data=data)
        progress = Progress(message=message) if kind == "progress" else None
        try:
            self._pulse.heard(self._place.jobs.record(self._claim.job.id, self._claim.attempt, [event], progress))
        except PithError as error:
            _log.warning("job %s: its progress could not be recorded: %s", self._claim.job.id, error)


class _Counted:
    """A blob on its way, with a limit; ``tell`` hears how far it is."""

    def __init__(self, writer: BlobWriter, limit: int, tell: Tell) -> None:
        self.done = 0
        self._total: int | None = None
        self._writer, self._limit, self._tell = writer, limit, tell

    def expect(self, size: int) -> None:
        self._check(size)
        self._total = size

    def write(self, data: bytes) -> None:
        self._check(self.done + len(data))
        self._writer.write(data)
        self.done += len(data)
        self._tell(self.done, self._total)

    def _check(self, size: int) -> None:
        if size > self._limit:
            raise PithError("upload_too_large", limit=self._limit)
