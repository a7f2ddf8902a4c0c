"""The operator and the DAGs of examples/airflow in a real Airflow (`make airflow`), against a real service."""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from pith.client import Pith
from tests.app.embedded import Up
from tests.engine.tiny import Cnn, arrays, saved

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples/airflow"
AIRFLOW = ROOT / ".venv/airflow/bin"
LONG = {"kind": "finetune.full", "epochs": 1000}
SHORT = {"kind": "quantize.dynamic"}

# Airflow's own operator class; the context has what the operator reads of it.
TWICE = """
import json, sys, threading, time
from types import SimpleNamespace
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from pith_operator import PithCompress

url, spec, require, kill = json.loads(sys.argv[1])

def execute(run, killed=False):
    task = SimpleNamespace(dag_id="a", run_id=run, task_id="compress", map_index=-1)
    operator = PithCompress(task_id="compress", spec=spec, require=require, url=url)
    operator.render_template_fields({})
    def end():
        while operator._job is None:
            time.sleep(0.05)
        operator.on_kill()
    if killed:
        threading.Thread(target=end, daemon=True).start()
    try:
        return operator.execute({"ti": task})["job"]
    except AirflowException as error:
        return f"{type(error).__name__}: {error}"

runs = [execute("one", kill)] if kill else [execute("one"), execute("one"), execute("two")]
print(json.dumps(runs))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (AIRFLOW / "airflow").exists():
        pytest.skip("Airflow is not here; `make airflow` installs it into an environment of its own")
    return tmp_path_factory.mktemp("airflow")


def environment(home: Path, service: Up) -> dict[str, str]:
    return {
        **os.environ,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(EXAMPLE),
        "AIRFLOW_VAR_PITH_URL": service.url,
        "PYTHONPATH": f"{ROOT}:{EXAMPLE}",
        "NO_COLOR": "1",
    }


def executed(home: Path, service: Up, spec: object, require: object = (), kill: bool = False) -> list[str]:
    given = json.dumps([service.url, spec, require, kill])
    words = [str(AIRFLOW / "python"), "-c", TWICE, given]
    done = subprocess.run(words, env=environment(home, service), capture_output=True, text=True, cwd=home)
    assert done.returncode == 0, done.stderr
    found: list[str] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def migrated(home: Path, service: Up) -> Path:
    words = [str(AIRFLOW / "airflow"), "db", "migrate"]
    done = subprocess.run(words, env=environment(home, service), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (home / "model.pt2").write_bytes(saved(Cnn))
    np.savez(home / "dataset.npz", **arrays())
    return home


@pytest.mark.parametrize(
    ("dag", "require", "state"),
    [("compress", "compression_ratio>=2", "success"), ("patient", "compression_ratio>=1000", "failed")],
)
def test_a_dag_compresses_or_fails(service: Up, migrated: Path, dag: str, require: str, state: str) -> None:
    given = {"model": str(migrated / "model.pt2"), "dataset": str(migrated / "dataset.npz"), "require": require}
    conf = json.dumps({**given, "out": str(migrated / dag)})
    words = [str(AIRFLOW / "airflow"), "dags", "test", dag, "-c", conf]
    done = subprocess.run(words, env=environment(migrated, service), capture_output=True, text=True, cwd=migrated)
    said = done.stdout + done.stderr
    assert f"state={state}, run_type=manual" in said, said[-5000:]
    assert (migrated / dag / "model.onnx").exists() is (state == "success")
    assert ("compression_ratio>=1000: " in said and "NOT MET" in said) is (state == "failed")


def test_a_retry_takes_up_the_job_of_its_dag_run(service: Up, pith: Pith, home: Path, ids: dict[str, str]) -> None:
    first, again, other = executed(home, service, {**ids, "recipe": [SHORT]}, ["speedup>0"])
    assert first == again != other
    assert pith.jobs.get(first).status == pith.jobs.get(other).status == "succeeded"


def test_a_task_that_is_killed_cancels_its_job_and_a_retry_makes_another(
    service: Up, pith: Pith, home: Path, ids: dict[str, str]
) -> None:
    spec = {**ids, "recipe": [LONG]}
    said = [executed(home, service, spec, kill=True)[0] for _ in range(2)]
    jobs = [line.split()[2].rstrip(":") for line in said]
    assert all(line.startswith("AirflowException: job job_") for line in said) and len(set(jobs)) == 2, said
    assert {pith.jobs.get(job).status for job in jobs} == {"cancelled"}


@pytest.mark.parametrize(
    ("spec", "require", "said"),
    [
        ({"recipe": [{"kind": "quantize.dynamic", "bits": 3}]}, [], "AirflowFailException: "),
        ({"recipe": [SHORT]}, ["sped>1"], "did you mean speedup?"),
        ({"recipe": [SHORT]}, ["speedup>1e9"], "speedup>1000000000: "),
    ],
)
def test_what_no_retry_can_mend_fails_for_good(
    service: Up, home: Path, ids: dict[str, str], spec: dict[str, object], require: list[str], said: str
) -> None:
    for line in executed(home, service, {**ids, **spec}, require):
        assert line.startswith("AirflowFailException: ") and said in line
