"""Hostile and broken files over HTTP: a stable code, nothing runs, nothing stays, and the next good job works."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pith.client import Pith
from pith.errors import PithError
from pith.resources import Dataset, Model
from tests.app.embedded import Up
from tests.e2e.conftest import Submit
from tests.engine import exploits, exported, tampering, tiny
from tests.engine.exploits import _Touch
from tests.engine.tiny import Cnn, arrays


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def planted(exploit: exploits.Exploit) -> Callable[[Path], bytes]:
    """A good model with code planted that creates ``canary`` in the folder when torch itself loads it.

    (``tests/engine/test_pt2_hostile.py`` shows that it does.)
    """

    def made(folder: Path) -> bytes:
        members = exploit(tampering.read_members(exported.saved("convolutional")), folder / "canary")
        tampering.write_members(folder / "bad.pt2", members, top="" if exploit is exploits.old_layout else "top/")
        return (folder / "bad.pt2").read_bytes()

    return made


MODELS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "text": (lambda folder: b"#!/bin/sh\necho hello\n", "model_format_unknown"),
    "half": (lambda folder: tiny.saved(Cnn)[:-4000], "model_truncated"),
    "a pickle": (lambda folder: pickle.dumps(_Touch(folder / "canary")), "model_pickled"),
    "a pickled module": (lambda folder: saved(nn.Linear(2, 2)), "model_pickled"),
    "a pickled module with code": (lambda folder: saved(_Touch(folder / "canary")), "model_unsafe"),
    "code in sample inputs": (planted(exploits.sample_inputs), "model_unsafe"),
    "code in a weight": (planted(exploits.pickled_weight), "model_unsafe"),
    "code in an expression": (planted(exploits.size_expression), "model_unsafe"),
    "code in a guard": (planted(exploits.guards), "model_unsafe"),
    "code in the old layout": (planted(exploits.old_layout), "model_unsafe"),
}


def npz(**changes: Any) -> Callable[[Path], bytes]:
    def made(folder: Path) -> bytes:
        buffer = io.BytesIO()
        np.savez(buffer, **{**arrays(), **changes})
        return buffer.getvalue()

    return made


def objects(folder: Path) -> bytes:
    return npz(x_train=np.array([_Touch(folder / "canary")], dtype=object))(folder)


DATASETS: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "noise": (lambda folder: bytes(range(256)), "dataset_format_unknown"),
    "half": (lambda folder: npz()(folder)[:-100], "dataset_unreadable"),
    "pickled objects": (objects, "dataset_unsafe"),
    "fewer labels than samples": (npz(y_train=np.zeros(7, int)), "dataset_mismatch"),
}


def _rejected(found: Model | Dataset, code: str) -> None:
    assert found.status == "rejected" and found.error is not None
    assert found.error.code == code, found.error.detail
    assert found.facts is None


@pytest.mark.parametrize("name", MODELS)
def test_bad_model(name: str, pith: Pith, tmp_path: Path) -> None:
    made, code = MODELS[name]
    path = tmp_path / "model.pt2"
    path.write_bytes(made(tmp_path))
    _rejected(pith.models.checked(pith.models.upload(path).id), code)
    assert not (tmp_path / "canary").exists(), "code from the file ran"


@pytest.mark.parametrize("name", DATASETS)
def test_bad_dataset(name: str, pith: Pith, tmp_path: Path) -> None:
    made, code = DATASETS[name]
    path = tmp_path / "data.npz"
    path.write_bytes(made(tmp_path))
    _rejected(pith.datasets.checked(pith.datasets.upload(path).id), code)
    assert not (tmp_path / "canary").exists(), "code from the file ran"


def test_a_job_that_came_before_the_rejection_says_why(pith: Pith, submit: Submit, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(saved(nn.Linear(2, 2)))
    model = pith.models.upload(path).id
    try:
        job = pith.jobs.wait(submit({"kind": "quantize.dynamic"}, model=model).id)
    except PithError as error:  # the check was quicker
        assert error.code == "input_rejected"
        return
    assert job.status == "failed" and job.error is not None and job.error.code == "input_rejected"
    assert model in job.error.detail and "pickle" in job.error.detail


MISFITS: dict[str, Callable[[Path], bytes]] = {
    "another shape": npz(x_train=np.zeros((192, 3, 8, 8), np.float32), x_test=np.zeros((64, 3, 8, 8), np.float32)),
    "more classes than outputs": npz(y_train=np.arange(192) % 9),
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_dataset_that_does_not_fit_the_model_is_refused_before_the_job(
    name: str, pith: Pith, submit: Submit, tmp_path: Path
) -> None:
    path = tmp_path / "data.npz"
    path.write_bytes(MISFITS[name](tmp_path))
    dataset = pith.datasets.ready(pith.datasets.upload(path).id)
    with pytest.raises(PithError) as refused:
        submit({"kind": "finetune.full"}, dataset=dataset.id)
    assert refused.value.code == "dataset_mismatch", refused.value


def test_after_all_that_a_good_job_works_and_nothing_is_left(service: Up, pith: Pith, submit: Submit) -> None:
    assert pith.jobs.wait(submit({"kind": "quantize.dynamic"}, outputs=["onnx"]).id).status == "succeeded"
    assert not list((service.log.parent / "data/work").glob("*/*"))
