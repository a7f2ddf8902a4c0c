"""Requests that go out: only to public addresses, whatever a name, a redirect or a resolver says. Real sockets."""

import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest

from pith.errors import PithError
from store.addresses import is_public
from store.reach import Reach
from tests.web import Web, file, serving
from worker.outward import Outward, resolve

PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
    "127.255.255.254", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::8.8.8.8", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001::1", "2001:db8::1",
    "3fff::1", "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "100::1", "5f00::1",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808", "2002:808:808::1"]


@pytest.mark.parametrize("address", PRIVATE)
def test_what_is_not_the_public_internet_is_known(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.fixture
def web() -> Iterator[Web]:
    with serving() as web:
        web.pages["/"] = web.pages["/file"] = file(b"secret")
        yield web


def asked(url: str, reach: Reach, *answers: Sequence[str]) -> bytes:
    """What a request brings; a resolver that gives one answer after the other, if there are any."""
    left = list(answers)
    answering = (lambda host, port: left.pop(0)) if answers else resolve
    with Outward(reach, answering) as outward, outward.get(url) as response:
        return b"".join(response.iter_raw())


def why(url: str, reach: Reach, *answers: Sequence[str]) -> str:
    with pytest.raises(PithError) as refusal:
        asked(url, reach, *answers)
    assert refusal.value.code == "address_refused"
    return refusal.value.problem.detail


ANY = Reach.of(("*",), ())
HERE = Reach.of(("*",), ("127.0.0.0/8",))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "[::ffff:127.0.0.1]", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "127.1", "localhost",
     "LOCALHOST", "localhost.", "0", "0.0.0.0", "[::1]", "[::]", "169.254.169.254", "[::ffff:a9fe:a9fe]",
     "１２７.0.0.1"],
)  # fmt: skip
def test_no_spelling_of_this_machine_is_reached(web: Web, host: str) -> None:
    for port in (443, 8443, web.port):
        with pytest.raises((PithError, httpx.InvalidURL, httpx.ConnectError)) as refusal:
            asked(f"https://{host}:{port}/", ANY)
        if isinstance(refusal.value, PithError):
            assert refusal.value.code == "address_refused"
    assert web.asked == []


def test_plain_http_other_ports_users_and_schemes_are_refused() -> None:
    public = ("8.8.8.8",)
    assert "only https" in why("http://example.org/", ANY, public)
    assert "port 22 is neither" in why("https://example.org:22/", ANY, public)
    for url in ("ftp://example.org/", "file:///etc/passwd", "https://a:b@example.org/"):
        assert "no plain http or https" in why(url, ANY, public)


def test_one_private_address_among_public_ones_is_enough(web: Web) -> None:
    assert "127.0.0.1 is no public address" in why("https://example.org/", ANY, ("8.8.8.8", "127.0.0.1"))


def test_only_named_hosts_are_asked() -> None:
    some = Reach.of(("files.example.org", ".mirror.example"), ())
    for host in (
        "example.org",
        "evil-files.example.org",
        "mirror.example",
        "xmirror.example",
        "files.example.org.evil",
    ):
        assert "PITH_IMPORT_HOSTS does not name it" in why(f"https://{host}/", some, ("8.8.8.8",))
    assert "PITH_IMPORT_HOSTS is not set" in why("https://example.org/", Reach.of((), ()), ("8.8.8.8",))
    for host in ("files.example.org", "FILES.example.org", "files.example.org.", "eu.mirror.example"):
        assert "127.0.0.1 is no public" in why(f"https://{host}/", some, ("127.0.0.1",))


def test_what_the_operator_names_is_reached(web: Web) -> None:
    assert asked(f"{web.url}/", HERE) == b"secret"
    named = Reach.of(("inside.test",), ("inside.test",))
    assert asked(f"http://inside.test:{web.port}/", named, ("127.0.0.1",)) == b"secret"
    own = Reach.of((), (), web.url)
    assert asked(f"{web.url}/", own) == b"secret"
    assert "is not set" in why(f"http://127.0.0.1:{web.port + 1}/", own)
    assert web.asked[1].headers["host"] == f"inside.test:{web.port}"


