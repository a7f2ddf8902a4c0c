"""A DAG that uploads a model and its data, compresses, and fetches what came of it.

Its parameters are paths that the workers can read. ``compress`` waits in one task; ``patient`` does the same with a
sensor that gives its worker back between two looks.
"""

from typing import Any

from airflow.sdk import Param, Variable, dag, task
from pith_operator import PithCompress, PithJobSensor, PithSubmit, fetched, uploaded

RECIPE = [{"kind": "prune.channel", "pruning_ratio": 0.5, "round_to": 4, "recovery": {"epochs": 1}}]
PARAMS = {name: Param("", type="string") for name in ("model", "dataset", "out", "require")}
SPEC = {
    "model": "{{ ti.xcom_pull(task_ids='upload')['model'] }}",
    "dataset": "{{ ti.xcom_pull(task_ids='upload')['dataset'] }}",
    "recipe": RECIPE,
}
REQUIRE = ["{{ params.require }}"]


def _url() -> str:
    return str(Variable.get("pith_url", default="http://127.0.0.1:8000"))


@task
def upload(params: dict[str, Any] | None = None) -> dict[str, str]:
    given = params or {}
    return {noun: uploaded(given[noun], f"{noun}s", _url()) for noun in ("model", "dataset")}


@task
def fetch(result: dict[str, Any], params: dict[str, Any] | None = None) -> list[str]:
    return fetched(result["job"], (params or {})["out"], _url())


@dag(schedule=None, params=PARAMS)
def compress() -> None:
    result = PithCompress(task_id="compress", spec=SPEC, require=REQUIRE, retries=2)
    upload() >> result
    fetch(result.output)  # type: ignore[arg-type]


@dag(schedule=None, params=PARAMS)
def patient() -> None:
    submit = PithSubmit(task_id="submit", spec=SPEC, retries=2)
    wait = PithJobSensor(task_id="wait", job=submit.output, require=REQUIRE, poke_interval=5)  # type: ignore[arg-type]
    upload() >> submit >> wait
    fetch(wait.output)  # type: ignore[arg-type]


compress()
patient()
