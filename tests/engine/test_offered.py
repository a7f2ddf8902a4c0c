"""The example that the service offers, as the check finds it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.offered import FOLDER, job_spec
from pith.plan import plan
from pith.resources import Dataset, Model
from tests.engine.data.uploads import check
from tests.engine.test_intake import folder_for, learnt


def test_the_example_is_good_and_suits_its_job(tmp_path: Path) -> None:
    folder = folder_for(tmp_path / "model", "model.pt2")
    folder.upload.write_bytes((FOLDER / "model.pt2").read_bytes())
    data = check(tmp_path / "data", (FOLDER / "dataset.npz").read_bytes())
    model = Model(id="mdl_" + "0" * 26, facts=learnt(folder).facts, **_ready())
    dataset = Dataset(id="dts_" + "0" * 26, facts=data.facts, **_ready())
    found = plan(job_spec(model, dataset), model, dataset, {model.id: model, dataset.id: dataset})
    assert found.problems == () and len(found.steps) == 3
    assert data.facts.samples == 1797 and "picture" in data.preview.samples[0]["x"]


def _ready() -> dict[str, Any]:
    known = {"name": "example", "digest": None, "size_bytes": 1, "check": "job_" + "0" * 26}
    return {**known, "status": "ready", "created_at": datetime.now(UTC)}
