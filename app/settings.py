"""What the API can be told, read from PITH_* once by the process that serves. Where the data is: store.settings."""

from ipaddress import ip_address
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pith.errors import PithError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class ApiSettings(BaseSettings):
    """The defaults serve this machine alone, because there are no accounts yet.

    Raises:
        PithError: ``setting_refused`` for a host that other machines reach, unless ``PITH_TRUST_NETWORK`` is true.
    """

    model_config = SettingsConfigDict(env_prefix="PITH_", frozen=True, extra="ignore")

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    trust_network: bool = Field(
        False, description="Allow a host that other machines reach. Whoever reaches it may do everything."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names besides localhost that a request may call the service by, with commas; * is any."
    )
    max_upload_bytes: int = Field(20 * 2**30, ge=1, description="Most bytes of one uploaded file.")
    max_body_bytes: int = Field(2**20, ge=1024, description="Most bytes of a JSON body.")
    upload_idle_seconds: float = Field(60, gt=0, description="An upload that sends nothing for so long is given up.")

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip().lower() for name in value.split(",") if name.strip())

    @model_validator(mode="after")
    def _private(self) -> "ApiSettings":
        if not self.trust_network and not is_loopback(self.host):
            raise PithError(
                "setting_refused",
                name="PITH_HOST",
                value=self.host,
                reason="other machines could reach it and there are no accounts yet, so anyone there could use and "
                "delete everything; keep 127.0.0.1, or set PITH_TRUST_NETWORK=true behind a proxy that knows its users",
            )
        return self

    def serves(self, host: str) -> bool:
        """Whether a request may call the service by this name, without a port."""
        return bool({"*", host} & {*self.allowed_hosts, *LOOPBACK_NAMES, self.host.lower()})


class UpSettings(BaseSettings):
    """What `pith up` itself needs to know of its workers' settings (``worker.settings``), to start the right ones."""

    model_config = SettingsConfigDict(env_prefix="PITH_", frozen=True, extra="ignore")

    device: str = Field("auto", description="cpu: no worker for a GPU is started.")
    job_processes: int = Field(1, ge=1, description="GPUs that each worker for GPUs is given.")


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False
