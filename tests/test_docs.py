"""The documents say what the code does: every setting, code, technique, option and route, and no dead link."""

import inspect
import json
import re
from pathlib import Path
from typing import Any, get_args

import numpy as np
import onnxruntime
import pyarrow as pa
import pytest
import yaml

import app.metrics
import worker.courier
import worker.metrics
from app.main import app as service
from app.settings import ApiSettings
from engine.architectures import from_pith
from engine.data import tabular
from pith.artifact import ResultFormat
from pith.catalogue import page
from pith.cli import codes
from pith.dataset import ColumnFacts, FittedPreprocessing, TabularPreprocessing
from pith.errors import ERRORS
from pith.job import JobSpec
from pith.requirements import NAMES
from pith.task import Task
from store.census import Census
from store.database import Database
from store.room import FreeDisk
from store.settings import Settings
from tests import settings_table
from worker.gpu import Gpus
from worker.settings import WorkerSettings

ROOT = Path(__file__).parents[1]
GUIDE = (ROOT / "docs/guide.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def test_the_page_of_techniques_is_what_the_contract_says() -> None:
    assert (ROOT / "docs/techniques.md").read_text() == page(), "python -m pith.catalogue > docs/techniques.md"


def test_every_setting_is_in_the_guide() -> None:
    fields = [name for one in (Settings, ApiSettings, WorkerSettings) for name in one.model_fields]
    missing = [name for name in fields if f"| `PITH_{name.upper()}` |" not in GUIDE]
    assert not missing


def test_the_table_of_settings_is_what_the_code_says() -> None:
    page = settings_table.PAGE.read_text()
    assert page == settings_table.rendered(page), "python -m tests.settings_table"


def test_every_metric_is_in_the_handbook_and_no_other() -> None:
    page = settings_table.PAGE.read_text().partition("## Metrics")[2].partition("###")[0]
    modules = (app.metrics, worker.metrics, worker.courier)
    collectors = [one for module in modules for one in module.REGISTRY.collect()]
    for asked in (Census(Database("sqlite:///none.db")), FreeDisk(Settings()), Gpus()):
        collectors += asked.describe()
    known = {f"{one.name}_total" if one.type == "counter" else one.name for one in collectors}
    assert set(re.findall(r"(pith_[a-z_]+)", page)) == {name for name in known if name.startswith("pith_")}


def test_every_setting_in_a_document_exists() -> None:
    known = {f"PITH_{name.upper()}" for one in (Settings, ApiSettings, WorkerSettings) for name in one.model_fields}
    known |= {"PITH_URL", "PITH_API_KEY", "PITH_PASSWORD"}  # the command line's, and the compose file's
    files = [*DOCUMENTS, ROOT / "docker-compose.yml", ROOT / "Dockerfile"]
    said = {name for path in files for name in re.findall(r"PITH_[A-Z_]+[A-Z]", path.read_text())}
    assert said <= known


def test_every_error_is_in_the_guide_with_its_status() -> None:
    missing = [code for code, row in ERRORS.items() if f"| `{code}` | {row.status} |" not in GUIDE]
    assert not missing
    listed = re.findall(r"^\| `([a-z_]+)` \| \d{3} \|", GUIDE.partition("## Errors")[2], re.MULTILINE)
    assert set(listed) == set(ERRORS)


def test_all_that_can_be_required_is_in_the_guide() -> None:
    table = GUIDE.partition("### In a pipeline")[2].partition("Another name is refused")[0]
    assert [name for name in NAMES if f"`{name}`" not in table] == []


def test_every_exit_code_is_in_the_guide() -> None:
    table = GUIDE.partition("| exit code | means |")[2].partition("`upload` waits")[0]
    known = {value for name, value in vars(codes).items() if name.isupper()}
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)} == {0, *known}


def test_every_form_of_a_result_is_in_the_guide() -> None:
    table = GUIDE.partition("## What comes out")[2].partition("```")[0]
    assert [form for form in get_args(ResultFormat) if f"| `model.{form}` |" not in table] == []


def test_every_route_is_in_the_guide() -> None:
    paths = service.openapi()["paths"]
    routes = [f"{method.upper()} {path}" for path, methods in paths.items() for method in methods]
    assert [route for route in routes if f"| `{route}` |" not in GUIDE] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)\)", document.read_text()):
        assert (document.parent / target).exists(), target


