"""The typed client: every route of the service as a method that takes and gives the contract's classes.

    with Pith() as pith:
        model = pith.models.upload("model.pt2")
        job = pith.jobs.submit(JobSpec(model=model.id, recipe=(QuantizeDynamic(),)))
        print(pith.jobs.wait(job.id).verdict)

Synchronous. Every failure, the service's silence too, is a PithError.
"""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar
from urllib.parse import quote

from pith.errors import PithError
from pith.job_client import Jobs
from pith.recipe import Technique
from pith.resources import Dataset, Model, Page
from pith.transfer import Outgoing, Progress
from pith.wire import DEFAULT_URL, Wire, decode, query

T = TypeVar("T", Model, Dataset)


class Pith:
    """One service. Close it, or use it in a with statement."""

    def __init__(self, base_url: str = DEFAULT_URL) -> None:
        self._wire = Wire(base_url)
        self.models: Uploads[Model] = Uploads(self._wire, "models", Model)
        self.datasets: Uploads[Dataset] = Uploads(self._wire, "datasets", Dataset)
        self.jobs = Jobs(self._wire)

    def techniques(self) -> tuple[Technique, ...]:
        return decode(tuple[Technique, ...], self._wire.call("GET", "/v1/techniques"))

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> "Pith":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Uploads(Generic[T]):
    """What is uploaded: models, or datasets."""

    def __init__(self, wire: Wire, noun: str, kind: type[T]) -> None:
        self._wire = wire
        self._path = f"/v1/{noun}"
        self._kind: type[T] = kind
        self._page: type[Page[T]] = Page[kind]  # type: ignore[valid-type]

    def upload(self, path: Path | str, name: str | None = None, progress: Progress | None = None) -> T:
        """Send a file, in constant memory, under its own name or another.

        Raises:
            PithError: also ``digest_mismatch``, when what the service stored is not what was sent.
        """
        path = Path(path)
        outgoing = Outgoing(path, progress)
        try:
            response = self._wire.call(
                "PUT",
                self._path,
                params=query(name=name or path.name),
                content=outgoing.pieces(),
                headers={"Content-Length": str(outgoing.size), "Content-Type": "application/octet-stream"},
            )
        finally:
            outgoing.close()
        return self._checked(decode(self._kind, response), outgoing.digest)

    def get(self, id: str) -> T:
        return decode(self._kind, self._wire.call("GET", f"{self._path}/{quote(id, safe='')}"))

    def page(self, limit: int | None = None, cursor: str | None = None) -> Page[T]:
        response = self._wire.call("GET", self._path, params=query(limit=limit, cursor=cursor))
        return decode(self._page, response)

    def list(self) -> Iterator[T]:
        """All of them, newest first, page after page."""
        cursor: str | None = None
        while True:
            page = self.page(cursor=cursor)
            yield from page.data
            if (cursor := page.next_cursor) is None:
                return

    def delete(self, id: str) -> None:
        self._wire.call("DELETE", f"{self._path}/{quote(id, safe='')}")

    def _checked(self, stored: T, sent: str) -> T:
        if stored.digest != sent:
            self.delete(stored.id)
            raise PithError("digest_mismatch", actual=stored.digest, expected=sent)
        return stored
