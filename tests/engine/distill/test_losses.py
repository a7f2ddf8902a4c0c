"""Each loss against its equation, written out in loops over plain numbers."""

import math
from itertools import product

import pytest
import torch
from torch import Tensor

from engine.distill.losses import (
    angles,
    attended,
    attending,
    attention_map,
    contrasted,
    decoupled,
    distances,
    doubted,
    hinted,
    levelled,
    softened,
    weighted,
)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def probabilities(logits: list[float], temperature: float) -> list[float]:
    powers = [math.exp(logit / temperature) for logit in logits]
    return [power / sum(powers) for power in powers]


def divergence(wanted: list[float], given: list[float]) -> float:
    return sum(p * math.log(p / q) for p, q in zip(wanted, given, strict=True))


def huber(difference: float) -> float:
    return difference**2 / 2 if abs(difference) <= 1 else abs(difference) - 0.5


def test_equal_outputs_cost_nothing_at_any_temperature() -> None:
    logits = torch.randn(5, 7)
    target = torch.arange(5)
    for temperature in (0.5, 1.0, 20.0):
        assert softened(logits, logits, temperature).abs() < 1e-4
        assert decoupled(logits, logits, target, temperature, 1.0, 8.0).abs() < 1e-3


def test_softened_is_the_divergence_of_the_softened_outputs_times_the_square_of_the_temperature() -> None:
    student, teacher = torch.randn(3, 4), torch.randn(3, 4)
    by_hand = [
        4 * divergence(probabilities(t, 2), probabilities(s, 2))
        for s, t in zip(student.tolist(), teacher.tolist(), strict=True)
    ]
    assert float(softened(student, teacher, 2.0)) == pytest.approx(sum(by_hand) / 3, rel=1e-5)


def test_decoupled_is_the_true_class_and_the_others_weighted() -> None:
    student, teacher, target = torch.randn(4, 5), torch.randn(4, 5), torch.tensor([0, 4, 2, 2])
    total = 0.0
    for s, t, own in zip(student.tolist(), teacher.tolist(), target.tolist(), strict=True):
        p, q = probabilities(t, 3), probabilities(s, 3)
        tckd = divergence([p[own], 1 - p[own]], [q[own], 1 - q[own]])
        others = [index for index in range(5) if index != own]
        nckd = divergence([p[i] / (1 - p[own]) for i in others], [q[i] / (1 - q[own]) for i in others])
        total += 9 * (2 * tckd + 5 * nckd)
    assert float(decoupled(student, teacher, target, 3.0, 2.0, 5.0)) == pytest.approx(total / 4, rel=1e-5)


def test_decoupled_with_the_teachers_own_doubt_is_softened() -> None:
    """KD = TCKD + (1 - p_t) NCKD, equation 6 of the paper."""
    student, teacher, target = torch.randn(1, 6), torch.randn(1, 6), torch.tensor([3])
    doubt = 1 - float((teacher / 4).softmax(1)[0, 3])
    split = decoupled(student, teacher, target, 4.0, 1.0, doubt)
    assert torch.allclose(split, softened(student, teacher, 4.0), rtol=1e-4)


