"""The manifests are what Kubernetes takes, name settings that exist, and hold to what the code needs."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from app.settings import ApiSettings
from store.database import Database
from store.settings import Settings
from worker.settings import WorkerSettings

FOLDER = Path(__file__).parents[1] / "deploy/kubernetes"
FILES = sorted(path for path in FOLDER.rglob("*.yaml") if path.name != "kustomization.yaml")
OLDEST, NEWEST = "1.30", kubernetes_validate.latest_version()


def documents(path: Path) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all(path.read_text()))


ALL = [document for path in FILES for document in documents(path)]
DEPLOYMENTS = {one["metadata"]["name"]: one for one in ALL if one["kind"] == "Deployment"}
WORKERS = [name for name, one in DEPLOYMENTS.items() if one["metadata"]["labels"].get("pith") == "worker"]


def pod(name: str) -> dict[str, Any]:
    found: dict[str, Any] = DEPLOYMENTS[name]["spec"]["template"]["spec"]
    return found


def environment(name: str) -> dict[str, str]:
    (config,) = [one["data"] for one in ALL if one["kind"] == "ConfigMap"]
    own = pod(name)["containers"][0].get("env", ())
    return {**config, **{one["name"]: one["value"] for one in own}}


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_manifest_keeps_to_the_schemas(path: Path, version: str) -> None:
    for document in documents(path):
        if document["apiVersion"].startswith("keda.sh/"):
            continue  # its schemas are no part of Kubernetes
        kubernetes_validate.validate(document, version, strict=True)


def test_every_file_is_named_by_its_kustomization() -> None:
    for folder in (FOLDER, FOLDER / "autoscaling"):
        named = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        assert set(named) == {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="there is no kubectl here")
@pytest.mark.parametrize("folder", [FOLDER, FOLDER / "autoscaling"], ids=lambda path: path.name)
def test_kubectl_renders_them(folder: Path) -> None:
    rendered = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, check=True).stdout
    every = list(yaml.safe_load_all(rendered))
    assert len(every) == sum(len(documents(path)) for path in folder.glob("*.yaml") if path in FILES)
    assert all(one["metadata"]["namespace"] == "pith" for one in every)


def test_every_setting_that_they_name_exists_and_is_one_that_can_be() -> None:
    classes = (Settings, ApiSettings, WorkerSettings)
    known = {f"PITH_{name.upper()}" for one in classes for name in one.model_fields}
    for path in [*FILES, FOLDER / "kustomization.yaml"]:
        assert set(re.findall(r"PITH_[A-Z_]+[A-Z]", path.read_text())) <= known, path.name
    for name in DEPLOYMENTS:
        # The URL of the blobs is checked where there is something behind it.
        given = {key[5:].lower(): value for key, value in environment(name).items() if key != "PITH_BLOB_URL"}
        for one in (Settings, WorkerSettings):
            one.model_validate(given)
        ApiSettings.model_validate(given)


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_probes_go_to_ports_that_answer_them(name: str) -> None:
    (container,) = pod(name)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports["metrics"] == int(environment(name)["PITH_METRICS_PORT"])
    scraped = DEPLOYMENTS[name]["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"]
    assert int(scraped) == ports["metrics"]
    for kind in ("startupProbe", "livenessProbe"):
        probe = container[kind]["httpGet"]
        assert probe["path"] == "/livez" and probe["port"] in ports
        # The API refuses the address of a pod as its name.
        assert probe["port"] == "metrics" or {"name": "Host", "value": "localhost"} in probe["httpHeaders"]


@pytest.mark.parametrize("name", DEPLOYMENTS)
def test_pods_are_bounded_and_have_no_privilege(name: str) -> None:
    (container,) = pod(name)["containers"]
    assert pod(name)["securityContext"]["runAsNonRoot"] and not pod(name)["automountServiceAccountToken"]
    assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    for bound in ("memory", "ephemeral-storage"):
        assert bound in container["resources"]["limits"] and bound in container["resources"]["requests"]
    assert {"name": "data", "mountPath": "/data"} in container["volumeMounts"]


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_has_time_to_drain(name: str) -> None:
    assert pod(name)["terminationGracePeriodSeconds"] >= int(environment(name)["PITH_DRAIN_SECONDS"]) + 30


def test_every_worker_is_under_the_policy_and_has_a_budget() -> None:
    assert {"pith-checker", "pith-worker-cpu", "pith-worker-gpu"} == set(WORKERS)
    (policy,) = [one for one in ALL if one["kind"] == "NetworkPolicy" and one["metadata"]["name"] == "pith-workers"]
    assert policy["spec"]["podSelector"] == {"matchLabels": {"pith": "worker"}}
    assert all(DEPLOYMENTS[name]["spec"]["template"]["metadata"]["labels"]["pith"] == "worker" for name in WORKERS)
    budgets = {one["metadata"]["name"] for one in ALL if one["kind"] == "PodDisruptionBudget"}
    assert {*WORKERS, "pith-api"} <= budgets


def test_what_the_autoscaler_asks_is_a_question_that_the_tables_answer(tmp_path: Path) -> None:
    scaled = [one for one in ALL if one["kind"] == "ScaledObject"]
    assert {one["spec"]["scaleTargetRef"]["name"] for one in scaled} <= DEPLOYMENTS.keys()
    database = Database(f"sqlite:///{tmp_path}/pith.db")
    database.migrate()
    with database.reader() as session:
        for one in scaled:
            for trigger in one["spec"]["triggers"]:
                assert session.connection().exec_driver_sql(trigger["metadata"]["query"]).scalar() == 0
    database.close()
