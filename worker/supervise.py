"""One job, from its claim to its final status: stage, run, watch, take over the results, write how it ended."""

import logging
import signal
import time
from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from engine.jobdir import JobDir
from engine.position import DRAINED
from pith.errors import PithError, Problem
from pith.ids import JobId
from pith.job import JobKind, JobSpec
from store import logs, paths, traces
from store.attempts import Claim
from store.checks import Learnt
from store.inputs import Inputs, Upload
from worker import importing, learnt, metrics, oom, results, staging
from worker.footprint import Footprint
from worker.guard import LOG_NAME, last_lines
from worker.imports.patience import Unwanted
from worker.keeper import Keeper
from worker.pulse import Pulse
from worker.reporter import Reporter
from worker.sandbox import Policy
from worker.step_keeper import StepKeeper
from worker.warm_client import End
from worker.workplace import Workplace

POLL_SECONDS = 0.2
LEAVE_SECONDS = 5.0
SILENCE_SECONDS = 900.0
"""How long one round of the supervising loop may take: it copies checkpoints, which may be large."""
_LONGEST_PAUSE = 5.0
_LOG_LINES = 40
_log = logging.getLogger(__name__)

How = Literal["succeeded", "failed", "cancelled", "crashed", "given_back", "fenced"]


class Ending(NamedTuple):
    """How an attempt ends, and the call that writes it."""

    how: How
    write: Callable[[], bool]


def run(place: Workplace, id: JobId) -> None:
    """Do that job, if it is there to be claimed; a message that comes twice finds nothing to do."""
    try:
        claim = place.jobs.claim(id, place.name, place.settings.lease_seconds)
    except PithError as error:
        _log.warning("job %.80r could not be claimed: %s", id, error)
        return
    if claim is None:
        _log.info("job %.80r is not there to be claimed", id)
        return
    job = claim.job
    with (
        traces.attempt(job.id, kind_of(claim), claim.attempt, claim.traceparent),
        logs.bound(job=job.id, attempt=claim.attempt),
    ):
        _attempt(place, claim)


def kind_of(claim: Claim) -> JobKind:
    return "intake" if isinstance(claim.inputs, Upload) else "compression"


def _attempt(place: Workplace, claim: Claim) -> None:
    _log.info("job %s: attempt %d begins", claim.job.id, claim.attempt)
    with Pulse(place.jobs, claim, place.settings.lease_seconds, place.settings.heartbeat_seconds) as pulse:
        Attempt(place, claim, pulse).run()


