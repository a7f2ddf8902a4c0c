"""Uploads that can be resumed: by the official clients, by curl, and by every way in which they break off. Into a
folder and into a bucket, which a caller cannot tell apart."""

import base64
import hashlib
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tusclient.client import TusClient

from pith.resources import Upload
from store import paths
from store.blobs import LocalBlobs
from store.database import Database
from store.uploads import open_uploads
from tests.app.api_process import ApiProcess, running
from tests.waiting import eventually

CONTENT = os.urandom(3 * 2**20 + 17)
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
MODULES = Path(sys.prefix) / "js" / "node_modules"
TUS = {"Tus-Resumable": "1.0.0"}


@pytest.fixture(scope="module")
def api(on_either: ApiProcess) -> ApiProcess:
    return on_either


def begun(http: httpx.Client, length: int | None = len(CONTENT), headers: Any = None, **params: str) -> str:
    """The path of a new upload."""
    said = {"Upload-Defer-Length": "1"} if length is None else {"Upload-Length": str(length)}
    made = http.post("/v1/uploads", params=params, headers={**said, **(headers or {})})
    assert made.status_code == 201, made.text
    return str(made.headers["location"])


def append(http: httpx.Client, path: str, offset: int, data: bytes, **headers: str) -> httpx.Response:
    kind = {"Content-Type": "application/offset+octet-stream", **TUS}
    return http.patch(path, content=data, headers={**kind, "Upload-Offset": str(offset), **headers})


def offset(http: httpx.Client, path: str) -> int:
    return int(http.head(path, headers=TUS).headers["upload-offset"])


def model_of(http: httpx.Client, path: str) -> dict[str, Any]:
    """What the upload has become."""
    found = http.get(path)
    assert found.json()["model"], found.text
    shown: dict[str, Any] = http.get(found.headers["content-location"]).json()
    return shown


def files(api: ApiProcess) -> set[str]:
    """The names of uploads of which something is kept."""
    with sqlite3.connect(api.data / "pith.db") as db:
        in_a_bucket = {row[0] for row in db.execute("SELECT id FROM arriving")}
    folder = paths.all_partial(paths.blobs(api.data))
    return in_a_bucket | ({path.name for path in folder.iterdir()} if folder.exists() else set())


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


