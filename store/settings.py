"""The settings that every process shares, from the environment (PITH_…). Not the API's or the worker's own."""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from pith.errors import PithError
from store import paths

_BUCKET = re.compile(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[\w.=/-]{0,512})?", re.ASCII)
_ENDPOINT = re.compile(r"https?://([\w.-]+|\[[0-9a-fA-F:.]+\])(:\d+)?/?", re.ASCII)


def _absolute(path: Path) -> Path:
    return path.expanduser().absolute()


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _a_database(url: str) -> str:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ValueError("is no database URL; write sqlite:///FILE or postgresql://USER:PASSWORD@HOST/NAME") from None
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise ValueError(f"names the database {kind!r}, and only sqlite and postgresql are served")
    if kind == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("names no file, and several processes must share the database; write sqlite:///FILE")
    return url


def _a_queue(url: str | None) -> str | None:
    schemes = ("redis", "rediss", "redis+socket", "filesystem")
    scheme = "" if url is None else url.partition("://")[0]
    if url is not None and scheme not in schemes:
        raise ValueError(f"has the scheme {scheme!r}; it takes {', '.join(schemes)}")
    return url


def _a_place_for_blobs(url: str) -> str:
    scheme = url.partition(":")[0]
    if scheme == "s3" and not _BUCKET.fullmatch(url):
        raise ValueError("names no bucket; write s3://BUCKET or s3://BUCKET/PREFIX")
    if scheme != "s3" and not url.startswith("file:///"):
        raise ValueError(f"has the scheme {scheme!r}; write file:///FOLDER or s3://BUCKET/PREFIX")
    return url


def _an_endpoint(url: str | None) -> str | None:
    if url is not None and not _ENDPOINT.fullmatch(url):
        raise ValueError("is no address of a server; write https://HOST or http://HOST:PORT")
    return url


def _database_in(data: dict[str, Any]) -> str:
    return f"sqlite:///{paths.database(data['data_dir'])}" if "data_dir" in data else ""


def _blobs_in(data: dict[str, Any]) -> str:
    return f"file://{paths.blobs(data['data_dir'])}" if "data_dir" in data else ""


def refusal(error: PithError | ValidationError) -> str:
    """One sentence for each setting that is wrong."""
    if isinstance(error, PithError):
        return error.problem.detail
    wrong = error.errors(include_url=False, include_input=False)
    return "\n".join(f"PITH_{'.'.join(map(str, one['loc'])).upper()}: {one['msg']}." for one in wrong)


def words(value: object) -> object:
    """Those of a list with commas, each once."""
    if not isinstance(value, str):
        return value
    return tuple(dict.fromkeys(word.strip() for word in value.split(",") if word.strip()))


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(words)]


class Settings(BaseSettings):
    """Read once by each process: ``Settings()``. Refuses to be made from values that cannot work."""

    # The input of a wrong setting is never repeated: a URL may hold a password.
    model_config = SettingsConfigDict(
        env_prefix="PITH_", frozen=True, extra="ignore", validate_default=True, hide_input_in_errors=True
    )

    data_dir: Annotated[Path, AfterValidator(_absolute)] = Field(
        Path(".data"), description="Folder of everything that is kept."
    )
    database_url: Annotated[str, AfterValidator(_a_database)] = Field(
        default_factory=_database_in, description="sqlite:///FILE (default: in data_dir) or postgresql://…"
    )
    redis_url: Annotated[str | None, AfterValidator(_a_queue)] = Field(
        None, description="redis://…, rediss://…, redis+socket:///PATH, or filesystem:///FOLDER on one machine."
    )
    blob_url: Annotated[str, AfterValidator(_a_place_for_blobs)] = Field(
        default_factory=_blobs_in, description="file:///FOLDER (default: in data_dir) or s3://BUCKET/PREFIX."
    )
    s3_endpoint_url: Annotated[str | None, AfterValidator(_an_endpoint)] = Field(
        None, description="Address of the S3 server, where it is not Amazon's: https://HOST."
    )
    s3_region: str | None = Field(None, description="Region of the bucket; else what AWS's own settings say.")
    s3_access_key_id: str | None = Field(
        None, description="For S3; without it AWS's own variables, profile or instance role count."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="Goes with PITH_S3_ACCESS_KEY_ID.")
    retain_seconds: float | None = Field(
        None, gt=0, description="Jobs that ended longer ago are deleted with all that they made; never without it."
    )
    upload_expire_seconds: float = Field(
        86400, gt=0, description="How long an upload that can be resumed waits for its next byte."
    )
    lease_seconds: float = Field(60, gt=0, description="How long a silent worker keeps its job.")
    heartbeat_seconds: float = Field(10, gt=0, description="How often a worker renews its lease.")
    reap_seconds: float = Field(10, gt=0, description="How often the scheduler looks for expired leases.")
    dispatch_seconds: float = Field(1, gt=0, description="How often the scheduler looks for jobs to send.")
    max_attempts: int = Field(
        3, ge=1, description="How many lost workers or processes without a checkpoint between them make a job fail."
    )
    retry_seconds: float = Field(
        2, ge=0, description="How long a job waits after its process has died; twice as long after each other time."
    )

    min_free_bytes: int = Field(
        2**30, ge=0, description="Below so much room on a disk of ours, /readyz says that the service is degraded."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How every process logs: text, or a JSON object a line."
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="What is logged: debug, info, warning or error, and all that is worse."
    )
    metrics_host: str = Field("127.0.0.1", description="Address of the port for metrics.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65531,
        description="Port of its own for /metrics (Prometheus) and /livez of a process; none without it. Under pith up "
        "it is the API's, and the next four are those of scheduler, worker, checker and courier.",
    )

    private_hosts: Words = Field(
        (), description="Hosts and networks (10.0.0.0/8) that may be private and speak plain http, with commas."
    )
    webhook_hosts: Words = Field(
        ("*",), description="Hosts that webhooks may go to, with commas: names, .example.org for all below, * for any."
    )

    @model_validator(mode="after")
    def _both_keys_or_none(self) -> Self:
        if (self.s3_access_key_id is None) != (self.s3_secret_access_key is None):
            raise ValueError("PITH_S3_ACCESS_KEY_ID and PITH_S3_SECRET_ACCESS_KEY go together; set both or none")
        return self

    @model_validator(mode="after")
    def _heartbeat_within_lease(self) -> Self:
        if self.heartbeat_seconds >= self.lease_seconds:
            raise ValueError(
                f"PITH_HEARTBEAT_SECONDS is {self.heartbeat_seconds} and must be shorter than PITH_LEASE_SECONDS, "
                f"{self.lease_seconds}; a third of it or less is sensible"
            )
        return self
