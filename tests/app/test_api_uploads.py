"""Uploads: raw, by name in the path, as a form; and every way in which they go wrong."""

import base64
import hashlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.app.api_process import ApiProcess, running
from tests.waiting import eventually

CONTENT = b"PK not really a model " * 1000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.mark.parametrize("noun", ["models", "datasets"])
def test_a_raw_body_is_stored_shown_listed_and_deleted(http: httpx.Client, noun: str) -> None:
    made = http.put(f"/v1/{noun}", params={"name": "größe.pt2"}, content=CONTENT)
    assert made.status_code == 201
    one = made.json()
    assert made.headers["location"] == f"/v1/{noun}/{one['id']}"
    assert (one["name"], one["digest"], one["size_bytes"]) == ("größe.pt2", f"sha256:{DIGEST}", len(CONTENT))
    assert http.get(made.headers["location"]).json() == one
    assert one in http.get(f"/v1/{noun}", params={"limit": 200}).json()["data"]
    gone = http.delete(made.headers["location"])
    assert (gone.status_code, gone.content) == (204, b"")
    assert http.get(made.headers["location"]).json()["code"] == "gone"


def test_the_name_can_be_in_the_path_as_curl_puts_it_there(http: httpx.Client) -> None:
    assert http.put("/v1/models/my%20net.pt2", content=CONTENT).json()["name"] == "my net.pt2"


def test_a_file_without_a_name_gets_the_usual_one(http: httpx.Client) -> None:
    assert http.put("/v1/datasets", content=CONTENT).json()["name"] == "dataset.npz"


def test_a_form_is_stored_under_the_files_own_name_without_its_folders(http: httpx.Client) -> None:
    made = http.post("/v1/models", files={"file": ("C:\\nets\\a.pt2", CONTENT)})
    assert made.status_code == 201
    assert (made.json()["name"], made.json()["digest"]) == ("a.pt2", f"sha256:{DIGEST}")


@pytest.mark.parametrize("order", [("name", "file"), ("file", "name")])
def test_a_form_can_name_the_file_before_or_after_it(http: httpx.Client, order: tuple[str, str]) -> None:
    parts = {"name": (None, b"chosen"), "file": ("a.pt2", CONTENT)}
    made = http.post("/v1/models", files=[(part, parts[part]) for part in order])
    assert made.json()["name"] == "chosen"


def test_a_large_form_arrives_whole_whatever_it_holds(http: httpx.Client) -> None:
    content = os.urandom(9 * 2**20) + b"\r\n--not the boundary\r\n" * 1000
    made = http.post("/v1/models", files={"file": ("big.pt2", content)})
    assert made.json()["digest"] == f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_body_of_unknown_length_is_stored(http: httpx.Client) -> None:
    def pieces() -> Iterator[bytes]:
        yield CONTENT[:1000]
        yield CONTENT[1000:]

    assert http.put("/v1/models", content=pieces()).json()["digest"] == f"sha256:{DIGEST}"


RIGHT = {
    "sha256": {"params": {"sha256": DIGEST}},
    "sha256 with its name": {"params": {"sha256": f"sha256:{DIGEST.upper()}"}},
    "repr-digest": {"headers": {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes.fromhex(DIGEST)).decode()}:"}},
}
WRONG = {
    "sha256": {"params": {"sha256": "0" * 64}},
    "repr-digest": {"headers": {"Repr-Digest": f"sha-256=:{base64.b64encode(bytes(32)).decode()}:"}},
}


@pytest.mark.parametrize("given", RIGHT.values(), ids=RIGHT)
def test_a_digest_that_is_right_is_taken(http: httpx.Client, given: dict[str, dict[str, str]]) -> None:
    assert http.put("/v1/models", content=CONTENT, **given).status_code == 201


@pytest.mark.parametrize("given", WRONG.values(), ids=WRONG)
def test_a_digest_that_is_wrong_stores_nothing(
    api: ApiProcess, http: httpx.Client, given: dict[str, dict[str, str]]
) -> None:
    content = os.urandom(100)
    refused = http.put("/v1/models", content=content, **given)
    assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
    _check_nothing_stored(api, http, content)


BAD = {
    "empty": ({"content": b""}, 400, "upload_empty"),
    "part": ({"content": b"x", "headers": {"Content-Range": "bytes 0-0/9"}}, 422, "malformed_request"),
    "bad repr-digest": ({"content": b"x", "headers": {"Repr-Digest": "sha-256=:AAAA:"}}, 422, "malformed_request"),
    "bad sha256": ({"content": b"x", "params": {"sha256": "xyz"}}, 422, "malformed_request"),
    "compressed": ({"content": b"x", "headers": {"Content-Encoding": "gzip"}}, 415, "media_type_not_supported"),
    "form by PUT": ({"files": {"file": b"x"}}, 415, "media_type_not_supported"),
    "control character in the name": ({"content": b"x", "params": {"name": "a\nb"}}, 422, "malformed_request"),
    "slash in the name": ({"content": b"x", "params": {"name": "../b"}}, 422, "malformed_request"),
    "long name": ({"content": b"x", "params": {"name": "b" * 256}}, 422, "malformed_request"),
}


@pytest.mark.parametrize(("given", "status", "code"), BAD.values(), ids=BAD)
def test_bad_raw_uploads(http: httpx.Client, given: dict[str, object], status: int, code: str) -> None:
    refused = http.request("PUT", "/v1/models", **given)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert refused.headers["content-type"] == "application/problem+json"


