"""What a source means: the files behind it, and the revision that it is just now."""

from dataclasses import dataclass

import httpx

from pith.errors import PithError
from pith.imports import scheme_of, shown
from store.reach import Reach
from store.settings import Settings
from worker.imports import hub, mlflow, s3
from worker.imports.fetch import Fetcher, File
from worker.outward import origin_of
from worker.settings import WorkerSettings


@dataclass(frozen=True)
class Meant:
    """Several files are packed into one archive. Without a ``revision`` it is the ETag of the one file."""

    files: tuple[File, ...]
    revision: str | None = None


def reach(source: str, options: WorkerSettings, settings: Settings) -> Reach:
    """Where the fetching of this source may lead: the operator's own servers only for what is theirs."""
    own = None
    match scheme_of(source):
        case "s3":
            own = s3.origin(settings)
        case "mlflow" | "models":
            own = options.mlflow_tracking_uri
        case "hf":
            own = options.hf_endpoint
    return Reach.of(options.import_hosts, settings.private_hosts, own and origin_of(httpx.URL(own)))


def find(source: str, options: WorkerSettings, settings: Settings, fetcher: Fetcher) -> Meant:
    """
    Raises:
        PithError: ``import_refused``, ``import_failed``, ``address_refused``.
    """
    match scheme_of(source):
        case "s3":
            return Meant((s3.file(source, options, settings),))
        case "mlflow" | "models":
            return Meant(
                *mlflow.find(source, _set(source, "PITH_MLFLOW_TRACKING_URI", options.mlflow_tracking_uri), fetcher)
            )
        case "hf":
            return Meant(*hub.find(source, _set(source, "PITH_HF_ENDPOINT", options.hf_endpoint), fetcher))
    return Meant((File("file", source),))


def _set(source: str, setting: str, value: str | None) -> str:
    if value is None:
        raise PithError(
            "import_refused", source=shown(source), reason=f"{setting} is not set", way_out="set it for the worker"
        )
    return value.rstrip("/")
