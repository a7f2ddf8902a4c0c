"""The check of a model: its format is found by its content, and it becomes one canonical file.

What was made of an upload is read back as every job will read it, before it is accepted.
"""

import json
import shutil
from collections.abc import Callable, Mapping

import torch

from engine.architectures.build import build
from engine.architectures.built import Built
from engine.architectures.export import program
from engine.archives import extract
from engine.events import EventStream
from engine.formats import ModelFormatFound, detect
from engine.hf_folder import read_folder
from engine.intake.facts import Origin, describe
from engine.intake.onnx import check_onnx, check_onnx_archive
from engine.jobdir import IntakeJob, JobDir
from engine.lift.batch import with_dynamic_batch
from engine.model import read_model
from engine.pt2.load import load
from engine.pt2.rewrite import clean
from engine.weights import fit, read_tensors
from engine.weights.suggest import suggest
from pith.errors import PithError
from pith.facts import ModelFormat
from pith.intake import LearntModel

Reader = Callable[[JobDir, IntakeJob], LearntModel]


def check_model(folder: JobDir, job: IntakeJob, events: EventStream) -> LearntModel:
    """Write the canonical files of this upload and say what was learnt.

    Raises:
        PithError: any ``model_…``, ``weights_…``, ``architecture_…`` or ``archive_…`` code, or ``export_failed``.
    """
    if job.digest is None:
        return _architecture(folder, job)
    found = detect(folder.upload, job.file_name)
    events.progress(0.1, f"reading {_SAID[found]}")
    if job.architecture is not None and found != "state_dict":
        raise PithError("architecture_needless", found=_SAID[found], architecture=job.architecture.name)
    return _READERS[found](folder, job)


def _architecture(folder: JobDir, job: IntakeJob) -> LearntModel:
    """Fresh weights: nothing was uploaded."""
    assert job.architecture is not None
    wanted = job.architecture
    built = build(wanted.name, wanted.arguments, wanted.seed, wanted.input_shape)
    return accept(folder, built, "architecture", (f"The weights are fresh, from the seed {wanted.seed}.",))


def _state_dict(folder: JobDir, job: IntakeJob) -> LearntModel:
    weights = read_tensors(folder.upload)
    if job.architecture is None:
        raise PithError("architecture_missing", count=len(weights.tensors), way_out=_named(weights.tensors))
    wanted = job.architecture
    built = build(wanted.name, wanted.arguments, wanted.seed, wanted.input_shape, blank=True)
    notes = (*weights.notes, *fit(built.module, weights.tensors, wanted.name))
    kind = _dtype(weights.tensors)
    del weights
    return accept(folder, built, "state_dict", notes, kind)


def _named(tensors: Mapping[str, torch.Tensor]) -> str:
    """How to send the same tensors so that they are taken, as far as their names and shapes tell."""
    found = suggest(tensors)
    if found is None:
        return "send it again with its architecture and the arguments, such as architecture=timm/resnet18"
    given = f" and arguments={json.dumps(found.arguments)}" if found.arguments else ""
    if found.exact:
        return f"send it again with architecture={found.name}{given}, which fits exactly"
    return f"send it again with its architecture; {found.sentence()}"


def _hugging_face(folder: JobDir, job: IntakeJob) -> LearntModel:
    desk = folder.scratch / "unpacked"
    extract(folder.upload, desk)
    built, tokenizer = read_folder(desk)
    learnt = accept(folder, built, "hugging_face")
    if tokenizer is None:
        return learnt
    shutil.copyfile(tokenizer, folder.part("tokenizer.json"))
    facts = learnt.facts.model_copy(update={"tokenizer": True})
    return LearntModel(facts=facts, parts=(*learnt.parts, "tokenizer.json"))


def accept(
    folder: JobDir, built: Built, form: ModelFormat, notes: tuple[str, ...] = (), dtype: str = "float32"
) -> LearntModel:
    """Export what was built, read it back as a job will, and describe it."""
    path = folder.part("model.pt2")
    torch.export.save(program(built), path)
    model = read_model(path, folder.scratch)
    origin = Origin(form, built.task, dtype, built.preprocessing, notes=(*built.notes, *notes))
    return LearntModel(facts=describe(model, origin), parts=("model.pt2",))


def _pt2(folder: JobDir, job: IntakeJob) -> LearntModel:
    path = folder.part("model.pt2")
    notes: tuple[str, ...] = ()
    clean(folder.upload, path)
    given = load(path, folder.scratch)
    if (program := with_dynamic_batch(given)) is not given:
        torch.export.save(program, path)
        notes = ("The batch size was fixed; it was made dynamic, and the outputs were seen to stay the same.",)
    model = read_model(path, folder.scratch)
    return LearntModel(facts=describe(model, Origin("pt2", notes=notes)), parts=("model.pt2",))


def _dtype(tensors: Mapping[str, torch.Tensor]) -> str:
    """The kind of number that most of the weights are."""
    counts: dict[torch.dtype, int] = {}
    for tensor in tensors.values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + tensor.numel()
    return str(max(counts, key=lambda kind: counts[kind])).removeprefix("torch.") if counts else "float32"


_READERS: dict[ModelFormatFound, Reader] = {
    "pt2": _pt2,
    "state_dict": _state_dict,
    "hugging_face": _hugging_face,
    "onnx": check_onnx,
    "onnx_archive": check_onnx_archive,
}
_SAID: dict[ModelFormatFound, str] = {
    "pt2": "a .pt2 program",
    "state_dict": "a state dict",
    "hugging_face": "a Hugging Face folder",
    "onnx": "an ONNX graph",
    "onnx_archive": "an ONNX graph with its data",
}