# ---- the official clients


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # tuspy leaves its file to the collector
def test_tuspy_uploads_in_chunks_and_goes_on_where_it_was(api: ApiProcess, http: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    file.write_bytes(CONTENT)
    first = TusClient(f"{api.url}/v1/uploads").uploader(
        str(file), chunk_size=2**20, metadata={"filename": "net.pt2"}, upload_checksum=True
    )
    first.upload_chunk()
    assert first.url is not None
    path = first.url.removeprefix(api.url)
    assert offset(http, path) == 2**20
    TusClient(f"{api.url}/v1/uploads").uploader(str(file), chunk_size=2**20, url=first.url).upload()
    assert (model_of(http, path)["digest"], model_of(http, path)["name"]) == (DIGEST, "net.pt2")


@pytest.mark.skipif(not (shutil.which("node") and MODULES.exists()), reason="no node, or tus-js-client not installed")
@pytest.mark.parametrize("protocol", ["tus-v1", "ietf-draft-05"])
def test_tus_js_client_breaks_off_and_goes_on(
    api: ApiProcess, http: httpx.Client, tmp_path: Path, protocol: str
) -> None:
    file = tmp_path / "data.npz"
    file.write_bytes(CONTENT)
    script = Path(__file__).with_name("tus_client.mjs")
    command = ["node", str(script), str(MODULES), f"{api.url}/v1/uploads", str(file), protocol, str(2**20)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    shown = http.get(done.stdout.strip().removeprefix(api.url)).json()
    found = http.get(f"/v1/datasets/{shown['dataset']}").json()
    assert (found["digest"], found["name"]) == (DIGEST, "from-js.npz")


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_curl_is_killed_and_goes_on(api: ApiProcess, http: httpx.Client, tmp_path: Path) -> None:
    file = tmp_path / "net.pt2"
    file.write_bytes(CONTENT)
    path = begun(http, name="net.pt2")
    slow = subprocess.Popen(["curl", "-sS", "--limit-rate", "500K", "-T", str(file), api.url + path])
    eventually(lambda: http.get(path).json()["offset"] > 0)
    slow.kill()
    slow.wait()
    there = offset(http, path)
    assert 0 < there < len(CONTENT)
    done = subprocess.run(
        ["curl", "-fsS", "-C", str(there), "-T", str(file), api.url + path], capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert model_of(http, path)["digest"] == DIGEST


# ---- parts and cuts


@given(
    cuts=st.lists(st.integers(0, len(CONTENT)), max_size=4).map(sorted),
    ways=st.lists(st.sampled_from(["tus", "draft", "range", "cut"]), min_size=6, max_size=6),
    told=st.booleans(),
)
@settings(
    max_examples=10, phases=[Phase.generate], deadline=None, suppress_health_check=list(HealthCheck), database=None
)
def test_whatever_way_the_parts_come_the_bytes_are_the_same(
    api: ApiProcess, cuts: list[int], ways: list[str], told: bool
) -> None:
    with httpx.Client(base_url=api.url, timeout=30) as http:
        path, start = begun(http, len(CONTENT) if told else None), 0
        for way, end in zip(ways, [*cuts, len(CONTENT)], strict=False):
            part, last = CONTENT[start:end], end == len(CONTENT)
            if way == "cut" and part:
                _cut_off(api, http, path, start, part)
            elif way == "range" and part:
                put = {"Content-Range": f"bytes {start}-{end - 1}/{len(CONTENT)}"}
                assert http.put(path, content=part, headers=put).is_success
            elif way == "draft":
                kind = {"Content-Type": "application/partial-upload", "Upload-Complete": f"?{int(last)}"}
                assert append(http, path, start, part, **kind).is_success
            else:
                assert append(http, path, start, part).is_success
            start = offset(http, path)
            assert start == end
        if http.get(path).json()["model"] is None:
            rest = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1"}
            assert append(http, path, start, CONTENT[start:], **rest).is_success
        assert model_of(http, path)["digest"] == DIGEST


def _cut_off(api: ApiProcess, http: httpx.Client, path: str, start: int, part: bytes) -> None:
    """A request that promises one byte more than it sends, and goes away once these are kept."""
    head = [
        f"PATCH {path} HTTP/1.1",
        f"Host: 127.0.0.1:{api.port}",
        "Content-Type: application/partial-upload",
        f"Upload-Offset: {start}",
        f"Content-Length: {min(len(part) + 1, len(CONTENT) - start)}",
    ]
    with socket.create_connection(("127.0.0.1", api.port)) as raw:
        raw.sendall("\r\n".join([*head, "", ""]).encode() + part)
        eventually(lambda: http.get(path).json()["offset"] == start + len(part))


def test_a_put_without_a_range_begins_anew(http: httpx.Client) -> None:
    path = begun(http)
    append(http, path, 0, b"not this")
    assert http.put(path, content=CONTENT).json()["digest"] == DIGEST


def test_all_of_it_can_come_with_the_first_request(http: httpx.Client) -> None:
    made = http.post("/v1/uploads", content=CONTENT, headers={"Upload-Complete": "?1"})
    assert made.status_code == 201 and made.json()["digest"] == DIGEST
    kind = {"Content-Type": "application/offset+octet-stream", "Upload-Length": str(len(CONTENT)), **TUS}
    made = http.post("/v1/uploads", content=CONTENT[:5], headers=kind)
    assert (made.status_code, made.headers["upload-offset"], made.content) == (201, "5", b"")


def test_a_dataset_with_a_schema_and_a_model_with_an_architecture(http: httpx.Client) -> None:
    path = begun(http, 3, of="dataset", schema='{"label": "income"}', name="a.csv")
    http.put(path, content=b"a,b")
    found = http.get(http.get(path).headers["content-location"]).json()
    assert (found["name"], found["declared"]["label"]) == ("a.csv", "income")
    meta = ",".join(
        f"{name} {base64.b64encode(value.encode()).decode()}"
        for name, value in {"architecture": "pith/resnet20", "filename": "größe.pt", "of": "model"}.items()
    )
    path = begun(http, 3, {"Upload-Metadata": meta, **TUS})
    append(http, path, 0, b"a,b")
    found = model_of(http, path)
    assert (found["name"], found["architecture"]["name"]) == ("größe.pt", "pith/resnet20")


def test_what_is_spoken_is_said(http: httpx.Client) -> None:
    said = http.options("/v1/uploads")
    assert said.status_code == 204 and said.headers["tus-version"] == "1.0.0"
    assert set(said.headers["tus-extension"].split(",")) >= {"creation", "checksum", "expiration", "termination"}
    assert said.headers["upload-limit"] == f"max-size={20 * 2**30}"


def test_an_upload_is_listed_and_forgotten(api: ApiProcess, http: httpx.Client) -> None:
    path = begun(http)
    append(http, path, 0, CONTENT[:10])
    assert name_of(path) in [one["id"] for one in http.get("/v1/uploads").json()["data"]]
    assert http.delete(path, headers=TUS).status_code == 204
    assert http.head(path).status_code == http.delete(path).status_code == 404
    assert name_of(path) not in files(api)


# ---- what is refused


def test_every_refusal_says_where_the_upload_is(http: httpx.Client) -> None:
    path = begun(http)
    append(http, path, 0, CONTENT[:10])
    sha = base64.b64encode(hashlib.sha256(b"another").digest()).decode()
    refused: dict[str, tuple[int, Callable[[], httpx.Response]]] = {
        "upload_offset_mismatch": (409, lambda: append(http, path, 5, b"x")),
        "upload_too_long": (400, lambda: append(http, path, 10, CONTENT)),
        "upload_length_changed": (409, lambda: append(http, path, 10, b"x", **{"Upload-Length": "11"})),
        "upload_checksum_mismatch": (460, lambda: append(http, path, 10, b"x", **{"Upload-Checksum": f"sha256 {sha}"})),
    }
    for code, (status, send) in refused.items():
        answer = send()
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert (answer.headers["upload-offset"], offset(http, path)) == ("10", 10), code
    checked = append(
        http, path, 10, b"x", **{"Upload-Checksum": f"sha1 {base64.b64encode(hashlib.sha1(b'x').digest()).decode()}"}
    )
    assert checked.status_code == 204 and offset(http, path) == 11


BAD_CREATIONS: dict[str, tuple[dict[str, Any], int, str]] = {
    "length": ({"headers": {"Upload-Length": "-1"}}, 422, "malformed_request"),
    "no length": ({"headers": TUS}, 422, "malformed_request"),
    "two lengths": (
        {"headers": {**TUS, "Upload-Length": "5", "Upload-Defer-Length": "1"}},
        422,
        "malformed_request",
    ),
    "nothing": ({"headers": {"Upload-Length": "0"}}, 400, "upload_empty"),
    "JSON": ({"json": {"of": "dataset"}}, 415, "media_type_not_supported"),
    "form": ({"files": {"file": b"abc"}}, 415, "media_type_not_supported"),
    "too large": ({"headers": {"Upload-Length": str(10**12)}}, 413, "upload_too_large"),
    "metadata": ({"headers": {"Upload-Metadata": "filename ???"}}, 422, "malformed_request"),
    "version": ({"headers": {"Tus-Resumable": "0.2.1"}}, 412, "tus_version"),
    "name": ({"params": {"name": "../a"}}, 422, "malformed_request"),
    "kind": ({"params": {"of": "job"}}, 422, "malformed_request"),
    "schema": ({"params": {"of": "dataset", "schema": "["}}, 422, "malformed_request"),
    "digest": ({"params": {"sha256": "abc"}}, 422, "malformed_request"),
}


@pytest.mark.parametrize(("given", "status", "code"), BAD_CREATIONS.values(), ids=BAD_CREATIONS)
def test_bad_creations_make_nothing(
    api: ApiProcess, http: httpx.Client, given: dict[str, Any], status: int, code: str
) -> None:
    before = files(api)
    refused = http.post("/v1/uploads", **given)
    assert (refused.status_code, refused.json()["code"]) == (status, code)
    assert files(api) == before


BAD_PARTS: dict[str, tuple[str, dict[str, str], int]] = {
    "no type": ("PATCH", {"Upload-Offset": "0"}, 415),
    "no offset": ("PATCH", {"Content-Type": "application/partial-upload"}, 422),
    "version": ("PATCH", {"Content-Type": "application/offset+octet-stream", "Tus-Resumable": "2"}, 412),
    "range": ("PUT", {"Content-Range": "bytes 5-1/10"}, 422),
    "range and length": ("PUT", {"Content-Range": "bytes 0-9/10"}, 422),
    "complete": (
        "PATCH",
        {"Content-Type": "application/partial-upload", "Upload-Offset": "0", "Upload-Complete": "yes"},
        422,
    ),
    "checksum": ("PUT", {"Upload-Checksum": "crc32 AAAA"}, 422),
}


@pytest.mark.parametrize(("method", "headers", "status"), BAD_PARTS.values(), ids=BAD_PARTS)
def test_bad_parts_change_nothing(http: httpx.Client, method: str, headers: dict[str, str], status: int) -> None:
    path = begun(http, 3)
    refused = http.request(method, path, content=b"abc", headers=headers)
    assert (refused.status_code, offset(http, path)) == (status, 0)


def test_a_part_in_the_wrong_place_does_not_say_how_long_the_whole_is(http: httpx.Client) -> None:
    path = begun(http, None)
    append(http, path, 0, CONTENT[:10])
    last = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1"}
    assert append(http, path, 0, b"all", **last).json()["code"] == "upload_offset_mismatch"
    assert http.get(path).json()["length"] is None
    assert append(http, path, 10, CONTENT[10:], **last).is_success
    assert model_of(http, path)["digest"] == DIGEST


@pytest.mark.parametrize("chunked", [False, True])
def test_a_last_part_that_ends_too_early_is_told_so(http: httpx.Client, chunked: bool) -> None:
    path = begun(http)
    last = {"Content-Type": "application/partial-upload", "Upload-Complete": "?1", "Upload-Offset": "0"}
    refused = http.patch(path, content=iter([CONTENT[:10]]) if chunked else CONTENT[:10], headers=last)
    assert (refused.status_code, refused.json()["code"]) == (409, "upload_length_changed")
    assert http.get(path).json()["length"] == len(CONTENT)


@pytest.mark.parametrize("length", [5, None])
def test_more_than_was_said_or_may_come_is_cut_off_where_it_ends(tmp_path: Path, length: int | None) -> None:
    with (
        running(tmp_path / "data", PITH_MAX_UPLOAD_BYTES=1000) as api,
        httpx.Client(base_url=api.url, timeout=30) as http,
    ):
        path = begun(http, length)
        kind = {"Content-Type": "application/partial-upload", "Upload-Offset": "0"}
        refused = http.patch(path, content=iter([b"a" * 2000]), headers=kind)
        assert refused.json()["code"] == ("upload_too_long" if length else "upload_too_large")
        assert offset(http, path) == (length or 1000)


def test_what_has_another_digest_than_was_said_is_not_kept(api: ApiProcess, http: httpx.Client) -> None:
    path = begun(http, 3, sha256="0" * 64)
    refused = http.put(path, content=b"abc")
    assert (refused.status_code, refused.json()["code"]) == (400, "digest_mismatch")
    assert http.head(path).status_code == 404 and name_of(path) not in files(api)


def test_an_empty_upload_is_refused(http: httpx.Client) -> None:
    path = begun(http, None)
    refused = http.put(path, content=b"")
    assert (refused.status_code, refused.json()["code"]) == (400, "upload_empty")


def test_a_complete_upload_takes_nothing_more_and_does_no_harm(http: httpx.Client) -> None:
    path = begun(http, 3)
    first = http.put(path, content=b"abc").json()
    for refused in (http.put(path, content=b"xyz"), append(http, path, 0, b"xyz")):
        assert (refused.status_code, refused.json()["code"]) == (409, "upload_complete")
        assert first["id"] in refused.json()["detail"] and first["id"] in refused.headers["content-location"]
    assert append(http, path, 3, b"").status_code == 204, "the last request, sent again for want of an answer"
    assert model_of(http, path)["digest"] == first["digest"]


# ---- faults


def test_the_api_is_killed_in_mid_upload(tmp_path: Path) -> None:
    with running(tmp_path / "data") as api, httpx.Client(base_url=api.url, timeout=30) as http:
        path = begun(http)
        with socket.create_connection(("127.0.0.1", api.port)) as raw:
            head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
            raw.sendall(head.encode() + CONTENT[: 2 * 2**20])
            time.sleep(0.3)
            os.kill(api.process.pid, signal.SIGKILL)
            api.process.wait()
        api.start()
        api.wait_until_it_answers()
        there = offset(http, path)
        assert there <= 2 * 2**20
        rest = {"Content-Range": f"bytes {there}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        assert http.put(path, content=CONTENT[there:], headers=rest).json()["digest"] == DIGEST


def test_a_process_that_died_before_it_could_say_what_came_of_the_bytes(tmp_path: Path) -> None:
    """All bytes are there, and already a blob; the next look makes the model, once."""
    with running(tmp_path / "data") as api, httpx.Client(base_url=api.url, timeout=30) as http:
        path = begun(http)
        append(http, path, 0, CONTENT[:-1])
        db = Database(f"sqlite:///{api.data}/pith.db")
        partials = LocalBlobs(paths.blobs(api.data)).partials()
        file = partials.open(name_of(path))
        assert file is not None
        file.write(CONTENT[-1:])
        file.commit(None)
        file.close()
        again = partials.open(name_of(path))
        assert again is not None and again.named and again.commit(None).digest == DIGEST, "to no harm"
        again.close()
        assert api.incoming() == []
        models = {model_of(http, path)["id"], model_of(http, path)["id"]}
        assert len(models) == 1 and len(http.get("/v1/models").json()["data"]) == 1
        assert files(api) == set() and len(api.blobs()) == 1
        db.close()


def test_a_second_request_takes_over_from_one_that_stalls(api: ApiProcess, http: httpx.Client) -> None:
    path = begun(http)
    with socket.create_connection(("127.0.0.1", api.port)) as raw:
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        raw.sendall(head.encode() + CONTENT[:1000])
        time.sleep(0.2)
        started = time.monotonic()
        there = int(http.head(path).headers["upload-offset"])
        rest = {"Content-Range": f"bytes {there}-{len(CONTENT) - 1}/{len(CONTENT)}"}
        answer = http.put(path, content=CONTENT[there:], headers=rest)
        if answer.status_code == 409:  # what the stalled one had in hand was kept when it was ended
            there = int(answer.headers["upload-offset"])
            rest = {"Content-Range": f"bytes {there}-{len(CONTENT) - 1}/{len(CONTENT)}"}
            answer = http.put(path, content=CONTENT[there:], headers=rest)
        assert answer.json()["digest"] == DIGEST
        assert time.monotonic() - started < 20, "and does not wait for the idle time of 60 s"


def test_many_requests_at_once_leave_the_bytes_whole(api: ApiProcess) -> None:
    with httpx.Client(base_url=api.url, timeout=60) as http:
        path = begun(http)
        found: list[int] = []

        def send() -> None:
            with httpx.Client(base_url=api.url, timeout=60) as mine:
                try:
                    found.append(mine.put(path, content=CONTENT).status_code)
                except httpx.TransportError:  # it was ended by the next one before it had sent all
                    found.append(0)

        threads = [threading.Thread(target=send) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert 200 in found
        assert model_of(http, path)["digest"] == DIGEST
        assert len([one for one in http.get("/v1/models").json()["data"] if one["digest"] == DIGEST]) >= 1


def test_an_upload_that_falls_silent_keeps_what_came(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", PITH_UPLOAD_IDLE_SECONDS=0.5) as api,
        httpx.Client(base_url=api.url, timeout=30) as http,
        socket.create_connection(("127.0.0.1", api.port)) as raw,
    ):
        path = begun(http)
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1:{api.port}\r\nContent-Length: {len(CONTENT)}\r\n\r\n"
        raw.sendall(head.encode() + CONTENT[:1000])
        answer = b"".join(iter(lambda: raw.recv(2**16), b"")).decode()
        assert answer.startswith("HTTP/1.1 400") and "upload_interrupted" in answer
        assert "upload-offset: 1000" in answer.lower() and offset(http, path) == 1000


def test_uploads_expire_and_orphans_are_swept(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", PITH_UPLOAD_EXPIRE_SECONDS=0.2) as api,
        httpx.Client(base_url=api.url, timeout=30) as http,
    ):
        path = begun(http)
        folder = paths.all_partial(paths.blobs(api.data))
        (folder / "upl_nobodys").touch()
        time.sleep(0.4)
        assert http.head(path).status_code == 404
        db = Database(f"sqlite:///{api.data}/pith.db")
        uploads = open_uploads(db, LocalBlobs(paths.blobs(api.data)), 0.2)
        assert uploads.expire() == 2 and uploads.expire() == 0
        assert files(api) == set()
        db.close()


def test_an_upload_that_takes_long_does_not_expire_while_it_arrives(tmp_path: Path) -> None:
    with (
        running(tmp_path / "data", PITH_UPLOAD_EXPIRE_SECONDS=2) as api,
        httpx.Client(base_url=api.url, timeout=30) as http,
    ):
        path = begun(http, 1000)

        def slowly() -> Iterator[bytes]:
            for _ in range(10):
                time.sleep(0.4)
                yield b"a" * 100

        answer = http.put(path, content=slowly(), headers={"Content-Range": "bytes 0-999/1000"})
        assert answer.is_success and answer.json()["size_bytes"] == 1000


def test_the_contract_reads_what_the_api_says(http: httpx.Client) -> None:
    shown = Upload.model_validate_json(http.get(begun(http)).content)
    assert (shown.offset, shown.length, shown.of) == (0, len(CONTENT), "model")
