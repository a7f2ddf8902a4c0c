"""Where requests may go that leave the service for an address that a caller has named. The rule alone: nothing is asked
here, and no name is resolved.

``worker.outward`` holds every request to it, with the addresses that the name has just then. The API holds a webhook to
it when it is made or changed, as far as the words alone tell: a name that nobody has looked up may be refused later
still. Each process goes by its own settings, so all that are given the same agree.
"""

import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Address, ip_network
from urllib.parse import urlsplit

from pith.errors import FieldProblem, PithError
from store.addresses import Address, Network, is_among, is_public, parse
from store.settings import Settings

PORTS = frozenset({443, 8443})


@dataclass(frozen=True)
class Reach:
    """Where requests may go.

    ``hosts`` are names, ``.example.org`` for all below, or ``*``; empty allows none. ``private_hosts`` and
    ``private_networks`` may lie inside, and then be asked by plain http and on any port. ``origins`` are addresses
    (``https://host:port``) that the operator himself has set: these may be asked whatever the rest says.
    """

    hosts: tuple[str, ...]
    private_hosts: tuple[str, ...] = ()
    private_networks: tuple[Network, ...] = ()
    origins: frozenset[str] = field(default_factory=frozenset)
    setting: str = "PITH_IMPORT_HOSTS"

    @classmethod
    def of(
        cls, hosts: Iterable[str], private: Iterable[str], *origins: str | None, setting: str = "PITH_IMPORT_HOSTS"
    ) -> "Reach":
        """From the words of settings: hosts, private hosts and networks, and the origins of the operator's own
        addresses."""
        networks = {word: found for word in private if (found := _network(word)) is not None}
        names = tuple(word.lower() for word in private if word not in networks)
        own = frozenset(origin for origin in origins if origin is not None)
        return cls(tuple(word.lower() for word in hosts), names, tuple(networks.values()), own, setting)

    @classmethod
    def of_webhooks(cls, settings: Settings) -> "Reach":
        return cls.of(settings.webhook_hosts, settings.private_hosts, setting="PITH_WEBHOOK_HOSTS")

    def refusal(self, scheme: str, host: str, port: int, found: Sequence[Address] | None) -> str | None:
        """Why this is not asked; None if it may be. ``found`` are the addresses of the host, or None while nobody has
        looked: then it is refused if it would be whatever they were."""
        trusted = f"{scheme}://{host}:{port}" in self.origins
        if not trusted and not _named(host, self.hosts):
            return f"{self.setting} does not name it" if self.hosts else f"{self.setting} is not set"
        if trusted or _named(host, self.private_hosts) or self._lies_inside(found):
            return None
        if scheme != "https":
            return "only https is spoken, except to what PITH_PRIVATE_HOSTS names"
        if port not in PORTS:
            return f"port {port} is neither 443 nor 8443, and PITH_PRIVATE_HOSTS does not name it"
        inner = [one for one in found or () if not is_public(one) and not is_among(one, self.private_networks)]
        return f"{inner[0]} is no public address, and PITH_PRIVATE_HOSTS does not name it" if inner else None

    def check(self, url: str) -> None:
        """What can be known of an address without asking anybody.

        Raises:
            PithError: ``address_refused``, at the field ``url``.
        """
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        port = parts.port or (80 if parts.scheme == "http" else 443)
        if (reason := self.refusal(parts.scheme, host, port, literal(host))) is not None:
            detail = PithError("address_refused", host=host[:255], reason=reason).problem.detail
            told = FieldProblem(pointer="/url", code="address_refused", detail=detail)
            raise PithError("address_refused", errors=(told,), host=host[:255], reason=reason)

    def _lies_inside(self, found: Sequence[Address] | None) -> bool:
        if found is None:
            return bool(self.private_networks)
        return all(is_among(one, self.private_networks) for one in found)


def literal(host: str) -> Sequence[Address] | None:
    """The address that a host is by itself, also in forms that resolvers take for one (``127.1``); None for a name."""
    if host == "localhost" or host.endswith(".localhost"):
        return (IPv4Address("127.0.0.1"),)
    if (address := parse(host)) is not None:
        return (address,)
    try:
        return (IPv4Address(socket.inet_aton(host)),)
    except (OSError, UnicodeError):
        return None


def _named(host: str, names: Iterable[str]) -> bool:
    host = host.lower().rstrip(".")
    return any(name == "*" or host == name or (name.startswith(".") and host.endswith(name)) for name in names)


def _network(word: str) -> Network | None:
    try:
        return ip_network(word, strict=False)
    except ValueError:
        return None
