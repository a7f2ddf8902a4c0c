"""The client's jobs: submit, watch, wait, and fetch what came of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from pydantic import ValidationError

from pith.artifact import Artifact
from pith.errors import PithError
from pith.fork import ForkSpec
from pith.job import FINAL, Event, Job, JobKind, JobSpec, JobStatus
from pith.patience import RETRY_SECONDS, Patience, patiently
from pith.plan import Plan
from pith.report import Report
from pith.resources import Page
from pith.sse import Message, messages
from pith.tags import JobChange
from pith.transfer import Progress, receive, target
from pith.wire import STREAM_TIMEOUT, Wire, decode, keyed, query


class Jobs:
    """The jobs of one service."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def submit(self, spec: JobSpec, key: str | None = None, tags: Sequence[str] = ()) -> Job:
        """``key`` names this request: sent again under it, it queues nothing new."""
        headers = {"Content-Type": "application/json", **keyed(key)}
        return decode(
            Job,
            self._wire.call(
                "POST",
                "/v1/jobs",
                params={"tag": list(tags)},
                content=spec.model_dump_json().encode(),
                headers=headers,
            ),
        )

    def plan(self, spec: JobSpec) -> Plan:
        """What a job would do, or everything that keeps it from running. Nothing is stored."""
        body, headers = spec.model_dump_json().encode(), {"Content-Type": "application/json"}
        return decode(Plan, self._wire.call("POST", "/v1/jobs?dry_run=true", content=body, headers=headers))

    def get(self, id: str) -> Job:
        return decode(Job, self._wire.call("GET", _path(id)))

    def url(self, id: str) -> str:
        """The web address of a job."""
        return self._wire.base_url + _path(id)

    def page(
        self,
        limit: int | None = None,
        cursor: str | None = None,
        status: JobStatus | None = None,
        kind: JobKind | Literal["all"] | None = None,
        naming: str | None = None,
        tags: Sequence[str] = (),
    ) -> Page[Job]:
        """``kind``: compression if it is left out; intake are the checks of uploads. ``naming`` a model or dataset;
        with all of these ``tags``."""
        params = {**query(limit=limit, cursor=cursor, status=status, kind=kind, naming=naming), "tag": list(tags)}
        return decode(Page[Job], self._wire.call("GET", "/v1/jobs", params=params))

    def list(
        self,
        status: JobStatus | None = None,
        kind: JobKind | Literal["all"] | None = None,
        naming: str | None = None,
        tags: Sequence[str] = (),
    ) -> Iterator[Job]:
        """All of them, newest first, page after page."""
        cursor: str | None = None
        while True:
            page = self.page(cursor=cursor, status=status, kind=kind, naming=naming, tags=tags)
            yield from page.data
            if (cursor := page.next_cursor) is None:
                return

    def change(self, id: str, tags: Sequence[str]) -> Job:
        """Give it these tags in the place of its own."""
        body = JobChange(tags=tuple(tags)).model_dump_json().encode()
        headers = {"Content-Type": "application/json"}
        return decode(Job, self._wire.call("PATCH", _path(id), content=body, headers=headers))

    def cancel(self, id: str) -> Job:
        return decode(Job, self._wire.call("POST", _path(id, "cancel")))

    def pause(self, id: str) -> Job:
        """``pausing`` until its worker has kept a checkpoint, then ``paused``."""
        return decode(Job, self._wire.call("POST", _path(id, "pause")))

    def resume(self, id: str) -> Job:
        """Queue a paused job again, from its checkpoint."""
        return decode(Job, self._wire.call("POST", _path(id, "resume")))

    def replay(self, id: str, key: str | None = None) -> Job:
        """The same spec again, as a new job whose report compares the two. ``key`` as in ``submit``."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return decode(Job, self._wire.call("POST", _path(id, "replay"), headers=headers))

    def fork(self, id: str, asked: ForkSpec, key: str | None = None) -> Job:
        """A new job from one of its steps on. Raises PithError ``step_not_kept`` unless the old one keeps its steps."""
        headers = {"Content-Type": "application/json", **({} if key is None else {"Idempotency-Key": key})}
        body = asked.model_dump_json(exclude_none=True).encode()
        return decode(Job, self._wire.call("POST", _path(id, "fork"), content=body, headers=headers))

    def delete(self, id: str) -> None:
        """With all that it made. Raises PithError ``job_not_ended``."""
        self._wire.call("DELETE", _path(id))

    def events(self, id: str, after: int = 0) -> Iterator[Event]:
        """A job's history from ``after`` on, live, until the job has ended.

        A connection that breaks is made again from the last event, so that none is missed or repeated.

        Raises:
            PithError: also when the service stays away for a minute.
        """
        patience = Patience()
        while True:
            try:
                for event in self._stream(id, after, patience):
                    after = event.seq
                    yield event
                    if event.type in FINAL:
                        return
                if self.get(id).status in FINAL and not self._has_more(id, after):
                    return
            except PithError as error:
                patience.spend(error)
            time.sleep(RETRY_SECONDS)

    def wait(self, id: str, on_event: Callable[[Event], None] | None = None) -> Job:
        """The job once it has ended."""
        for event in self.events(id):
            if on_event:
                on_event(event)
        return patiently(lambda: self.get(id))

    def report(self, id: str) -> Report:
        return decode(Report, self._wire.call("GET", _path(id, "report"), headers={"Accept": "application/json"}))

    def report_html(self, id: str) -> bytes:
        """The report as a page that needs nothing else."""
        return self._wire.call("GET", _path(id, "report"), headers={"Accept": "text/html"}).content

    def report_markdown(self, id: str) -> str:
        """The report as Markdown, for a pull request."""
        return self._wire.call("GET", _path(id, "report"), headers={"Accept": "text/markdown"}).text

    def artifacts(self, id: str) -> tuple[Artifact, ...]:
        return decode(Page[Artifact], self._wire.call("GET", _path(id, "artifacts"))).data

    def download(self, artifact: Artifact, to: Path | str, progress: Progress | None = None) -> Path:
        """Fetch an artifact into a folder or to a path, where it appears whole and verified or not at all."""
        path = target(Path(to), artifact.name)
        with self._wire.stream("GET", _path(artifact.job, "artifacts", artifact.name)) as response:
            return receive(
                self._wire.read(response),
                path,
                name=artifact.name,
                digest=artifact.digest,
                total=artifact.size_bytes,
                progress=progress,
            )

    def _stream(self, id: str, after: int, patience: Patience) -> Iterator[Event]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        with self._wire.stream("GET", _path(id, "events"), headers=headers, timeout=STREAM_TIMEOUT) as response:
            patience.restore()
            for message in messages(self._wire.read(response)):
                yield _event(message, str(response.url))

    def _has_more(self, id: str, after: int) -> bool:
        params = query(after=after, limit=1)
        return bool(decode(Page[Event], self._wire.call("GET", _path(id, "events"), params=params)).data)


def _path(id: str, *rest: str) -> str:
    return "/".join(["/v1/jobs", *(quote(part, safe="") for part in (id, *rest))])


def _event(message: Message, url: str) -> Event:
    try:
        return Event.model_validate_json(message.data)
    except ValidationError as fault:
        raise PithError("not_pith", url=url, status=200, found=f"the event {message.data[:80]!r}") from fault
