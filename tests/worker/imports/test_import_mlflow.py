"""Imports from a model registry: a real MLflow server, and the real supervisor."""

import tarfile
from collections.abc import Iterator

import pytest

from pith.resources import Model
from tests.mlflow_process import MlflowProcess
from tests.store.shop import Shop, digest
from tests.web import Handler, file, serving
from tests.worker.by_reference import allowing, imported
from worker.imports import fetch
from worker.workplace import Workplace

SCRIPT = b"learn('model.pt2')"
FOLDER = {
    "MLmodel": b"flavors: {}",
    "requirements.txt": b"torch",
    "loader.py": b"raise SystemExit",
    "model/config.json": b'{"architectures": ["BertModel"]}',
    "model/model.safetensors": b"weights" * 100_000,
    "components/tokenizer/tokenizer.json": b"{}",
}


@pytest.fixture(scope="module")
def mlflow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowProcess]:
    server = MlflowProcess(tmp_path_factory.mktemp("mlflow") / "server")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def place(place: Workplace, mlflow: MlflowProcess) -> Workplace:
    return allowing(place, mlflow_tracking_uri=mlflow.url)


def problem(model: Model) -> str:
    assert model.status == "rejected" and model.error is not None
    return f"{model.error.code}: {model.error.detail}"


def test_a_version_and_an_alias_are_fetched(shop: Shop, place: Workplace, mlflow: MlflowProcess) -> None:
    assert mlflow.register("a net", {"MLmodel": b"", "data/net.pt2": SCRIPT}) == "1"
    assert mlflow.register("a net", {"MLmodel": b"", "data/net.pt2": SCRIPT + b"\n"}) == "2"
    mlflow.api("POST", "registered-models/alias", name="a net", alias="best", version="1")
    one, two, best = (
        imported(shop, place, source) for source in ("models:/a net/1", "mlflow:/a net/2", "models:/a net@best")
    )
    assert [model.status for model in (one, two, best)] == ["ready"] * 3, one.error
    assert (one.digest, two.digest, best.digest) == (digest(SCRIPT), digest(SCRIPT + b"\n"), digest(SCRIPT))
    assert [model.source and model.source.revision for model in (two, best)] == ["models:/a net/2", "models:/a net/1"]
    assert one.name == "a net"


def test_a_folder_is_packed_without_its_programs(shop: Shop, place: Workplace, mlflow: MlflowProcess) -> None:
    mlflow.register("folder", FOLDER)
    model, again = (imported(shop, place, "models:/folder/1") for _ in range(2))
    assert model.digest is not None and model.digest == again.digest, model.error
    with tarfile.open(shop.blobs.path(model.digest)) as packed:
        found = {one.name: packed.extractfile(one).read() for one in packed}  # type: ignore[union-attr]
    assert found == {
        "model/config.json": FOLDER["model/config.json"],
        "model/model.safetensors": FOLDER["model/model.safetensors"],
        "model/tokenizer.json": FOLDER["components/tokenizer/tokenizer.json"],
    }


def test_what_is_not_there_is_told(shop: Shop, place: Workplace, mlflow: MlflowProcess) -> None:
    mlflow.register("empty", {"MLmodel": b"", "python_model.pkl": b"x"})
    assert "404" in problem(imported(shop, place, "models:/nobody/1"))
    assert "import_failed" in problem(imported(shop, place, "models:/empty@nothing"))
    assert "import_refused: models:/empty/1 is not imported: no one model" in problem(
        imported(shop, place, "models:/empty/1")
    )
    unset = allowing(place, mlflow_tracking_uri=None)
    assert "PITH_MLFLOW_TRACKING_URI is not set" in problem(imported(shop, unset, "models:/empty/1"))


def test_files_that_lie_elsewhere_are_not_fetched(shop: Shop, place: Workplace, mlflow: MlflowProcess) -> None:
    """Where a version lies is what somebody has written into the registry."""
    mlflow.api("POST", "registered-models/create", name="elsewhere")
    source = "s3://somebody/else"
    mlflow.api("POST", "model-versions/create", name="elsewhere", source=source)
    said = problem(imported(shop, place, "models:/elsewhere/1"))
    assert "import_refused" in said and source in said and "--serve-artifacts" in said


def test_the_registry_is_open_to_registered_models_alone(shop: Shop, place: Workplace, mlflow: MlflowProcess) -> None:
    assert "address_refused" in problem(imported(shop, place, f"{mlflow.url}/api/2.0/mlflow/experiments/search"))


def test_a_user_and_password_go_to_the_registry_alone(
    shop: Shop, place: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.01)
    with serving() as web:
        asking = allowing(place, mlflow_tracking_uri=web.url.replace("http://", "http://me:a%20word@"))
        said = problem(imported(shop, asking, "models:/net/1"))
        assert web.asked[0].headers["authorization"] == "Basic bWU6YSB3b3Jk"
        assert "word" not in said


def test_a_listing_that_lies_is_not_believed(shop: Shop, place: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry that is not what it says: more bytes than listed, names that lead out, endless folders."""
    monkeypatch.setattr(fetch, "FIRST_PAUSE", 0.01)
    api = "/api/2.0/mlflow"
    with serving() as web:
        lying = allowing(place, mlflow_tracking_uri=web.url)
        place_of = f"{api}/model-versions/get-download-uri"
        web.pages[place_of] = json('{"artifact_uri": "mlflow-artifacts:/1/model"}')
        listing, files = "/api/2.0/mlflow-artifacts/artifacts", "/api/2.0/mlflow-artifacts/artifacts/1/model"
        web.pages[listing] = json('{"files": [{"path": "net.pt2", "is_dir": false, "file_size": 3}]}')
        web.pages[f"{files}/net.pt2"] = file(b"longer")
        assert "more than the 3 bytes" in problem(imported(shop, lying, "models:/net/1"))
        web.pages[listing] = json('{"files": [{"path": "../../net.pt2", "is_dir": false, "file_size": 3}]}')
        assert "import_refused" in problem(imported(shop, lying, "models:/net/1"))
        elsewhere = json('{"artifact_uri": "mlflow-artifacts:/../../../secret"}')
        here, web.pages[place_of] = web.pages[place_of], elsewhere
        assert "does not hand out" in problem(imported(shop, lying, "models:/net/1"))
        web.pages[place_of] = here
        web.pages[listing] = json('{"files": [{"path": "deeper", "is_dir": true}]}')
        monkeypatch.setattr("worker.imports.mlflow.MOST_FILES", 5)
        assert "import_refused" in problem(imported(shop, lying, "models:/net/1"))
        for answer in ("[]", "{", '{"files": 3}', '{"files": [3]}', '{"files": [{"path": "x", "file_size": "y"}]}'):
            web.pages[listing] = json(answer)
            assert "import_" in problem(imported(shop, lying, "models:/net/1")), answer


def json(text: str) -> Handler:
    return lambda one: one.give(text.encode())
