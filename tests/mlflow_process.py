"""A real MLflow server from an environment of its own, .venv/mlflow: its dependencies do not go with ours."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.api_process import free_port
from tests.waiting import eventually

ROOT = Path(__file__).parents[1]
START_SECONDS = 180.0


class MlflowProcess:
    """A tracking server with SQLite and a folder of artifacts, which it serves itself. ``url`` is where."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        self.url = f"http://127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--backend-store-uri": f"sqlite:///{self.folder}/mlflow.db",
            "--artifacts-destination": str(self.folder / "artifacts"),
            "--host": "127.0.0.1",
            "--port": self.url.rpartition(":")[2],
            "--workers": "1",
        }
        words = [executable(), "server", "--serve-artifacts", *(word for pair in options.items() for word in pair)]
        own = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW_", "PITH_"))}
        quiet = {
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "1",
            "HOME": str(self.folder),
        }
        with (self.folder / "log").open("ab") as log:
            # A group of its own: the server starts others.
            self._process = subprocess.Popen(
                words, stdout=log, stderr=log, env=own | quiet, cwd=self.folder, start_new_session=True
            )
        eventually(self._answers, START_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, 9)
            self._process.wait()
            self._process = None

    def api(self, method: str, path: str, **said: Any) -> Any:
        """One call of MLflow's REST API, as JSON: ``api("POST", "experiments/create", name="x")``."""
        given: dict[str, Any] = {"params": said} if method == "GET" else {"json": said}
        answer = httpx.request(method, f"{self.url}/api/2.0/mlflow/{path}", timeout=60, trust_env=False, **given)
        assert answer.is_success, answer.text
        return answer.json()

    def run(self) -> Any:
        """A new run's ``info``: its ``run_id``, and ``artifact_uri``."""
        return self.api("POST", "runs/create", experiment_id="0")["run"]["info"]

    def put(self, run: Any, path: str, data: bytes) -> None:
        """Store a file among the artifacts of a run."""
        root = str(run["artifact_uri"]).removeprefix("mlflow-artifacts:/")
        where = f"{self.url}/api/2.0/mlflow-artifacts/artifacts/{root}/{path}"
        answer = httpx.put(where, content=data, timeout=60, trust_env=False)
        assert answer.is_success, answer.text

    def register(self, name: str, files: dict[str, bytes]) -> str:
        """Files as a new version of a registered model; which version."""
        known = self.api("GET", "registered-models/search").get("registered_models", [])
        if name not in {one["name"] for one in known}:
            self.api("POST", "registered-models/create", name=name)
        run = self.run()
        for path, data in files.items():
            self.put(run, f"model/{path}", data)
        source = f"{run['artifact_uri']}/model"
        made = self.api("POST", "model-versions/create", name=name, source=source, run_id=run["run_id"])
        return str(made["model_version"]["version"])

    def _answers(self) -> bool:
        assert self._process is not None and self._process.poll() is None, (self.folder / "log").read_text()
        try:
            return httpx.get(f"{self.url}/health", timeout=5, trust_env=False).is_success
        except httpx.TransportError:
            return False


def executable() -> str:
    own = ROOT / ".venv/mlflow/bin/mlflow"
    found = str(own) if own.exists() else shutil.which("mlflow")
    return found or pytest.skip("MLflow is not here; `make .venv/mlflow` installs it into an environment of its own")
