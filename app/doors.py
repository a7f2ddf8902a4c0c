"""Who is let in: a caller's key, or trust in whoever reaches a service that only this machine can reach."""

from collections.abc import Mapping
from hmac import compare_digest
from typing import NamedTuple

from starlette.datastructures import Headers

from app import cookie
from app.settings import ApiSettings
from pith.access import DEFAULT_PROJECT, SCOPES
from pith.errors import PithError
from store.access import TRUSTED, Caller, Keys
from store.rates import WINDOW_SECONDS, Rate, Rates

ASKED = "/v1/"
"""Where the API begins; the pages ask for themselves (``app.pages.visitor``)."""
OPERATOR = Caller(DEFAULT_PROJECT, frozenset(SCOPES), "the key of PITH_OPERATOR_KEY")


class Admission(NamedTuple):
    """Who comes, and what every answer says of how much more may come."""

    caller: Caller
    headers: Mapping[str, str]


class Doors:
    def __init__(self, settings: ApiSettings, keys: Keys, rates: Rates) -> None:
        self._settings = settings
        self._keys = keys
        self._rates = rates

    def asks(self, headers: Headers) -> bool:
        """Whether the database is to be asked who it is."""
        return "authorization" in headers or self._settings.keys_required

    def admit(self, headers: Headers, scheme: str = "http") -> Admission:
        """By the header, or else, where keys are asked for, by the cookie that goes with this scheme.

        Raises:
            PithError: ``key_required``, ``key_refused``.
            RateLimited: with what the answer says of it.
        """
        caller = self._caller(headers, scheme)
        most = caller.requests_per_minute
        if most is None or caller.key is None:
            return Admission(caller, {})
        rate = self._rates.take(caller.key, most)
        said = _said(rate)
        if not rate.allowed:
            raise RateLimited(rate, said)
        return Admission(caller, said)

    def _caller(self, headers: Headers, scheme: str) -> Caller:
        given = headers.get("authorization")
        if given is None:
            if not self._settings.keys_required:
                return TRUSTED
            kept = cookie.carried(headers, scheme)
            if kept is None:
                raise PithError("key_required")
            return self._identified(kept)
        scheme, _, secret = given.partition(" ")
        secret = secret.strip()
        if scheme.lower() != "bearer" or not secret:
            raise PithError("key_refused", reason="the header Authorization does not say `Bearer KEY`")
        return self._identified(secret)

    def _identified(self, secret: str) -> Caller:
        operator = self._settings.operator_key
        if operator is not None and compare_digest(secret.encode(), operator.get_secret_value().encode()):
            return OPERATOR
        return self._keys.identify(secret)


class RateLimited(PithError):
    """``rate_limited``, with the headers of its answer."""

    def __init__(self, rate: Rate, headers: Mapping[str, str]) -> None:
        seconds = _whole(rate.wait_seconds)
        super().__init__("rate_limited", most=rate.most, seconds=seconds)
        self.headers = {**headers, "Retry-After": str(seconds)}


def _said(rate: Rate) -> Mapping[str, str]:
    """As draft-ietf-httpapi-ratelimit-headers-11 has it."""
    return {
        "RateLimit-Policy": f'"default";q={rate.most};w={WINDOW_SECONDS:.0f}',
        "RateLimit": f'"default";r={rate.remaining};t={_whole(rate.reset_seconds)}',
    }


def _whole(seconds: float) -> int:
    """Rounded up: who waits so long does not wait in vain."""
    return max(1, -int(-seconds // 1))
