"""``make examples``: the report of one job for each kind of data, into ``docs/examples``.

The pictures are scikit-learn's digits, with the demo's recipe. Texts, sounds and the table are real data of
``../shared``; where that is not, their reports stay as they are, and this says so.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from bench.modalities import CASES, Case, compressed, run_job
from bench.real_data import SHARED
from engine.data.intake import stage_dataset
from engine.jobdir import JobDir
from pith.dataset import DatasetSchema
from pith.faces.markdown import markdown
from pith.report import Report

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "examples"
ASKED = {"max_metric_drop": 0.02, "min_compression_ratio": 3, "min_speedup": 1.1}
# Fewer epochs than the bench takes: the report is the example, not the model.
EPOCHS = {"text (TREC, pith/text_cnn)": 4, "audio (FSDD, pith/ds_cnn)": 6, "table (Adult, pith/mlp)": 3}


def main(wanted: list[str]) -> None:
    for name, make in _examples().items():
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as root:
            folder = make(Path(root))
            if folder is None:
                print(f"{name}: {SHARED} is not there; its report stays as it is")
                continue
            (OUT / name).mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder.report_html, OUT / name / "report.html")
            report = Report.model_validate_json(folder.report_json.read_bytes())
            (OUT / name / "report.md").write_text(markdown(report), encoding="utf-8")
            print(f"{name}: {OUT.relative_to(ROOT) / name}", flush=True)


def _examples() -> dict[str, Callable[[Path], JobDir | None]]:
    found: dict[str, Callable[[Path], JobDir | None]] = {"image": _digits}
    for title, case in CASES.items():
        lighter = replace(case, training={**case.training, "epochs": EPOCHS[title]})
        found[title.split()[0]] = lambda root, case=lighter: _real(case, root)  # type: ignore[misc]
    return found


def _real(case: Case, root: Path) -> JobDir | None:
    return compressed(case, root, constraints=ASKED).folder if SHARED.exists() else None


def _digits(root: Path) -> JobDir:
    subprocess.run([sys.executable, str(ROOT / "examples" / "digits.py"), str(root)], check=True)
    folder = JobDir(root / "compression")
    folder.out.mkdir(parents=True)
    stage_dataset(root / "dataset.npz", "dataset.npz", DatasetSchema(task="image-classification"), folder)
    shutil.copyfile(root / "model.pt2", folder.model)
    spec = json.loads((ROOT / "examples" / "demo" / "job.json").read_text())
    run_job(folder, spec["recipe"], (), spec["outputs"], constraints=ASKED)
    return folder


if __name__ == "__main__":
    main(sys.argv[1:])
