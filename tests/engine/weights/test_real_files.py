"""Trained networks from elsewhere score what was measured for them elsewhere. Skipped where the files are not."""

import io
from itertools import pairwise
from pathlib import Path

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor

from engine.architectures import build
from engine.weights import fit, read_tensors

SHARED = Path(__file__).parents[4] / "shared"
PICTURES = SHARED / "data/cifar10_jpeg/test_jpeg.npz"
MODELS = SHARED / "models/resnet_cifar10"
MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])

pytestmark = pytest.mark.skipif(not PICTURES.exists(), reason=f"there is no {PICTURES.name} beside the project")


@pytest.fixture(scope="module")
def pictures() -> tuple[Tensor, Tensor]:
    with numpy.load(PICTURES) as arrays:
        blob, offsets, labels = arrays["blob"], arrays["offsets"], arrays["y"]
    opened = [
        numpy.asarray(Image.open(io.BytesIO(blob[start:end].tobytes())).convert("RGB"))
        for start, end in pairwise(offsets)
    ]
    scaled = (torch.from_numpy(numpy.stack(opened)).float() / 255 - MEAN) / STD
    return scaled.permute(0, 3, 1, 2).contiguous(), torch.from_numpy(labels)


@pytest.mark.parametrize(
    ("file", "name", "accuracy", "samples", "within"),
    [
        ("resnet20-12fca82f.th", "pith/resnet20", 0.8103, 10_000, 0.00005),
        ("resnet56-4bfd9763.th", "pith/resnet56", 0.8320, 1_000, 0.03),
    ],
)
def test_published_weights_score_as_measured(
    file: str, name: str, accuracy: float, samples: int, within: float, pictures: tuple[Tensor, Tensor]
) -> None:
    module = build(name).module
    weights = read_tensors(MODELS / file)
    assert fit(module, weights.tensors, name) == ("The prefix module. was taken off every name.",)
    inputs, labels = (each[:samples] for each in pictures)
    with torch.inference_mode():
        found = torch.cat([module(part).argmax(1) for part in inputs.split(500)])
    assert float((found == labels).double().mean()) == pytest.approx(accuracy, abs=within)
