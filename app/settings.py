"""What the API can be told, read from PITH_* once by the process that serves. Where the data is: store.settings."""

from ipaddress import ip_address
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from pith.errors import PithError

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class ApiSettings(BaseSettings):
    """The defaults serve this machine alone, and whoever is on it may do everything."""

    model_config = SettingsConfigDict(env_prefix="PITH_", frozen=True, extra="ignore", hide_input_in_errors=True)

    host: str = Field("127.0.0.1", description="Address to listen on.")
    port: int = Field(8000, ge=1, le=65535, description="Port to listen on.")
    require_keys: bool = Field(
        False, description="Ask for a key also where only this machine reaches the service: behind a proxy."
    )
    trust_network: bool = Field(
        False,
        description="Ask for no key where other machines reach the service; whoever does may do everything.",
    )
    operator_key: SecretStr | None = Field(
        None, min_length=32, description="A key that may do everything, besides those that the service has made."
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names besides localhost that a request may call the service by, with commas; * is any."
    )
    max_upload_bytes: int = Field(20 * 2**30, ge=1, description="Most bytes of one uploaded file.")
    max_body_bytes: int = Field(2**20, ge=1024, description="Most bytes of a JSON body.")
    log_requests: bool | None = Field(
        None,
        description="One line in the log for each request but health checks (by itself: with json, not with text).",
    )
    upload_idle_seconds: float = Field(60, gt=0, description="An upload that sends nothing for so long is given up.")

    @field_validator("allowed_hosts", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(name.strip().lower() for name in value.split(",") if name.strip())

    @property
    def keys_required(self) -> bool:
        """Whether a request without a key is refused."""
        return self.require_keys or not (self.trust_network or is_loopback(self.host))

    def check_keys(self, any_key: bool) -> None:
        """
        Raises:
            PithError: ``setting_refused`` where keys are required and there is none.
        """
        if self.keys_required and not any_key and self.operator_key is None:
            raise PithError(
                "setting_refused",
                name="PITH_HOST",
                value=self.host,
                reason="nobody could come in: a key is asked for there, and there is none yet. Make one while the "
                "service listens on 127.0.0.1 (`pith keys create`), or give one in PITH_OPERATOR_KEY; behind a proxy "
                "that knows its users, PITH_TRUST_NETWORK=true asks for none",
            )

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
