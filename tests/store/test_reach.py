"""Where a webhook may lead, as far as the words of its address tell: what is refused here, the courier refuses too."""

import pytest

from pith.errors import PithError
from store.reach import Reach, literal

ANY = Reach.of(("*",), (), setting="PITH_WEBHOOK_HOSTS")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://example.org/hook", "only https is spoken"),
        ("https://example.org:8080/hook", "port 8080 is neither 443 nor 8443"),
        ("https://127.0.0.1/hook", "127.0.0.1 is no public address"),
        ("https://127.1/hook", "127.0.0.1 is no public address"),
        ("https://2130706433/hook", "127.0.0.1 is no public address"),
        ("https://0x7f000001/hook", "127.0.0.1 is no public address"),
        ("https://localhost/hook", "127.0.0.1 is no public address"),
        ("https://LOCALHOST./hook", "127.0.0.1 is no public address"),
        ("https://a.localhost/hook", "127.0.0.1 is no public address"),
        ("https://10.1.2.3/hook", "10.1.2.3 is no public address"),
        ("https://169.254.169.254/latest", "169.254.169.254 is no public address"),
        ("https://[::1]/hook", "::1 is no public address"),
        ("https://[::ffff:10.0.0.1]/hook", "is no public address"),
        ("https://[fd00::1]/hook", "fd00::1 is no public address"),
    ],
)
def test_what_would_be_refused_whoever_is_asked_is_refused_at_once(url: str, reason: str) -> None:
    with pytest.raises(PithError, match="address_refused") as refused:
        ANY.check(url)
    (told,) = refused.value.problem.errors
    assert reason in told.detail and told.pointer == "/url"


@pytest.mark.parametrize("url", ["https://example.org/hook", "https://8.8.8.8:8443/", "https://inside.example/"])
def test_what_only_a_resolver_knows_is_left_to_the_courier(url: str) -> None:
    ANY.check(url)


def test_what_the_operator_allows_is_taken() -> None:
    inside = Reach.of(("*",), ("hooks.test", "10.0.0.0/8"), setting="PITH_WEBHOOK_HOSTS")
    for url in ("http://hooks.test:9000/", "http://10.1.2.3/", "http://its-name-may-lie-inside.test:81/"):
        inside.check(url)
    with pytest.raises(PithError, match="only https"):
        inside.check("http://192.168.0.1/")
    some = Reach.of((".example.org",), (), setting="PITH_WEBHOOK_HOSTS")
    some.check("https://a.example.org/")
    with pytest.raises(PithError, match="PITH_WEBHOOK_HOSTS does not name it"):
        some.check("https://example.com/")
    with pytest.raises(PithError, match="PITH_WEBHOOK_HOSTS is not set"):
        Reach.of((), (), setting="PITH_WEBHOOK_HOSTS").check("https://example.com/")


@pytest.mark.parametrize("host", ["example.org", "1.2.3.4.5", "", "x" * 300, "12.example", "\u0661"])
def test_a_name_is_no_address(host: str) -> None:
    assert literal(host) is None
