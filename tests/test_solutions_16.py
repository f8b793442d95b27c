"""Lesson 16's solutions against torch's own functions, and against counting."""

from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from minidiff.check import exercises


def solution(name):
    return next(e.reference[name] for e in exercises(16).values() if name in e.reference)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("hard", [False, True])
def test_the_choice_is_torchs_gumbel_softmax(hard):
    """With the same exponential numbers e, of which ours are u = exp(-e); and with the same gradient."""
    ours, theirs = noise(3, 5, 2).requires_grad_(), noise(3, 5, 2).requires_grad_()
    torch.manual_seed(1)
    u = (-torch.empty_like(ours).exponential_()).exp()
    mine = solution("soft_choice")(ours, u, 0.4)
    mine = solution("one_code")(mine) if hard else mine
    torch.manual_seed(1)
    other = F.gumbel_softmax(theirs, tau=0.4, hard=hard, dim=1)
    for result in (mine, other):
        (result * noise(3, 5, 2, seed=2)).sum().backward()
    assert (mine - other).abs().max() < 1e-12 and (ours.grad - theirs.grad).abs().max() < 1e-12


def test_codes_are_chosen_as_often_as_the_softmax_says():
    logits, n = noise(1, 6), 20_000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    for temperature in (0.5, 1.0, 2.0):
        often = solution("choose")(logits.expand(n, 6), u, temperature).bincount(minlength=6) / n
        assert (often - (logits[0] / temperature).softmax(0)).abs().max() < 2e-4


def test_the_best_of_k_is_the_mean_over_all_choices_of_k():
    close, good = noise(4, 6), noise(4, 6, seed=1) > 0
    for k in range(1, 7):
        shares = [
            row_good[list(of)][row_close[list(of)].argmax()].item()
            for row_close, row_good in zip(close, good, strict=True)
            for of in combinations(range(6), k)
        ]
        assert abs(solution("best_of")(close, good, k) - sum(shares) / len(shares)) < 1e-12


def test_the_walk_is_at_its_share_of_the_angle():
    a, b = F.normalize(noise(2, 9, 7), dim=-1)
    angle = (a * b).sum(1).acos()
    for share in (0.0, 0.3, 1.0):
        at = solution("slerp")(a, b, share)
        assert (at.norm(dim=1) - 1).abs().max() < 1e-12
        assert ((at * b).sum(1).clamp(-1, 1).acos() - (1 - share) * angle).abs().max() < 1e-6
