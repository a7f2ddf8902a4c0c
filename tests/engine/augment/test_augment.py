"""Each augmentation changes what it should and nothing else; what does not fit is refused; a resumed run repeats it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.numpy import load_file
from torch import Tensor

import engine.reload
from engine.augment.augmenter import Augmenter, augmenter
from engine.checkpoint import Checkpoints
from engine.data import Dataset, Split, TokenIds
from engine.data.split import Fitted
from engine.objective import objective
from engine.run import run
from engine.signature import Signature, TensorSpec
from pith.augmentation import Augmentation
from pith.dataset import AudioPreprocessing, FittedPreprocessing, ImagePreprocessing
from pith.errors import PithError
from tests.engine.tiny import Mlp, job_folder

ADAPTER: TypeAdapter[Augmentation] = TypeAdapter(Augmentation)
LABELS = torch.arange(16) % 4


def made(*steps: dict[str, Any]) -> tuple[Augmentation, ...]:
    return tuple(ADAPTER.validate_python(step) for step in steps)


def dataset(family: str = "tensor", shape: tuple[int, ...] = (3, 12, 12), **given: Any) -> Dataset:
    split = Split((np.zeros((4, *shape), np.float32),), np.zeros(4, np.int64))
    return Dataset(split, None, family=family, **given)


def fitted(**facts: Any) -> Fitted:
    return Fitted(FittedPreprocessing(**facts))


PICTURES = dataset(
    "image",
    fitted=fitted(
        preprocessing=ImagePreprocessing(mean=(0.5,), std=(0.25,)), inputs=("image",), input_shape=(3, 12, 12)
    ),
)
SPECTROGRAMS = dataset(
    "audio",
    (1, 20, 30),
    fitted=fitted(preprocessing=AudioPreprocessing(), inputs=("audio",), input_shape=(1, 20, 30)),
)
WAVES = dataset(
    "audio",
    (400,),
    fitted=fitted(preprocessing=AudioPreprocessing(features="waveform"), inputs=("audio",), input_shape=(400,)),
)
TEXTS = dataset("text", (8,), tokens=TokenIds(1, 99, (0, 1, 2)))


def changed(data: Dataset, inputs: Tensor, step: dict[str, Any], seed: int = 3) -> tuple[Tensor, Tensor]:
    found, labels = Augmenter(made(step), data)((inputs,), LABELS[: len(inputs)], seed, 4)
    again, _ = Augmenter(made(step), data)((inputs,), LABELS[: len(inputs)], seed, 4)
    other, _ = Augmenter(made(step), data)((inputs,), LABELS[: len(inputs)], seed + 1, 4)
    assert torch.equal(found[0], again[0]) and not torch.equal(found[0], other[0]), "it follows the seed alone"
    assert found[0].shape == inputs.shape and found[0].dtype == inputs.dtype and labels is not None
    return found[0], labels


def noise_pictures() -> Tensor:
    values = torch.rand(16, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    return (values - 0.5) / 0.25


def test_flip_mirrors_about_half_of_the_pictures() -> None:
    x = noise_pictures()
    flipped, labels = changed(PICTURES, x, {"kind": "flip"})
    kept = sum(torch.equal(a, b) for a, b in zip(flipped, x, strict=True))
    mirrored = sum(torch.equal(a, b.flip(-1)) for a, b in zip(flipped, x, strict=True))
    assert kept + mirrored == 16 and 2 < kept < 14 and torch.equal(labels, LABELS)
    (both,), _ = Augmenter(made({"kind": "flip", "horizontal": 1, "vertical": 1}), PICTURES)((x,), None, 0, 4)
    assert torch.equal(both, x.flip(-1, -2))


def test_crop_moves_the_picture_and_fills_with_black() -> None:
    x = noise_pictures()
    cropped, _ = changed(PICTURES, x, {"kind": "crop", "padding": 2})
    black = (0 - 0.5) / 0.25
    for before, after in zip(x, cropped, strict=True):
        wide = torch.full((3, 16, 16), black)
        wide[:, 2:14, 2:14] = before
        windows = [wide[:, top : top + 12, left : left + 12] for top in range(5) for left in range(5)]
        assert any(torch.equal(after, window) for window in windows)


@pytest.mark.parametrize("step", [{"kind": "color_jitter", "hue": 0.1}, {"kind": "rand_augment"}])
def test_changes_of_colour_stay_within_what_a_picture_can_hold(step: dict[str, Any]) -> None:
    x = noise_pictures()
    found, _ = changed(PICTURES, x, step)
    shown = found * 0.25 + 0.5
    assert float(shown.min()) >= -1e-5 and float(shown.max()) <= 1 + 1e-5
    assert float((found - x).abs().mean()) > 0.05


def test_mixup_blends_inputs_and_labels_alike() -> None:
    x = torch.eye(4)[LABELS][:, :, None, None].expand(16, 4, 5, 5).contiguous()
    mixed, labels = changed(dataset(), x, {"kind": "mixup", "alpha": 1})
    assert torch.allclose(mixed[:, :, 2, 2], labels) and torch.allclose(labels.sum(1), torch.ones(16))
    assert int((labels.max(1).values < 0.999).sum()) > 6


def test_cutmix_mixes_labels_by_the_area_that_was_pasted() -> None:
    x = torch.eye(4)[LABELS][:, :, None, None].expand(16, 4, 10, 10).contiguous()
    mixed, labels = changed(dataset(), x, {"kind": "cutmix"}, seed=5)
    assert torch.allclose(mixed.mean((2, 3)), labels, atol=1e-6) and 0 < float(labels.max(1).values.min()) < 1
    assert set(mixed.flatten().tolist()) == {0.0, 1.0}, "pixels are pasted, not blended"


def test_mixing_without_labels_changes_the_inputs_alone() -> None:
    (mixed,), labels = Augmenter(made({"kind": "mixup", "alpha": 1}), dataset())((noise_pictures(),), None, 1, 4)
    assert labels is None and not torch.equal(mixed, noise_pictures())


def test_noise_has_the_deviation_or_the_ratio_that_was_asked_for() -> None:
    x = torch.sin(torch.arange(64000) / 9).view(16, 4000)
    noisy, _ = changed(WAVES, x, {"kind": "noise", "std": 0.2})
    assert abs(float((noisy - x).std()) - 0.2) < 0.01
    noisy, _ = changed(WAVES, x, {"kind": "noise", "snr_db": [10, 20]})
    ratios = 10 * torch.log10(x.square().mean(1) / (noisy - x).square().mean(1))
    assert float(ratios.min()) > 9.5 and float(ratios.max()) < 20.5 and float(ratios.std()) > 1


SILENT = float(np.log(1e-6))


@pytest.mark.parametrize(("data", "shape", "fill"), [(WAVES, (16, 400), 0.0), (SPECTROGRAMS, (16, 1, 20, 30), SILENT)])
def test_time_shift_moves_and_lets_silence_in(data: Dataset, shape: tuple[int, ...], fill: float) -> None:
    x = torch.rand(shape)
    shifted, _ = changed(data, x, {"kind": "time_shift", "fraction": 0.2})
    for before, after in zip(x, shifted, strict=True):
        size = shape[-1]
        options = [torch.roll(before, by, -1) for by in range(-size // 5, size // 5 + 1)]
        for by, option in zip(range(-size // 5, size // 5 + 1), options, strict=True):
            option[..., :by] = fill if by > 0 else option[..., :by]
            if by < 0:
                option[..., by:] = fill
        assert any(torch.allclose(after, option) for option in options)


def test_spec_augment_blanks_bands_and_stretches_with_the_mean() -> None:
    x = torch.rand(16, 1, 20, 30)
    step = {"kind": "spec_augment", "mel_masks": 1, "mel_width": 6, "time_masks": 1, "time_width": 9}
    masked, _ = changed(SPECTROGRAMS, x, step)
    blank = (masked - x.mean((1, 2, 3), keepdim=True)).abs() < 1e-6
    bands, stretches = blank.all(3).sum(2), blank.all(2).sum(2)
    assert int(bands.max()) in range(1, 7) and int(stretches.max()) in range(1, 10)
    rows = blank.all(3, keepdim=True) | blank.all(2, keepdim=True)
    assert torch.equal(masked[~rows.expand(x.shape)], x[~rows.expand(x.shape)])


def test_token_dropout_keeps_padding_and_marks() -> None:
    ids, mask = torch.randint(3, 50, (16, 200)), torch.ones(16, 200)
    ids[:, 0], ids[:, -9:] = 1, 0
    (same, dropped), _ = Augmenter(made({"kind": "token_dropout", "probability": 0.3}), TEXTS)((mask, ids), None, 1, 4)
    assert torch.equal(same, mask) and (dropped[:, 0] == 1).all() and (dropped[:, -9:] == 0).all()
    share = float((dropped == 99).float().mean())
    assert 0.25 < share < 0.32 and torch.equal(dropped[dropped != 99], ids[dropped != 99])


def spec(*shape: int, dtype: torch.dtype = torch.float32) -> Signature:
    output = TensorSpec("output", (None, 4), (2, 4), torch.float32)
    return Signature((TensorSpec("x", (None, *shape), (2, *shape), dtype),), (output,))


REFUSED: list[tuple[list[dict[str, Any]], Dataset | None, Signature, bool, str]] = [
    ([{"kind": "flip"}], None, spec(3, 12, 12), True, "has nothing to change: no step of the recipe trains"),
    ([{"kind": "flip"}], PICTURES, spec(3, 12, 12), False, "has nothing to change"),
    ([{"kind": "crop"}], SPECTROGRAMS, spec(1, 20, 30), True, "is for pictures, and the samples are sounds"),
    (
        [{"kind": "crop", "padding": 12}],
        PICTURES,
        spec(3, 12, 12),
        True,
        "pads by 12, and the pictures are 12 x 12: windows without a part of them would be cut out; lower",
    ),
    ([{"kind": "crop", "padding": 1}], dataset(), spec(3, 12, 1), True, "are 12 x 1: windows"),
    ([{"kind": "flip"}], dataset(shape=(9,)), spec(9), True, "are tensors of the shape (9,)"),
    ([{"kind": "rand_augment"}], dataset(), spec(3, 12, 12), True, "works on colours of 0 to 255"),
    ([{"kind": "mixup"}], TEXTS, spec(8, dtype=torch.int64), True, "mixes inputs and class numbers"),
    ([{"kind": "mixup"}], dataset(task="tabular-regression"), spec(3, 12, 12), True, "this task has other ones"),
    ([{"kind": "noise", "std": 1}], TEXTS, spec(8, dtype=torch.int64), True, "is for numbers"),
    ([{"kind": "time_shift"}], PICTURES, spec(3, 12, 12), True, "is for sounds, and the samples are pictures"),
    ([{"kind": "spec_augment"}], WAVES, spec(400), True, "sounds as waveforms; set"),
    ([{"kind": "spec_augment"}], PICTURES, spec(3, 12, 12), True, "the samples are pictures; leave it out"),
    ([{"kind": "token_dropout"}], PICTURES, spec(3, 12, 12), True, "is for texts"),
    ([{"kind": "flip"}, {"kind": "flip"}], PICTURES, spec(3, 12, 12), True, "is named twice"),
    ([{"kind": "mixup"}, {"kind": "cutmix"}], PICTURES, spec(3, 12, 12), True, "mixed already"),
]


@pytest.mark.parametrize(("steps", "data", "signature", "trains", "said"), REFUSED)
def test_what_does_not_fit_is_refused(
    steps: list[dict[str, Any]], data: Dataset | None, signature: Signature, trains: bool, said: str
) -> None:
    with pytest.raises(PithError) as caught:
        augmenter(made(*steps), data, signature, objective(data), trains)
    assert caught.value.code == "augmentation_mismatch" and said in caught.value.problem.detail
    assert f"({steps[-1]['kind']})" in caught.value.problem.detail or len(steps) > 1


def test_padding_is_held_against_sizes_that_are_fixed_alone() -> None:
    assert augmenter(made({"kind": "crop", "padding": 11}), PICTURES, spec(3, 12, 12), objective(PICTURES), True)
    example = TensorSpec("x", (None, 3, None, None), (2, 3, 12, 12), torch.float32)
    free = Signature((example,), spec(3, 12, 12).outputs)
    assert augmenter(made({"kind": "crop", "padding": 12}), PICTURES, free, objective(PICTURES), True)


@pytest.mark.parametrize(
    "step",
    [
        {"kind": "noise"},
        {"kind": "noise", "std": 1, "snr_db": [1, 2]},
        {"kind": "noise", "snr_db": [9, 1]},
        {"kind": "turn"},
    ],
)
def test_what_says_nothing_is_malformed(step: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        made(step)


class _Stopped(Exception):
    pass


def test_an_augmented_run_that_was_cut_off_ends_with_the_same_bits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = [{"kind": "finetune.full", "epochs": 2, "batch_size": 64}]
    steps = [{"kind": "flip"}, {"kind": "crop", "padding": 1}, {"kind": "noise", "std": 0.1}, {"kind": "mixup"}]
    given: dict[str, Any] = {"net": Mlp, "augmentation": steps, "outputs": ["safetensors"]}
    whole = job_folder(tmp_path / "whole", recipe, **given)
    run(whole.root, engine.reload.main)
    cut = job_folder(tmp_path / "cut", recipe, checkpoint_seconds=0, **given)
    save, count = Checkpoints.save, iter(range(100))

    def stopping(self: Checkpoints, *values: Any, **named: Any) -> None:
        save(self, *values, **named)
        if next(count) == 3:
            raise _Stopped

    monkeypatch.setattr(Checkpoints, "save", stopping)
    with pytest.raises(_Stopped):
        run(cut.root, engine.reload.main)
    run(cut.root, engine.reload.main)
    plain = job_folder(tmp_path / "plain", recipe, net=Mlp, outputs=["safetensors"])
    run(plain.root, engine.reload.main)
    first, second, other = (load_file(folder.output("safetensors")) for folder in (whole, cut, plain))
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert any(not np.array_equal(first[name], other[name]) for name in first), "it did change the training"
