"""The job's outputs: written, loaded back in a fresh process, and compared before they may be handed out."""

import hashlib
import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from engine.export import WRITERS
from engine.jobdir import JobDir
from engine.measure import Samples
from engine.model import Model
from engine.reload import Reload, digests, read_arrays, write_arrays
from engine.session import Arrays, open_session, run_session
from engine.usage import code_for
from pith.artifact import OutputFormat, ResultFormat
from pith.dataset import FittedPreprocessing
from pith.errors import PithError
from pith.findings.usage import Usage
from pith.report import OutputReport

CHECKED = 64
TOLERANCE = 1e-3
# Rounded to integers, a number at the edge of a step may fall to its other side, and the rest of the model sees a step.
ROUNDED_TOLERANCE = 2e-2


def write_outputs(
    model: Model, measured: Path, forms: Iterable[OutputFormat], samples: Samples, folder: JobDir, reload: Reload
) -> tuple[tuple[OutputReport, ...], tuple[Usage, ...]]:
    """Write every format, reload it elsewhere and compare with what is here; there, the code that uses it is run too.

    ``measured`` is the ONNX file that the report's numbers come from; it is itself the ONNX output.

    Raises:
        PithError: ``reload_failed``.
    """
    paths = {form: folder.output(form) for form in (*forms, *_encoded(model))}
    for form, path in paths.items():
        _write(model, measured, form, path)
    inputs = samples.take(CHECKED)
    desk = folder.scratch / "reload"
    desk.mkdir(parents=True, exist_ok=True)
    write_arrays(desk / "inputs.npz", inputs)
    files = {form: str(path.absolute()) for form, path in paths.items()}
    codes = {form: code_for(form, path.name, model, _fitted(folder)) for form, path in paths.items()}
    usage = {form: code.text for form, code in codes.items()}
    (desk / "request.json").write_text(json.dumps({"files": files, "usage": usage, "threads": torch.get_num_threads()}))
    code = reload(desk)
    if code != 0:
        raise PithError(
            "reload_failed", name=", ".join(path.name for path in paths.values()), problem=_said(desk, code)
        )
    result = run_session(open_session(measured, 1), inputs)
    here = {"onnx": result, "pith": result, "pt2": _by_layers(model, inputs) if model.trainable else result}
    printed = json.loads((desk / "usage.json").read_text())
    return (
        tuple(_checked(form, path, desk, model, here, result) for form, path in paths.items()),
        tuple(
            Usage(artifact=paths[form].name, needs=code.needs, code=code.text, printed=printed[form])
            for form, code in codes.items()
        ),
    )


def _fitted(folder: JobDir) -> FittedPreprocessing | None:
    """What this job has made of its dataset's samples, if they were no tensors."""
    file = folder.preprocessing
    return FittedPreprocessing.model_validate_json(file.read_bytes()) if file.exists() else None


def _encoded(model: Model) -> tuple[ResultFormat, ...]:
    return () if model.packed is None else ("pith",)


def _write(model: Model, measured: Path, form: ResultFormat, path: Path) -> None:
    if form == "onnx":
        shutil.copyfile(measured, path)
    elif form == "pith":
        assert model.packed is not None
        shutil.copyfile(model.packed, path)
    else:
        WRITERS[form](model, path)


def _by_layers(model: Model, inputs: Arrays) -> Arrays:
    """What the graph itself gives, which the .pt2 must give again."""
    with torch.no_grad():
        model.at_rest()
        return tuple(output.numpy() for output in model.run(tuple(map(torch.from_numpy, inputs))))


def _said(desk: Path, code: int) -> str:
    said = desk / "problem.txt"
    return said.read_text() if said.exists() else f"its own end, with exit code {code}"


def _checked(
    form: ResultFormat,
    path: Path,
    desk: Path,
    model: Model,
    here: dict[str, Arrays],
    result: Arrays,
) -> OutputReport:
    if form == "safetensors":
        difference, runs = _same_tensors(path, desk, model), here["pt2"]
    else:
        runs = read_arrays(desk / f"{form}.npz")
        tolerance = TOLERANCE if model.finished is None else ROUNDED_TOLERANCE
        difference = _difference(path, here[form], runs, tolerance)
    return OutputReport(
        name=path.name,
        format=form,
        size_bytes=path.stat().st_size,
        digest="sha256:" + _sha256(path),
        reload_max_abs_difference=difference,
        agreement_with_result=_agreement(runs[0], result[0]),
    )


def _difference(path: Path, here: Arrays, there: Arrays, tolerance: float) -> float:
    """The largest difference of any output; each must lie within the tolerance of its own size."""
    if len(here) != len(there):
        raise PithError("reload_failed", name=path.name, problem=f"{len(there)} outputs instead of {len(here)}")
    return max(_differs(path, mine, other, tolerance) for mine, other in zip(here, there, strict=True))


def _differs(path: Path, here: NDArray[Any], there: NDArray[Any], tolerance: float) -> float:
    if here.shape != there.shape or not np.isfinite(there).all():
        raise PithError("reload_failed", name=path.name, problem=f"outputs of the shape {there.shape} or not finite")
    mine, other = here.astype(np.float64), there.astype(np.float64)
    difference = float(np.abs(mine - other).max())
    if difference > tolerance * max(1.0, float(np.abs(mine).max())):
        raise PithError("reload_failed", name=path.name, problem=f"outputs that differ by {difference:.3g}")
    return difference


def _same_tensors(path: Path, desk: Path, model: Model) -> float:
    if json.loads((desk / "safetensors.json").read_text()) != digests(dict(model.graph.state_dict())):
        raise PithError("reload_failed", name=path.name, problem="other tensors than were written")
    return 0.0


def _agreement(mine: NDArray[Any], result: NDArray[Any]) -> float:
    if mine.ndim == 2 and mine.shape[1] > 1:
        return float((mine.argmax(1) == result.argmax(1)).mean())
    return float(np.allclose(mine, result, rtol=0.1, atol=0.1 * float(np.abs(result).max() or 1.0)))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
