"""The typed client: every route of the service as a method that takes and gives the contract's classes.

    with Pith() as pith:
        model = pith.models.ready(pith.models.upload("model.pt2").id)
        job = pith.jobs.submit(JobSpec(model=model.id, recipe=(QuantizeDynamic(),)))
        print(pith.jobs.wait(job.id).verdict)

Synchronous. Every failure, the service's silence too, is a PithError.
"""

import json
import secrets
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Generic, TypeVar
from urllib.parse import quote

import httpx

from pith import resuming
from pith.access import Me
from pith.access_client import Keys, Projects, Webhooks
from pith.dataset import DatasetSchema, Preview
from pith.errors import PithError
from pith.intake import Architecture
from pith.job_client import Jobs
from pith.recipe import Technique
from pith.resources import Dataset, Model, Page, ResourceStatus
from pith.tags import ResourceChange
from pith.transfer import Outgoing, Progress
from pith.wire import DEFAULT_URL, Wire, decode, keyed, query
from pith.worker import Worker

T = TypeVar("T", Model, Dataset)
G = TypeVar("G", Architecture, DatasetSchema)
RESUMABLE_BYTES = 16 << 20
LONGEST_WAIT = 30
"""Seconds that one request waits for a check; then another one does."""


class Pith:
    """One service, with a key where it asks for one. Close it, or use it in a with statement."""

    def __init__(self, base_url: str = DEFAULT_URL, key: str | None = None) -> None:
        self._wire = Wire(base_url, key)
        self.models: Uploads[Model, Architecture] = Uploads(self._wire, "models", Model)
        self.datasets: Uploads[Dataset, DatasetSchema] = Uploads(self._wire, "datasets", Dataset)
        self.jobs = Jobs(self._wire)
        self.keys = Keys(self._wire)
        self.projects = Projects(self._wire)
        self.webhooks = Webhooks(self._wire)

    def build(self, architecture: Architecture, name: str | None = None, key: str | None = None) -> Model:
        """A model without a file: a network by name, with fresh weights. ``key`` as in ``Uploads.upload``."""
        body = architecture.model_dump_json().encode()
        headers = {"Content-Type": "application/json", **keyed(key)}
        return decode(
            Model, self._wire.call("POST", "/v1/models", params=query(name=name), content=body, headers=headers)
        )

    def take(
        self,
        job: str,
        artifact: str | None = None,
        name: str | None = None,
        given: Architecture | None = None,
        key: str | None = None,
        tags: Sequence[str] = (),
    ) -> Model:
        """A job's artifact as a model of its own, without its bytes coming here; see ``pith.results.ModelOfJob``.
        ``key`` as in ``Uploads.upload``.

        Raises:
            PithError: ``not_found``, ``result_not_model``, ``quota_exceeded``.
        """
        said = {"job": job, "artifact": artifact, "name": name, **_document(given)}
        body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        headers = {"Content-Type": "application/json", **keyed(key)}
        params = {"tag": list(tags)}
        return decode(Model, self._wire.call("POST", "/v1/models", params=params, content=body, headers=headers))

    def preview(self, dataset: str) -> Preview:
        """Class counts and a few samples. Raises PithError ``not_ready`` unless the dataset is ready."""
        return decode(Preview, self._wire.call("GET", f"/v1/datasets/{quote(dataset, safe='')}/preview"))

    def techniques(self) -> tuple[Technique, ...]:
        return decode(tuple[Technique, ...], self._wire.call("GET", "/v1/techniques"))

    def me(self) -> Me:
        """Whom the service takes this client for, and what the project uses."""
        return decode(Me, self._wire.call("GET", "/v1/me"))

    def workers(self) -> tuple[Worker, ...]:
        """Those that have lately been seen."""
        return decode(tuple[Worker, ...], self._wire.call("GET", "/v1/workers"))

    def close(self) -> None:
        self._wire.close()

    def __enter__(self) -> "Pith":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