def test_a_teacher_that_is_certain_gives_finite_numbers() -> None:
    certain = torch.tensor([[200.0, 0.0, -100.0]], requires_grad=True)
    loss = decoupled(certain, torch.tensor([[0.0, 300.0, 0.0]]), torch.tensor([0]), 1.0, 1.0, 8.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.isfinite() and certain.grad is not None and certain.grad.isfinite().all()


def test_hints_are_half_the_squared_error_in_units_of_the_teacher() -> None:
    student, teacher = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    error = sum((s - t) ** 2 for s, t in zip(student.flatten().tolist(), teacher.flatten().tolist(), strict=True))
    size = sum(t**2 for t in teacher.flatten().tolist())
    assert float(hinted(student, teacher)) == pytest.approx(error / size / 2, rel=1e-5)
    assert float(hinted(torch.zeros_like(teacher), 100 * teacher)) == pytest.approx(0.5)


def map_by_hand(features: Tensor) -> list[float]:
    channels, height, width = features.shape
    q = [sum(float(features[c, y, x]) ** 2 for c in range(channels)) for y, x in product(range(height), range(width))]
    norm = math.sqrt(sum(value**2 for value in q))
    return [value / norm for value in q]


def test_attention_maps_are_sums_of_squares_of_length_one() -> None:
    student, teacher = torch.randn(2, 3, 4, 2), torch.randn(2, 5, 4, 2)
    mine, theirs = [map_by_hand(each) for each in student], [map_by_hand(each) for each in teacher]
    assert torch.allclose(attention_map(student), torch.tensor(mine), atol=1e-6)
    squares = [(a - b) ** 2 for m, t in zip(mine, theirs, strict=True) for a, b in zip(m, t, strict=True)]
    assert float(attended(student, teacher)) == pytest.approx(sum(squares) / len(squares), rel=1e-4)


def test_attending_compares_means_over_heads_token_by_token() -> None:
    student, teacher = torch.randn(2, 2, 3, 3).softmax(-1), torch.randn(2, 4, 3, 3).softmax(-1)
    total = 0.0
    for sample, token in product(range(2), range(3)):
        wanted = [sum(teacher[sample, head, token, to].item() for head in range(4)) / 4 for to in range(3)]
        given = [sum(student[sample, head, token, to].item() for head in range(2)) / 2 for to in range(3)]
        total += divergence(wanted, given)
    assert float(attending(student, teacher)) == pytest.approx(total / 6, rel=1e-4)


def relative(features: list[list[float]]) -> dict[tuple[int, int], float]:
    pairs = list(product(range(len(features)), repeat=2))
    found = {(i, j): math.dist(features[i], features[j]) for i, j in pairs}
    mean = sum(found.values()) / sum(1 for value in found.values() if value > 0)
    return {pair: value / mean for pair, value in found.items()}


def test_distances_are_in_units_of_their_mean() -> None:
    student, teacher = torch.randn(4, 3), 10 * torch.randn(4, 6)
    mine, theirs = relative(student.tolist()), relative(teacher.tolist())
    by_hand = sum(huber(mine[pair] - theirs[pair]) for pair in mine) / len(mine)
    assert float(distances(student, teacher)) == pytest.approx(by_hand, rel=1e-4)
    assert float(distances(student, 7 * student)) == pytest.approx(0, abs=1e-6)


def test_distances_of_equal_samples_have_a_finite_gradient() -> None:
    student = torch.ones(3, 2, requires_grad=True)
    distances(student, torch.randn(3, 2)).backward()  # type: ignore[no-untyped-call]
    assert student.grad is not None and student.grad.isfinite().all()


def cosine(features: list[list[float]], corner: int, one: int, other: int) -> float:
    first = [a - b for a, b in zip(features[one], features[corner], strict=True)]
    second = [a - b for a, b in zip(features[other], features[corner], strict=True)]
    lengths = math.hypot(*first) * math.hypot(*second)
    return sum(a * b for a, b in zip(first, second, strict=True)) / lengths if lengths else 0.0


def test_angles_are_those_at_each_sample_between_all_others() -> None:
    student, teacher = torch.randn(4, 3), torch.randn(4, 5)
    corners = list(product(range(4), repeat=3))
    by_hand = [huber(cosine(student.tolist(), *each) - cosine(teacher.tolist(), *each)) for each in corners]
    assert float(angles(student, teacher)) == pytest.approx(sum(by_hand) / len(by_hand), rel=1e-4)


def test_contrast_is_noise_contrastive_estimation() -> None:
    positive, negative = torch.randn(3), torch.randn(3, 4)
    drawn = torch.tensor([[1, 1, 1, 1], [1, 0, 1, 0], [0, 1, 1, 1]]).bool()
    z = 1.7
    total = 0.0
    for sample in range(3):
        others = [negative[sample, k].item() for k in range(4) if drawn[sample, k]]
        told = math.exp(positive[sample].item()) / z
        total -= math.log(told / (told + len(others)))
        for score in others:
            fooled = math.exp(score) / z
            total -= math.log(len(others) / (fooled + len(others)))
    assert float(contrasted(positive, negative, drawn, torch.tensor(math.log(z)))) == pytest.approx(total / 3, rel=1e-5)


def test_the_level_makes_the_mean_of_what_counts_one() -> None:
    positive, negative, drawn = torch.randn(3), torch.randn(3, 4), torch.rand(3, 4) > 0.4
    counted = [*positive.exp().tolist(), *negative.exp()[drawn].tolist()]
    assert float(levelled(positive, negative, drawn).exp()) == pytest.approx(sum(counted) / len(counted), rel=1e-5)


def test_doubt_is_the_cross_entropy_of_a_discriminator() -> None:
    student, teacher = torch.randn(5, 1), torch.randn(5, 1)
    right = [1 / (1 + math.exp(-score)) for score in teacher.flatten().tolist()]
    wrong = [1 / (1 + math.exp(-score)) for score in student.flatten().tolist()]
    by_hand = -sum(map(math.log, right)) / 5 - sum(math.log(1 - p) for p in wrong) / 5
    assert float(doubted(student, teacher)) == pytest.approx(by_hand, rel=1e-5)


def test_weights_are_shares() -> None:
    losses = [torch.tensor(1.0), torch.tensor(4.0)]
    assert float(weighted(losses, (3.0, 1.0))) == pytest.approx(1.75)
