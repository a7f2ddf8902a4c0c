"""The losses of distillation, one small function each, with the equation of its paper. All give a scalar in float32.

``student`` and ``teacher`` are outputs or features of the same samples, the first dimension being the batch.
"""

import torch
from torch import Tensor
from torch.nn import functional

ANGLED = 64
_TINY = 1e-7


def softened(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
    """T² · KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch (arXiv 1503.02531, section 2.1)."""
    wanted = functional.log_softmax(teacher.float() / temperature, dim=-1)
    given = functional.log_softmax(student.float() / temperature, dim=-1)
    return functional.kl_div(given, wanted, reduction="batchmean", log_target=True) * temperature**2


def decoupled(
    student: Tensor, teacher: Tensor, target: Tensor, temperature: float, alpha: float, beta: float
) -> Tensor:
    """T² · (α · TCKD + β · NCKD), averaged over the batch (arXiv 2203.08679, equation 7).

    TCKD is the divergence of (p_t, 1 - p_t), NCKD that of the other classes' probabilities among themselves.
    ``target`` holds class numbers.
    """
    true = functional.one_hot(target, student.shape[-1]).bool()
    parts = []
    for logits in (teacher, student):
        scaled = functional.log_softmax(logits.float() / temperature, dim=-1)
        own = scaled[true]
        rest = scaled.masked_fill(true, float("-inf")).logsumexp(-1)
        others = scaled[~true].reshape(len(target), -1).log_softmax(-1)
        parts.append((torch.stack([own, rest], -1), others))
    (wanted, wanted_others), (given, given_others) = parts
    tckd = functional.kl_div(given, wanted, reduction="batchmean", log_target=True)
    nckd = functional.kl_div(given_others, wanted_others, reduction="batchmean", log_target=True)
    return (alpha * tckd + beta * nckd) * temperature**2


def hinted(student: Tensor, teacher: Tensor) -> Tensor:
    """½ ‖u(x) - r(v(x))‖² a number (arXiv 1412.6550, equation 3), over the mean square of the teacher's features, so
    that 0.5 means: no better than zeros. ``student`` has been through its adapter."""
    wanted = teacher.float()
    return 0.5 * functional.mse_loss(student.float(), wanted) / wanted.square().mean().clamp_min(_TINY)


def attention_map(features: Tensor) -> Tensor:
    """Q / ‖Q‖₂ of Q = Σ_c |A_c|², flat (arXiv 1612.03928, equations 1 and 2), for features (batch, channels, …)."""
    return functional.normalize(features.float().square().mean(1).flatten(1), dim=1)


def attended(student: Tensor, teacher: Tensor) -> Tensor:
    """Mean squared difference of both attention maps, as the paper's authors have it."""
    return functional.mse_loss(attention_map(student), attention_map(teacher))


def attending(student: Tensor, teacher: Tensor) -> Tensor:
    """KL(A_T ‖ A_S), averaged over samples and tokens (arXiv 2002.10957, equation 6).

    For probabilities of shape (batch, heads, tokens, tokens), averaged over the heads first: their number may differ.
    """
    wanted, given = (each.float().mean(-3).clamp_min(_TINY) for each in (teacher, student))
    return (wanted * (wanted.log() - given.log())).sum(-1).mean()


def distances(student: Tensor, teacher: Tensor) -> Tensor:
    """Σ l_δ(ψ_D(t_i, t_j), ψ_D(s_i, s_j)) as a mean; ψ_D = ‖t_i - t_j‖ / μ, μ being the mean distance of two samples
    that differ (arXiv 1904.05068, equations 4 to 7; l_δ is Huber's loss)."""
    return functional.smooth_l1_loss(_relative(student), _relative(teacher))


def angles(student: Tensor, teacher: Tensor) -> Tensor:
    """Σ l_δ(ψ_A(t_i, t_j, t_k), ψ_A(s_i, s_j, s_k)) as a mean; ψ_A is the cosine of the angle at the second sample
    (arXiv 1904.05068, equations 8 to 10), among the first 64 samples."""
    return functional.smooth_l1_loss(_cosines(student[:ANGLED]), _cosines(teacher[:ANGLED]))


def contrasted(positive: Tensor, negative: Tensor, drawn: Tensor, level: Tensor) -> Tensor:
    """-log h(T, S) - Σ log(1 - h(T, S')), averaged over the batch (arXiv 1910.10699, equations 17 to 19).

    h = e / (e + N) with e = exp(z·z' / τ) / Z. ``positive`` (batch) and ``negative`` (batch, drawn) are z·z' / τ, the
    products of embeddings of length 1; ``drawn`` says which negatives count, N of them; ``level`` is log Z.
    """
    count = drawn.sum(1, keepdim=True).clamp_min(1).log()
    told = functional.softplus(level + count[:, 0] - positive)
    fooled = functional.softplus(negative - level - count).masked_fill(~drawn, 0.0).sum(1)
    return (told + fooled).mean()


def levelled(positive: Tensor, negative: Tensor, drawn: Tensor) -> Tensor:
    """log Z: the mean of exp(z·z' / τ) in the first batch, which the paper's authors keep from then on."""
    kept = negative.masked_fill(~drawn, float("-inf"))
    total = torch.cat([positive[:, None], kept], 1).logsumexp((0, 1))
    return (total - (drawn.sum() + len(positive)).log()).detach()


def doubted(student: Tensor, teacher: Tensor) -> Tensor:
    """-log σ(D(teacher)) - log(1 - σ(D(student))), averaged (the discriminator's loss of arXiv 1406.2661), for what the
    discriminator D says to both."""
    return functional.softplus(-teacher.float()).mean() + functional.softplus(student.float()).mean()


def weighted(losses: list[Tensor], weights: tuple[float, ...]) -> Tensor:
    """Σ wᵢ lᵢ / Σ wᵢ."""
    total = sum(weights)
    return torch.stack([weight / total * loss for weight, loss in zip(weights, losses, strict=True)]).sum()


def _relative(features: Tensor) -> Tensor:
    flat = features.float().flatten(1)
    found = torch.cdist(flat, flat, compute_mode="donot_use_mm_for_euclid_dist")
    apart = (found.detach() > 0).sum().clamp_min(1)
    return found / (found.sum() / apart).clamp_min(_TINY)


def _cosines(features: Tensor) -> Tensor:
    """Of shape (samples, samples, samples), the first being the corner."""
    flat = features.float().flatten(1)
    towards = functional.normalize(flat[None] - flat[:, None], dim=2)
    return towards @ towards.transpose(1, 2)