class Uploads(Generic[T, G]):
    """What is uploaded: models, or datasets. A worker checks it after the upload; ``ready`` waits for that."""

    def __init__(self, wire: Wire, noun: str, kind: type[T]) -> None:
        self._wire = wire
        self._path = f"/v1/{noun}"
        self._kind: type[T] = kind
        self._page: type[Page[T]] = Page[kind]  # type: ignore[valid-type]

    def upload(
        self,
        path: Path | str,
        name: str | None = None,
        progress: Progress | None = None,
        given: G | None = None,
        key: str | None = None,
        tags: Sequence[str] = (),
    ) -> T:
        """Send a file, in constant memory, under its own name or another; ``given`` is what it does not say itself.

        A large one goes on where it was when the connection breaks or the service is started again. ``key`` names this
        request: the same file sent again under it is the same resource, another file is refused. It goes in one piece.

        Raises:
            PithError: also ``digest_mismatch``, when what the service stored is not what was sent.
        """
        path = Path(path)
        outgoing = Outgoing(path, progress)
        said = {**query(name=name or path.name), **_said(given), **({"tag": list(tags)} if tags else {})}
        try:
            if key is not None:
                return self._checked(decode(self._kind, self._form(outgoing, said, key)), outgoing.digest)
            if outgoing.size >= RESUMABLE_BYTES:
                of = self._path.rpartition("/")[2].removesuffix("s")
                where = resuming.send(self._wire, outgoing, {**said, "of": of})
                return self._checked(decode(self._kind, self._wire.call("GET", where)), outgoing.whole_digest())
            response = self._wire.call(
                "PUT",
                self._path,
                params=said,
                content=outgoing.pieces(),
                headers={"Content-Length": str(outgoing.size), "Content-Type": "application/octet-stream"},
            )
        finally:
            outgoing.close()
        return self._checked(decode(self._kind, response), outgoing.digest)

    def import_(self, source: str, name: str | None = None, sha256: str | None = None, given: G | None = None) -> T:
        """Have the service fetch a file, a registered model or a repository; see ``pith.imports`` for the forms.

        ``given`` is what it does not say itself. What becomes of it shows in its check: ``ready`` waits for that.

        Raises:
            PithError: ``malformed_request`` for a source that is none.
        """
        said = {"source": source, "name": name, "sha256": sha256, **_document(given)}
        body = json.dumps({name: value for name, value in said.items() if value is not None}).encode()
        headers = {"Content-Type": "application/json"}
        return decode(self._kind, self._wire.call("POST", self._path, content=body, headers=headers))

    def get(self, id: str, wait: float | None = None) -> T:
        """``wait``: seconds to wait for the end of its check, 60 at most."""
        response = self._wire.call("GET", f"{self._path}/{quote(id, safe='')}", params=query(wait=wait))
        return decode(self._kind, response)

    def checked(self, id: str) -> T:
        """The same once its check has ended, however long that takes: ready or rejected."""
        while (found := self.get(id, LONGEST_WAIT)).status == "checking":
            continue
        return found

    def ready(self, id: str) -> T:
        """The same once it is ready. Raises PithError, the reason, when it is rejected."""
        found = self.checked(id)
        if found.error is not None:
            raise PithError.of(found.error)
        return found

    def check(self, id: str) -> T:
        """Have it checked again."""
        return decode(self._kind, self._wire.call("POST", f"{self._path}/{quote(id, safe='')}/check"))

    def change(self, id: str, name: str | None = None, tags: Sequence[str] | None = None) -> T:
        """What is left out stays; ``tags`` replaces all of them."""
        asked = ResourceChange(name=name, tags=None if tags is None else tuple(tags))
        body, headers = asked.model_dump_json().encode(), {"Content-Type": "application/json"}
        path = f"{self._path}/{quote(id, safe='')}"
        return decode(self._kind, self._wire.call("PATCH", path, content=body, headers=headers))

    def page(
        self,
        limit: int | None = None,
        cursor: str | None = None,
        status: ResourceStatus | None = None,
        tags: Sequence[str] = (),
    ) -> Page[T]:
        params = {**query(limit=limit, cursor=cursor, status=status), "tag": list(tags)}
        response = self._wire.call("GET", self._path, params=params)
        return decode(self._page, response)

    def list(self, status: ResourceStatus | None = None, tags: Sequence[str] = ()) -> Iterator[T]:
        """All of them, newest first, page after page."""
        cursor: str | None = None
        while True:
            page = self.page(cursor=cursor, status=status, tags=tags)
            yield from page.data
            if (cursor := page.next_cursor) is None:
                return

    def delete(self, id: str) -> None:
        self._wire.call("DELETE", f"{self._path}/{quote(id, safe='')}")

    def _form(self, outgoing: Outgoing, said: Mapping[str, str | Sequence[str]], key: str) -> httpx.Response:
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="file"\r\n\r\n'.encode()
        tail = f"\r\n--{boundary}--\r\n".encode()
        return self._wire.call(
            "POST",
            self._path,
            params=said,
            content=chain((head,), outgoing.pieces(), (tail,)),
            headers={
                "Content-Length": str(len(head) + outgoing.size + len(tail)),
                "Content-Type": f"multipart/form-data; boundary={boundary}",
                **keyed(key),
            },
        )

    def _checked(self, stored: T, sent: str) -> T:
        if stored.digest != sent:
            self.delete(stored.id)
            raise PithError("digest_mismatch", actual=stored.digest, expected=sent)
        return stored


def _document(given: Architecture | DatasetSchema | None) -> Mapping[str, object]:
    """As a part of a JSON body."""
    if given is None:
        return {}
    document = given.model_dump(mode="json", exclude_defaults=True)
    return {"schema" if isinstance(given, DatasetSchema) else "architecture": document}


def _said(given: Architecture | DatasetSchema | None) -> Mapping[str, str]:
    """As query parameters, which hold some 60 kB."""
    if given is None:
        return {}
    if isinstance(given, DatasetSchema):
        return {"schema": given.model_dump_json(exclude_defaults=True)}
    shape = None if given.input_shape is None else ",".join(map(str, given.input_shape))
    arguments = json.dumps(given.arguments) if given.arguments else None
    return query(architecture=given.name, arguments=arguments, input_shape=shape, seed=given.seed or None)
