"""Who may speak to the API: not a rebound name, not a page of another origin. And the headers of every answer."""

import socket

import httpx
import pytest
from pydantic import ValidationError

from app.guard import HEADERS, hostname
from app.settings import ApiSettings
from pith.errors import PithError
from tests.app.api_process import ApiProcess

HOSTS = [
    "evil.example",
    "evil.example:8000",
    "127.0.0.1.evil.example",
    "localhost@evil.example",
    "127.0.0.1/x",
    "",
    "[::1",
]


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_that_is_not_ours(http: httpx.Client, host: str) -> None:
    refused = http.get("/v1/models", headers={"Host": host})
    assert (refused.status_code, refused.json()["code"]) == (400, "host_not_allowed")


def test_two_hosts_are_none(api: ApiProcess) -> None:
    with socket.create_connection(("127.0.0.1", api.port)) as raw:
        raw.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\nConnection: close\r\n\r\n")
        assert b"host_not_allowed" in b"".join(iter(lambda: raw.recv(2**16), b""))


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]", "[::1]:8000"])
def test_a_host_that_is_ours(http: httpx.Client, host: str) -> None:
    assert http.get("/livez", headers={"Host": host}).status_code == 200


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://[bad"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
@pytest.mark.parametrize(("method", "path"), [("PUT", "/v1/models"), ("POST", "/v1/jobs"), ("DELETE", "/v1/models/x")])
def test_a_page_of_another_origin_writes_nothing(
    api: ApiProcess, http: httpx.Client, headers: dict[str, str], method: str, path: str
) -> None:
    before = api.blobs()
    refused = http.request(method, path, content=b"from elsewhere", headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
    assert api.blobs() == before


def test_our_own_page_may_write(api: ApiProcess, http: httpx.Client) -> None:
    headers = {"Origin": api.url, "Sec-Fetch-Site": "same-origin"}
    assert http.put("/v1/models", content=b"x", headers=headers).status_code == 201


def test_the_origin_of_another_port_is_another_origin(api: ApiProcess, http: httpx.Client) -> None:
    headers = {"Origin": f"http://127.0.0.1:{api.port + 1}"}
    assert http.put("/v1/models", content=b"x", headers=headers).status_code == 403


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/openapi.json", "/livez", "/readyz", "/v1/models", "/nothing", "/v1/jobs/x"]
)
def test_every_answer_has_the_headers(http: httpx.Client, path: str) -> None:
    answer = http.get(path)
    assert not [name for name in HEADERS if name not in answer.headers]
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "access-control-allow-origin" not in answer.headers
    assert "server" not in answer.headers


@pytest.mark.parametrize(
    ("host", "name"),
    [("a:1", "a"), ("A", "a"), ("[::1]:5", "::1"), ("a b", ""), ("a@b", ""), ("a:b", ""), ("[a", ""), ("", "")],
)
def test_hostnames(host: str, name: str) -> None:
    assert hostname(host) == name


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "pith.example", ""])
def test_a_host_that_others_reach_is_refused_at_start_without_a_key(host: str) -> None:
    with pytest.raises(PithError, match=r"setting_refused.*PITH_OPERATOR_KEY.*PITH_TRUST_NETWORK"):
        ApiSettings(host=host).check_keys(any_key=False)
    ApiSettings(host=host).check_keys(any_key=True)
    ApiSettings(host=host, operator_key="k" * 32).check_keys(any_key=False)
    assert ApiSettings(host=host).keys_required
    assert not ApiSettings(host=host, trust_network=True).keys_required


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_a_host_that_only_this_machine_reaches_is_fine(host: str) -> None:
    settings = ApiSettings(host=host)
    settings.check_keys(any_key=False)
    assert settings.serves("127.0.0.1") and not settings.keys_required
    assert ApiSettings(host=host, require_keys=True).keys_required


def test_an_operator_s_key_that_is_short_is_refused_and_not_repeated() -> None:
    with pytest.raises(ValidationError, match="at least 32") as caught:
        ApiSettings(operator_key="short secret")
    assert "short secret" not in str(caught.value)


def test_allowed_hosts_come_as_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PITH_ALLOWED_HOSTS", "pith.example, Other.Example ,")
    settings = ApiSettings()
    assert settings.serves("pith.example") and settings.serves("other.example") and settings.serves("localhost")
    assert not settings.serves("evil.example") and not settings.serves("")
    assert ApiSettings(allowed_hosts=("*",)).serves("evil.example")


@pytest.mark.parametrize("wrong", [{"port": 0}, {"port": 70000}, {"max_upload_bytes": 0}, {"upload_idle_seconds": 0}])
def test_numbers_out_of_bounds_are_refused_at_start(wrong: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ApiSettings(**wrong)
