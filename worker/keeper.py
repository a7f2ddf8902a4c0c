"""The checkpoint of a running job, taken out of its folder and kept where any worker finds it.

Nothing in the folder is trusted: see ``worker.results``. What a position names is never written again, so that files
that could be opened together are one checkpoint; one that is gone belongs to a checkpoint that has been replaced.
"""

import logging
import os
import time
from contextlib import ExitStack

from pydantic import ValidationError

from engine import position
from engine.jobdir import JobDir
from engine.position import Position
from pith.errors import PithError
from store.attempts import Claim
from store.blobs import Blobs
from store.checkpoints import Kept
from store.jobs import Jobs
from worker.pulse import Pulse
from worker.results import fault, opened, plain_file, small, store_open, store_text
from worker.step_keeper import StepKeeper

LOOK_SECONDS = 1.0
POSITION_BYTES = 16 << 20
_SHARE = 10
_log = logging.getLogger(__name__)


class Keeper:
    """Looks at most every LOOK_SECONDS, and spends no more than a tenth of the time on copies."""

    def __init__(self, jobs: Jobs, blobs: Blobs, claim: Claim, pulse: Pulse, folder: JobDir, steps: StepKeeper) -> None:
        self._steps = steps
        self._jobs, self._blobs, self._claim, self._pulse = jobs, blobs, claim, pulse
        self._folder = folder.checkpoint
        self._kept: dict[str, Kept] = {}
        self._seen = self._written()
        self._next = time.monotonic()

    def look(self) -> None:
        """Keep what is new, when it is time to."""
        started = time.monotonic()
        if started >= self._next:
            self.keep()
            ended = time.monotonic()
            self._next = ended + max(LOOK_SECONDS, _SHARE * (ended - started))

    def keep(self) -> None:
        """Keep what is new. Never raises for a folder or a store that does not let it: the last one stands then."""
        self._steps.keep()
        written = self._written()
        if written is None or written == self._seen:
            return
        try:
            files = self._stored()
            self._steps.keep()  # what the position counts as finished was there before it
            self._pulse.heard(self._jobs.keep(self._claim.job.id, self._claim.attempt, files, self._blobs))
            self._kept, self._seen = {file.name: file for file in files}, written
        except (PithError, OSError) as error:
            _log.warning("job %s: its checkpoint could not be kept yet: %s", self._claim.job.id, error)

    def _written(self) -> tuple[int, int] | None:
        """What tells one position from the next."""
        try:
            facts = os.lstat(self._folder / position.NAME)
        except OSError:
            return None
        return facts.st_ino, facts.st_mtime_ns

    def _stored(self) -> list[Kept]:
        """The files of one checkpoint, as blobs; those that the one before had are there already."""
        with opened(self._folder.parent) as out, opened(self._folder.name, out) as folder, ExitStack() as together:
            text = small(folder, position.NAME, POSITION_BYTES)
            try:
                names = Position.model_validate_json(text).files()
            except ValidationError as error:
                raise fault(f"a {position.NAME} that does not validate: {error.errors()[0]['msg']}") from None
            fresh = {name: together.enter_context(plain_file(folder, name)) for name in names if name not in self._kept}
            stored = {name: Kept(name, *store_open(file, self._blobs)) for name, file in fresh.items()}
        files = {**self._kept, **stored}
        return [*(files[name] for name in names), Kept(position.NAME, *store_text(text, self._blobs))]
