"""The check of an ONNX model: a finished graph, described as far as one can be."""

from engine.archives import extract
from engine.jobdir import IntakeJob, JobDir
from engine.onnx_model import read_onnx
from pith.intake import LearntModel


def check_onnx(folder: JobDir, job: IntakeJob) -> LearntModel:
    """Raises PithError: any ``model_…`` code."""
    return LearntModel(facts=read_onnx(folder.upload, folder.part("model.onnx")).facts, parts=("model.onnx",))


def check_onnx_archive(folder: JobDir, job: IntakeJob) -> LearntModel:
    """One ``.onnx`` file with its data files beside it. Raises PithError: any ``model_…`` or ``archive_…`` code."""
    desk = folder.scratch / "unpacked"
    extract(folder.upload, desk)
    (source,) = desk.rglob("*.onnx")
    facts = read_onnx(source, folder.part("model.onnx"), source.parent).facts
    return LearntModel(facts=facts, parts=("model.onnx",))
