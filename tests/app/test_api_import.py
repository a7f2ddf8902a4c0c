"""What is to be fetched, over HTTP: JSON in the place of a file. Nothing is fetched here; a worker does that."""

import httpx
import pytest

from pith.client import Pith
from pith.dataset import DatasetSchema
from pith.errors import PithError
from pith.intake import Architecture

URL = "https://files.example.org/nets/net.pt2"


def test_a_model_is_checking_before_a_byte_is_there(http: httpx.Client) -> None:
    answer = http.post("/v1/models", json={"source": f"{URL}?X-Amz-Signature=secret"})
    made = answer.json()
    assert answer.status_code == 201 and answer.headers["Location"] == f"/v1/models/{made['id']}"
    assert (made["name"], made["status"], made["digest"], made["size_bytes"]) == ("net.pt2", "checking", None, 0)
    assert made["source"] == {"uri": f"{URL}?…", "revision": None}
    assert "secret" not in http.get(f"/v1/models/{made['id']}").text
    assert "secret" not in http.get("/v1/models").text
    assert http.delete(f"/v1/models/{made['id']}").status_code == 204


def test_what_an_upload_may_say_an_import_may_say(http: httpx.Client) -> None:
    architecture = {"name": "pith/lenet_5"}
    model = http.post("/v1/models", json={"source": URL, "name": "mine", "architecture": architecture}).json()
    assert (model["name"], model["architecture"]["name"]) == ("mine", "pith/lenet_5")
    dataset = http.post("/v1/datasets", json={"source": "s3://data/x/adult.csv", "schema": {"label": "income"}}).json()
    assert (dataset["name"], dataset["digest"], dataset["declared"]["label"]) == ("adult.csv", None, "income")
    assert http.put("/v1/models", content=b"bytes").json()["source"] is None


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("models:/net one/3", "net one"),
        ("models:/net@best", "net"),
        ("mlflow:/net/3", "net"),
        ("hf://owner/name", "name"),
        ("hf://owner/name@refs/pr/1", "name"),
        ("https://files.example.org/a%20b.pt2#fragment", "a b.pt2"),
        ("https://files.example.org/", "import"),
        ("http://127.0.0.1:8080/x%2Fy%00.pt2", "x_y_.pt2"),
    ],
)
def test_a_source_names_what_it_brings(http: httpx.Client, source: str, name: str) -> None:
    answer = http.post("/v1/models", json={"source": source})
    assert (answer.status_code, answer.json().get("name")) == (201, name), answer.text


@pytest.mark.parametrize(
    "source",
    ["", "net.pt2", "file:///etc/passwd", "ftp://example.org/x", "https://", "https:///x",
     "https://user:hunter2@example.org/x", "https://hunter2@example.org/x", "https://exa mple.org/",
     "https://example.org/\nx", "https://[::1/x", "https://h:99999/x", "https://example.org\\@evil.org/", "s3://bucket",
     "s3://UP/key", "s3://bucket/a/../b", "models:/net", "models:/net/x", "models:/a/b/3", "hf://name", "hf://a/b/c",
     "hf://a/..", "gopher://example.org/", "javascript:alert(1)", None, 3, []],
)  # fmt: skip
def test_what_is_no_source_is_told_so(http: httpx.Client, source: object) -> None:
    answer = http.post("/v1/models", json={"source": source})
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request"), answer.text
    assert answer.json()["errors"][0]["pointer"] == "/source"
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("noun", "body", "where"),
    [
        ("models", {}, "neither a source"),
        ("models", {"architecture": {"name": "pith/lenet_5"}}, "neither a source"),
        ("models", {"source": URL, "arguments": {}}, "/arguments"),
        ("models", {"source": URL, "schema": {}}, "/schema"),
        ("models", {"source": URL, "sha256": "abc"}, "/sha256"),
        ("models", {"source": URL, "name": "a/b"}, "/name"),
        ("models", {"source": URL, "architecture": {"name": "lenet"}}, "/architecture/name"),
        ("datasets", {"name": "x"}, "/source"),
        ("datasets", {"source": URL, "architecture": {"name": "pith/lenet_5"}}, "/architecture"),
        ("datasets", {"source": "models:/net/3"}, "hold models"),
        ("datasets", {"source": URL, "schema": {"label": 3}}, "/schema/label"),
        ("datasets", [], "whole"),
    ],
)
def test_a_body_that_is_neither_is_told_what_is_wrong(http: httpx.Client, noun: str, body: object, where: str) -> None:
    answer = http.post(f"/v1/{noun}", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "malformed_request"), answer.text
    assert where in answer.text


def test_a_repeated_request_makes_one_import(http: httpx.Client) -> None:
    headers = {"Idempotency-Key": "import once"}
    one, two = (http.post("/v1/models", json={"source": URL}, headers=headers).json() for _ in range(2))
    assert one["id"] == two["id"]
    other = http.post("/v1/models", json={"source": f"{URL}?other"}, headers=headers)
    assert other.json()["code"] == "idempotency_key_reused"


def test_the_client_imports(client: Pith) -> None:
    model = client.models.import_(URL, "mine", "0" * 64, Architecture(name="pith/lenet_5"))
    assert model.source is not None and (model.name, model.source.uri) == ("mine", URL)
    assert model.architecture is not None and model.architecture.name == "pith/lenet_5"
    dataset = client.datasets.import_("s3://data/adult.csv", given=DatasetSchema(label="income"))
    assert dataset.declared is not None and dataset.declared.label == "income"
    with pytest.raises(PithError, match="hold models"):
        client.datasets.import_("hf://owner/name")