def test_files_that_documents_name_exist() -> None:
    for document in (ROOT / "README.md", ROOT / "ARCHITECTURE.md", ROOT / "CONTRIBUTING.md"):
        for name in re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_.]+\.[a-z0-9]+)`", document.read_text()):
            assert name.startswith("out/") or (ROOT / name).exists(), f"{document.name} names {name}"


def test_the_compose_file_uses_targets_and_commands_that_exist() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    dockerfile = (ROOT / "Dockerfile").read_text()
    targets = set(re.findall(r"^FROM \S+ AS (\S+)$", dockerfile, re.MULTILINE))
    for name in ("api", "scheduler", "worker"):
        service = compose["services"][name]
        assert service["build"]["target"] in targets
        assert {"PITH_DATABASE_URL", "PITH_REDIS_URL", "PITH_BLOB_URL"} <= service["environment"].keys()
        assert "data:/data" in service["volumes"]
    assert {"redis", "postgres"} <= compose["services"].keys()
    modules = re.findall(r'"python", "-m", "([a-z.]+)"', dockerfile + (ROOT / "docker-compose.yml").read_text())
    for module in modules:
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
    for folder in re.findall(r"^COPY (\w+) ", dockerfile, re.MULTILINE):
        assert (ROOT / folder).is_dir()
    api = dockerfile.partition("AS api")[2].partition("FROM")[0]
    assert "engine" not in api and "worker" not in api, "the API's image has no torch"


def test_constraints_name_no_address() -> None:
    assert all(
        re.fullmatch(r"[A-Za-z0-9_.\-]+==[^@/]+", line) for line in (ROOT / "constraints.txt").read_text().split()
    )


@pytest.mark.parametrize("example", sorted(ROOT.glob("examples/*/job.json")), ids=lambda path: path.parent.name)
def test_every_example_is_a_job(example: Path) -> None:
    text = example.read_text()
    for number, place in enumerate(sorted(set(re.findall(r"<[^<>]+\.pt2>", text)))):
        text = text.replace(place, f"mdl_{number + 1:026}")
    JobSpec.model_validate({"model": f"mdl_{0:026}", "dataset": f"dts_{0:026}", **json.loads(text)}).check()


def test_every_task_is_in_the_guide() -> None:
    tasks = GUIDE.partition("### Tasks")[2].partition("## A job spec")[0]
    assert [task for task in get_args(Task) if f"`{task}`" not in tasks] == []


@pytest.mark.parametrize("name", from_pith.names())
def test_every_argument_of_a_built_in_architecture_is_in_the_guide(name: str) -> None:
    (row,) = [line for line in GUIDE.splitlines() if line.startswith("|") and f"`pith/{name}`" in line.split("|")[1]]
    said = re.findall(r"`(\w+)`(?: \(([^)]+)\))?", row.split("|")[3])
    known = inspect.signature(from_pith._CLASSICS[name].make).parameters.values()
    assert said == [(one.name, "" if one.default is one.empty else json.dumps(one.default)) for one in known]


class _Echo:
    """Stands for a model whose scores are its inputs."""

    def __init__(self, path: str) -> None:
        assert path == "model.onnx"

    def run(self, names: None, feed: dict[str, Any]) -> list[Any]:
        return [feed["input"]]


def test_the_guide_encodes_a_table_as_jobs_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"age": 3.0, "pay": 1.0, "job": "smith"}, {"age": None, "pay": 5.0, "job": None}, {"age": 7.0, "pay": 2.5}]
    columns = tuple(ColumnFacts(name=name, role="input", type="numeric", dtype="double") for name in ("age", "pay"))
    columns += (ColumnFacts(name="job", role="input", type="categorical", dtype="string"),)
    how = TabularPreprocessing()
    table = tabular.fit([pa.RecordBatch.from_pylist(rows)], columns, how)
    fitted = FittedPreprocessing(preprocessing=how, inputs=("age", "pay", "job"), input_shape=(5,), table=table)
    classes = tuple("abcde")
    (tmp_path / "preprocessing.json").write_text(fitted.model_copy(update={"classes": classes}).model_dump_json())
    rows.append({"age": 4.0, "pay": None, "job": "baker"})  # a category, and a gap, that training had not
    (example,) = re.findall(r"```python\n(.*?)```", GUIDE.partition("### Preprocessing")[2], re.DOTALL)[:1]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(onnxruntime, "InferenceSession", _Echo)
    found: dict[str, Any] = {"rows": rows}
    exec(example, found)
    wanted = tabular.transform(pa.RecordBatch.from_pylist(rows), table)
    assert np.allclose(found["x"], wanted, atol=1e-6) and found["x"].dtype == np.float32
    assert found["names"] == [classes[best] for best in wanted.argmax(1)]
