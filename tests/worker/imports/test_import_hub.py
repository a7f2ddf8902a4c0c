"""Imports from a repository: a small server that speaks the Hub's paths. The real Hub was not within reach."""

import json
import tarfile
from collections.abc import Iterator

import pytest

from engine.formats import detect
from tests.store.shop import Shop
from tests.web import Handler, Web, file, serving
from tests.worker.by_reference import allowing, imported
from worker.workplace import Workplace

COMMIT = "0123456789abcdef0123456789abcdef01234567"
FILES = {"config.json": b'{"architectures": ["BertModel"]}', "model.safetensors": b"w" * 3000, "tokenizer.json": b"{}"}


@pytest.fixture
def hub() -> Iterator[Web]:
    """Two pages of files; the weights lie on another server."""
    with serving() as web, serving() as elsewhere:
        entries = [{"type": "file", "path": name, "size": len(data), "oid": "x"} for name, data in FILES.items()]
        entries += [{"type": "directory", "path": "onnx", "size": 0}, {"type": "file", "path": "model.py", "size": 9}]
        tree = f"/api/models/owner/name/tree/{COMMIT}"
        after = f'Link: <{web.url}{tree}?cursor=two>; rel="next"'
        web.pages["/api/models/owner/name/revision/main"] = told({"sha": COMMIT, "siblings": []})
        web.pages[tree] = lambda one: one.give(json.dumps(entries[:2]).encode(), after)
        web.pages[f"{tree}?cursor=two"] = told(entries[2:])
        for name, data in FILES.items():
            web.pages[f"/owner/name/resolve/{COMMIT}/{name}"] = file(data)
        elsewhere.pages["/blob"] = file(FILES["model.safetensors"])
        web.pages[f"/owner/name/resolve/{COMMIT}/model.safetensors"] = lambda one: one.redirect(
            f"{elsewhere.url}/blob?k=1"
        )
        yield web


def told(document: object) -> Handler:
    return lambda one: one.give(json.dumps(document).encode())


def test_the_files_of_a_commit_are_packed(shop: Shop, place: Workplace, hub: Web) -> None:
    place = allowing(place, hf_endpoint=hub.url, import_hosts=("127.0.0.1",), private_hosts=("127.0.0.1",))
    model = imported(shop, place, "hf://owner/name")
    assert model.digest is not None and model.name == "name", model.error
    assert model.source is not None and (model.source.uri, model.source.revision) == ("hf://owner/name", COMMIT)
    assert detect(shop.blobs.path(model.digest)) == "hugging_face"
    with tarfile.open(shop.blobs.path(model.digest)) as packed:
        found = {one.name: packed.extractfile(one).read() for one in packed}  # type: ignore[union-attr]
    assert found == {f"model/{name}": data for name, data in FILES.items()}
    assert not any("model.py" in asked.path for asked in hub.asked)


def test_where_the_hub_keeps_its_bytes_must_be_allowed_too(shop: Shop, place: Workplace, hub: Web) -> None:
    error = imported(shop, allowing(place, hf_endpoint=hub.url), "hf://owner/name").error
    assert error is not None and error.code == "address_refused" and "PITH_IMPORT_HOSTS" in error.detail


def test_what_is_not_there_is_told(shop: Shop, place: Workplace, hub: Web) -> None:
    error = imported(shop, allowing(place, hf_endpoint=hub.url), "hf://owner/other@v1").error
    assert error is not None and (error.code, "404" in error.detail) == ("import_failed", True)
    error = imported(shop, place, "hf://owner/name").error
    assert error is not None and (error.code, "PITH_HF_ENDPOINT is not set" in error.detail) == ("import_refused", True)
    hub.pages["/api/models/owner/name/revision/main"] = told({"sha": "../../x"})
    error = imported(shop, allowing(place, hf_endpoint=hub.url), "hf://owner/name").error
    assert error is not None and error.code == "import_failed"