class Attempt:
    """One attempt at one job. Its steps give back the call that writes how it ended, made once everything is tidy."""

    def __init__(self, place: Workplace, claim: Claim, pulse: Pulse) -> None:
        self.place = place
        self.claim = claim
        self.pulse = pulse
        self.folder = JobDir(paths.work(place.settings.data_dir, claim.job.id, claim.attempt))
        self.reporter = Reporter(place.jobs, claim, pulse, self.folder.events)
        self.footprint = Footprint(self.folder.out, place.options.job_disk_bytes)
        self.draining_until: float | None = None
        self.began = time.monotonic()

    def run(self) -> None:
        try:
            ending = self._outcome()
        finally:
            self.reporter.close()
            staging.clear(self.folder)
        self._insist(ending)

    def _outcome(self) -> Ending:
        try:
            self.claim = importing.fetched(self.place, self.claim, self.pulse)
            return self._patiently(self._stage) or self._interruption() or self._run_child()
        except Unwanted:
            return self._taken_away() or Ending("given_back", self._given_back)
        except PithError as error:
            return self._failed(error.problem)
        except Exception:
            reference = f"{self.claim.job.id}, attempt {self.claim.attempt}"
            _log.exception("%s", reference)
            return self._failed(PithError("internal", reference=reference).problem)

    def _stage(self) -> None:
        staging.stage(self.claim, self.place.blobs, self.folder, self.place.options, self.place.device)

    def _patiently(self, do: Callable[[], Ending | None]) -> Ending | None:
        """Do it again and again while the storage is away, as long as nothing else ends the attempt."""
        pause = 0.1
        while True:
            try:
                return do()
            except PithError as error:
                if error.code != "unavailable":
                    raise
                _log.warning("job %s waits: %s", self.claim.job.id, error)
            if (ending := self._interruption()) is not None:
                return ending
            time.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)

    def _run_child(self) -> Ending:
        kills = oom.kills()
        steps = StepKeeper(self.place.jobs, self.place.blobs, self.claim, self.pulse, self.folder)
        keeper = Keeper(self.place.jobs, self.place.blobs, self.claim, self.pulse, self.folder, steps)
        child = self.place.server.start(self._policy())
        try:
            deadline = time.monotonic() + self._time_limit()[1]
            while (end := child.wait(POLL_SECONDS)) is None:
                self.reporter.report()
                keeper.look()
                self.place.life.beat("job", SILENCE_SECONDS)
                if (ending := self._interruption() or self._overdue(deadline) or self._overflow()) is not None:
                    return ending
        finally:
            self.place.life.rest("job")
            child.kill()
            steps.keep()
        self.reporter.finish()
        if self.draining_until is not None and end.code in (None, DRAINED):
            keeper.keep()
            return self._taken_away() or Ending("given_back", self._given_back)
        return self._taken_away() or self._concluded(end, oom.kills() > kills)

    def _policy(self) -> Policy:
        options = self.place.options
        return Policy(
            job_dir=self.folder.root,
            confine=options.sandbox != "off",
            memory_bytes=options.job_memory_bytes,
            file_bytes=options.job_file_bytes,
            threads=options.threads,
            processes=options.job_processes if isinstance(self.claim.inputs, Inputs) else 1,
            gpu=staging.device_for(self.claim, self.place.device) == "gpu",
        )

    def _interruption(self) -> Ending | None:
        """What ends the attempt from outside, whatever the process does; one that is only to stop has some time to save
        a checkpoint."""
        if self.draining_until is None and (self.place.stopping.is_set() or self.pulse.verdict == "pausing"):
            self.folder.stop.touch()
            can = isinstance(self.claim.inputs, Inputs)
            self.draining_until = time.monotonic() + (self.place.options.drain_seconds if can else 0)
        late = self.draining_until is not None and time.monotonic() >= self.draining_until
        return self._taken_away() or (Ending("given_back", self._given_back) if late else None)

    def _given_back(self) -> bool:
        return self.place.jobs.give_back(self.claim.job.id, self.claim.attempt)

    def _taken_away(self) -> Ending | None:
        if self.pulse.verdict == "cancelling":
            return Ending("cancelled", partial(self.place.jobs.cancelled, self.claim.job.id, self.claim.attempt))
        return Ending("fenced", _nothing) if self.pulse.verdict == "fenced" else None

    def _overdue(self, deadline: float) -> Ending | None:
        if time.monotonic() < deadline:
            return None
        setting, limit = self._time_limit()
        if setting == "limits.seconds":
            limit += self.claim.job.spent_seconds
        return self._failed(PithError("engine_timeout", limit=f"{limit:g}", setting=setting).problem)

    def _overflow(self) -> Ending | None:
        if not self.footprint.too_large():
            return None
        return self._failed(PithError("out_of_disk", limit=self.place.options.job_disk_bytes).problem)

    def _time_limit(self) -> tuple[str, float]:
        """Of this attempt: the setting that holds it, and seconds."""
        options = self.place.options
        if isinstance(self.claim.inputs, Upload):
            return "PITH_INTAKE_TIME_SECONDS", options.intake_time_seconds
        job = self.claim.job
        if isinstance(job.spec, JobSpec) and job.spec.limits.seconds is not None:
            left = job.spec.limits.seconds - job.spent_seconds
            if left < options.job_time_seconds:
                return "limits.seconds", left
        return "PITH_JOB_TIME_SECONDS", options.job_time_seconds

    def _concluded(self, end: End, ran_out: bool) -> Ending:
        """What the end of the process means."""
        if end.code == 0:
            ending = self._patiently(self._taken_over)
            return self._taken_away() or ending or Ending("given_back", self._given_back)
        if end.code == 1:
            return self._failed(self._said_problem())
        last_words = self._log_output()
        if end.code is not None:
            return self._failed(results.fault(f"exit code {end.code} ({last_words})").problem)
        starved = ran_out and end.signal == signal.SIGKILL
        hint = ", probably out of memory" if starved else ""
        said = {"cause": _cause(end), "where": self.reporter.where(), "hint": hint}
        why = "The job's process ended by {cause} at {where}{hint}; it is tried again.".format(**said)
        return self._crashed(PithError("engine_died", **said).problem, why, starved)  # type: ignore[arg-type]

    def _said_problem(self) -> Problem:
        """Why the engine refused; what it printed on the way is the operator's only when the fault is the engine's."""
        problem = results.problem(self.folder)
        if problem.code == "engine_fault":
            self._log_output()
        return problem

    def _taken_over(self) -> Ending:
        """Store what the process has left; the call that makes it the job's."""
        inputs, blobs = self.claim.inputs, self.place.blobs
        if isinstance(inputs, Upload):
            return Ending("succeeded", partial(self._learn, learnt.collect(self.folder, inputs.resource, blobs)))
        return Ending("succeeded", partial(self._succeed, results.collect(self.folder, self.claim, blobs)))

    def _learn(self, found: Learnt) -> bool:
        written = self.place.jobs.learn(self.claim.job.id, self.claim.attempt, found)
        for part in found.parts if written else ():
            self.place.blobs.settle(part.digest)
        return written

    def _succeed(self, found: results.Results) -> bool:
        id, attempt = self.claim.job.id, self.claim.attempt
        written = self.place.jobs.succeed(id, attempt, found.artifacts, found.verdict, found.outcome)
        for artifact in found.artifacts if written else ():
            self.place.blobs.settle(artifact.digest)
        return written

    def _crashed(self, problem: Problem, why: str, starved: bool) -> Ending:
        """A job may have been killed for what others did; a check has most likely met a file that kills it."""
        if isinstance(self.claim.inputs, Upload):
            return self._failed(problem)
        jobs, id, attempt = self.place.jobs, self.claim.job.id, self.claim.attempt
        return Ending("crashed", partial(jobs.crashed, id, attempt, problem, why, starved))

    def _failed(self, problem: Problem) -> Ending:
        return Ending("failed", partial(self.place.jobs.fail, self.claim.job.id, self.claim.attempt, problem))

    def _log_output(self) -> str:
        """Tell the operator what the process printed last; returns its last line."""
        lines = last_lines(self.folder.root / LOG_NAME, _LOG_LINES)
        for line in lines:
            _log.warning("job %s: | %s", self.claim.job.id, line)
        return lines[-1] if lines else "it printed nothing"

    def _insist(self, ending: Ending) -> None:
        """Write how the job ended, again and again while the database is away; a worker that leaves gives up soon."""
        pause, patience = 0.1, LEAVE_SECONDS
        while self.pulse.verdict != "fenced" and patience > 0:
            try:
                self.reporter.flush()
                written = ending.write()
                _log.info("job %s: attempt %d ended: %s", self.claim.job.id, self.claim.attempt, _said(written))
                self._count(ending.how if written else "fenced")
                return
            except PithError as error:
                _log.warning("job %s: its end could not be written yet: %s", self.claim.job.id, error)
            time.sleep(pause)
            patience -= pause if self.place.stopping.is_set() else 0
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._count("fenced" if self.pulse.verdict == "fenced" else "given_back")

    def _count(self, how: How) -> None:
        """For whoever watches; the job's own history is written already."""
        kind, job = kind_of(self.claim), self.claim.job
        metrics.ATTEMPTS.labels(kind, how).inc()
        if how == "fenced":
            metrics.FENCED.inc()
        if how in ("succeeded", "failed", "cancelled"):
            seconds = job.spent_seconds + time.monotonic() - self.began
            metrics.JOB_SECONDS.labels(kind, how).observe(seconds)
        traces.ended(how, ok=how not in ("failed", "crashed"))


def _nothing() -> bool:
    """The job is another worker's now, and its to write."""
    return False


def _said(written: bool) -> str:
    return "written" if written else "nothing written, it is not this worker's any more"


def _cause(end: End) -> str:
    if end.signal is None:
        return "the loss of the process that it was forked from"
    names = {number.value: number.name for number in signal.Signals}
    return f"signal {end.signal} ({names.get(end.signal, 'unknown')})"
