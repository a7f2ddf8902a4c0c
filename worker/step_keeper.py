"""What finished steps have left in a job's folder, kept for jobs that go on from there.

Nothing in the folder is trusted: see ``worker.results``. The position of a step is written last and nothing is written
again, so a step whose position is there is whole.
"""

import logging
from contextlib import ExitStack

from pydantic import ValidationError

from engine import position
from engine.jobdir import JobDir
from engine.position import Position
from pith.errors import PithError
from pith.job import JobSpec
from store.attempts import Claim
from store.blobs import Blobs
from store.checkpoints import Kept
from store.jobs import Jobs
from worker.pulse import Pulse
from worker.results import fault, opened, plain_file, small, store_open, store_text

POSITION_BYTES = 16 << 20
_log = logging.getLogger(__name__)


class StepKeeper:
    """Of one attempt; does nothing where the spec does not ask for it."""

    def __init__(self, jobs: Jobs, blobs: Blobs, claim: Claim, pulse: Pulse, folder: JobDir) -> None:
        self._jobs, self._blobs, self._claim, self._pulse = jobs, blobs, claim, pulse
        self._folder = folder.steps
        spec = claim.job.spec
        self._wanted = list(range(len(spec.recipe))) if isinstance(spec, JobSpec) and spec.keep_steps else []

    def keep(self) -> None:
        """Keep what is new. Never raises for a folder or a store that does not let it: it is tried again then."""
        for step in list(self._wanted):
            if (self._folder / position.kept(step)).exists():
                try:
                    self._keep(step)
                    self._wanted.remove(step)
                except (PithError, OSError) as error:
                    _log.warning("job %s: step %d could not be kept: %s", self._claim.job.id, step, error)

    def _keep(self, step: int) -> None:
        with opened(self._folder.parent) as out, opened(self._folder.name, out) as folder, ExitStack() as together:
            text = small(folder, position.kept(step), POSITION_BYTES)
            _check(text, step)
            names = (f"graph-{step}.pt2", position.measured(step))
            files = {name: together.enter_context(plain_file(folder, name)) for name in names}
            kept = [Kept(name, *store_open(file, self._blobs)) for name, file in files.items()]
        kept.append(Kept(position.kept(step), *store_text(text, self._blobs)))
        job = self._claim.job.id
        self._pulse.heard(self._jobs.keep_step(job, self._claim.attempt, step, kept, self._blobs))


def _check(text: bytes, step: int) -> None:
    try:
        found = Position.model_validate_json(text)
    except ValidationError as error:
        raise fault(f"a {position.kept(step)} that does not validate: {error.errors()[0]['msg']}") from None
    if (found.step, found.phase, found.graph, found.training) != (step + 1, 0, f"graph-{step}.pt2", None):
        raise fault(f"a {position.kept(step)} that is about another place")