def test_a_name_is_resolved_once(web: Web) -> None:
    """Rebinding: the second answer would lead elsewhere, and nobody asks for it."""
    reach = Reach.of(("*",), ("127.0.0.1",))
    assert asked(f"http://rebinding.test:{web.port}/", reach, ("127.0.0.1",), ("10.0.0.1",)) == b"secret"
    both = [("127.0.0.1",), ("10.0.0.1",)]
    with Outward(reach, lambda host, port: both.pop(0)) as outward:
        with outward.get(f"http://rebinding.test:{web.port}/") as response:
            assert response.status_code == 200
        with pytest.raises(PithError), outward.get(f"http://rebinding.test:{web.port}/"):
            pytest.fail("no connection of the first request may be used for the second")


def test_every_redirect_is_checked(web: Web) -> None:
    web.pages["/hop"] = lambda one: one.redirect("/file")
    assert asked(f"{web.url}/hop", HERE) == b"secret"
    for number, target in enumerate(("https://[::1]:8443/", "https://169.254.169.254/latest", "file:///etc/passwd")):
        web.pages[f"/{number}"] = lambda one, target=target: one.redirect(target)  # type: ignore[misc]
        assert "No request is sent to" in why(f"{web.url}/{number}", HERE)
    web.pages["/round"] = lambda one: one.redirect("/round")
    assert "more than 5 redirects" in why(f"{web.url}/round", HERE)
    web.pages["/bad"] = lambda one: one.redirect("https://a:b:c/")
    with pytest.raises(httpx.HTTPError):
        asked(f"{web.url}/bad", HERE)


def test_a_redirect_to_where_nobody_may_go_is_not_followed(web: Web) -> None:
    """The first host is allowed, the second is private and not."""
    with serving() as inner:
        inner.pages["/"] = file(b"inside")
        web.pages["/hop"] = lambda one: one.redirect(f"http://127.0.0.2:{inner.port}/")
        assert "PITH_IMPORT_HOSTS does not name it" in why(f"{web.url}/hop", Reach.of(("127.0.0.1",), ("127.0.0.0/8",)))
        assert inner.asked == []


def test_a_secret_is_not_sent_to_where_a_redirect_leads(web: Web) -> None:
    with serving() as other:
        other.pages["/"] = file(b"x")
        web.pages["/hop"] = lambda one: one.redirect(f"{other.url}/")
        with Outward(HERE) as outward, outward.get(f"{web.url}/hop", {"Authorization": "Basic x"}) as response:
            assert response.status_code == 200
        assert web.asked[0].headers["authorization"] == "Basic x"
        assert "authorization" not in other.asked[0].headers


def test_no_proxy_of_the_environment_is_asked(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    with serving() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        assert asked(f"{web.url}/", HERE) == b"secret"
        assert proxy.asked == []


def test_nothing_is_unpacked(web: Web) -> None:
    web.pages["/zip"] = lambda one: one.give(b"\x1f\x8bpacked", "Content-Encoding: gzip")
    assert asked(f"{web.url}/zip", HERE) == b"\x1f\x8bpacked"


def test_an_address_that_does_not_answer_is_followed_by_the_next(web: Web) -> None:
    assert asked(f"http://two.test:{web.port}/", HERE, ("127.0.0.3", "127.0.0.1")) == b"secret"


def test_tls_is_spoken_with_the_name_and_its_certificate_is_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        key,
        "-out",
        certificate,
        "-days",
        "2",
    ]
    subprocess.run(
        [*made, "-subj", "/CN=files.test", "-addext", "subjectAltName=DNS:files.test"], check=True, capture_output=True
    )
    names: list[str | None] = []
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    server.sni_callback = lambda one, name, context: names.append(name)

    def wrap(connection: socket.socket) -> socket.socket:
        return server.wrap_socket(connection, server_side=True)

    with serving(wrap) as web:
        web.pages["/"] = file(b"by TLS")
        url = f"https://files.test:{web.port}/"
        with pytest.raises(httpx.ConnectError, match="certificate"):
            asked(url, HERE, ("127.0.0.1",))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        assert asked(url, HERE, ("127.0.0.1",)) == b"by TLS"
        assert (names[-1], web.asked[-1].headers["host"]) == ("files.test", f"files.test:{web.port}")
        with pytest.raises(httpx.ConnectError, match="certificate"):
            asked(f"https://other.test:{web.port}/", HERE, ("127.0.0.1",))