def _form(*parts: str, end: str = "--b--\r\n") -> dict[str, object]:
    body = "".join(f"--b\r\n{part}\r\n" for part in parts) + end
    return {"content": body.encode(), "headers": {"Content-Type": "multipart/form-data; boundary=b"}}


FILE = 'Content-Disposition: form-data; name="file"; filename="a"\r\n\r\nbytes'
NAME = 'Content-Disposition: form-data; name="name"\r\n\r\n'
BAD_FORMS = {
    "not a form": ({"content": b"x"}, 415, "media_type_not_supported"),
    "no boundary": ({"content": b"x", "headers": {"Content-Type": "multipart/form-data"}}, 400, "multipart_malformed"),
    "not closed": (_form(FILE, end=""), 400, "multipart_malformed"),
    "no file": (_form(NAME + "a"), 400, "multipart_malformed"),
    "two files": (_form(FILE, FILE), 400, "multipart_malformed"),
    "unknown part": (_form(FILE, FILE.replace('"file"', '"other"')), 400, "multipart_malformed"),
    "endless name": (_form(NAME + "a" * 5000, FILE), 400, "multipart_malformed"),
    "endless header": (_form("X: " + "a" * 50_000 + "\r\n\r\nx"), 400, "multipart_malformed"),
    "many headers": (_form("".join(f"X{n}: a\r\n" for n in range(1000)) + "\r\nx"), 400, "multipart_malformed"),
    "garbage": ({**_form(), "content": b"\x00" * 1000}, 400, "multipart_malformed"),
    "empty file": (_form(FILE.removesuffix("bytes")), 400, "upload_empty"),
    "bad name": (_form(NAME + "a/b", FILE), 422, "malformed_request"),
}


@pytest.mark.parametrize(("given", "status", "code"), BAD_FORMS.values(), ids=BAD_FORMS)
def test_bad_forms(api: ApiProcess, http: httpx.Client, given: dict[str, object], status: int, code: str) -> None:
    before = api.blobs()
    refused = http.post("/v1/models", **given)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert api.incoming() == []
    assert api.blobs() == before


@pytest.mark.parametrize("form", [False, True], ids=["raw", "form"])
@pytest.mark.parametrize("chunked", [False, True], ids=["announced", "chunked"])
def test_an_upload_that_is_cut_off_stores_nothing(
    api: ApiProcess, http: httpx.Client, form: bool, chunked: bool
) -> None:
    before = (api.blobs(), http.get("/v1/models").json())
    head = b"--b\r\n" + FILE.encode() if form else b""
    body = head + os.urandom(6 * 2**20)
    with socket.create_connection(("127.0.0.1", api.port)) as raw:
        raw.sendall(_request(api, form, chunked, length=len(body) * 2))
        raw.sendall(b"%x\r\n%b\r\n" % (len(body), body) if chunked else body)
        eventually(api.incoming)
    eventually(lambda: not api.incoming())
    assert (api.blobs(), http.get("/v1/models").json()) == before


def test_an_upload_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", PITH_UPLOAD_IDLE_SECONDS=0.5) as api,
        socket.create_connection(("127.0.0.1", api.port)) as raw,
    ):
        raw.sendall(_request(api, form=False, chunked=False, length=100) + b"only this")
        answer = b"".join(iter(lambda: raw.recv(2**16), b"")).decode()
        assert "\r\nconnection: close\r\n" in answer.lower()
        assert answer.startswith("HTTP/1.1 400") and "9 of 100 bytes arrived" in answer
        assert api.incoming() == []


def test_a_file_over_the_limit_is_refused_however_it_comes(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", PITH_MAX_UPLOAD_BYTES=100_000) as api,
        httpx.Client(base_url=api.url, timeout=30) as http,
    ):
        fits, over = os.urandom(100_000), os.urandom(100_001)
        assert http.put("/v1/models", content=fits).status_code == 201
        assert http.post("/v1/models", files={"file": ("a", fits)}).status_code == 201
        ways = {
            "announced": lambda: http.put("/v1/models", content=over),
            "chunked": lambda: http.put("/v1/models", content=iter([over])),
            "form": lambda: http.post("/v1/models", files={"file": ("a", over)}),
            "large form": lambda: http.post("/v1/models", files={"file": ("a", over * 2)}),
        }
        for way, send in ways.items():
            refused = send()
            assert (refused.status_code, refused.json()["code"]) == (413, "upload_too_large"), way
        with socket.create_connection(("127.0.0.1", api.port)) as raw:  # refused by what it announces
            raw.sendall(_request(api, form=False, chunked=False, length=100_001))
            assert raw.recv(2**16).startswith(b"HTTP/1.1 413")
        assert api.incoming() == []
        assert len(api.blobs()) == 1


def _request(api: ApiProcess, form: bool, chunked: bool, length: int) -> bytes:
    lines = [
        f"{'POST' if form else 'PUT'} /v1/models HTTP/1.1",
        f"Host: 127.0.0.1:{api.port}",
        "Transfer-Encoding: chunked" if chunked else f"Content-Length: {length}",
        *(["Content-Type: multipart/form-data; boundary=b"] if form else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def _check_nothing_stored(api: ApiProcess, http: httpx.Client, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    assert api.incoming() == []
    assert digest not in {file.name for file in api.blobs()}
    assert digest not in http.get("/v1/models", params={"limit": 200}).text
