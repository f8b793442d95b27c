"""The solutions of lesson 02 equal the package's own functions, and the budgets of 2.7 can be met."""

from unittest import mock

import torch

from minidiff import denoise, sample, unet
from minidiff.checks import exercises
from minidiff.checks.lesson02 import Net, ex7_budget
from minidiff.checks.parts import random_alpha_bars
from minidiff.schedule import Discrete


def solution(number):
    return exercises(2)[number].reference


def process(seed=0):
    """A net, an alpha-bar of 12 steps, its schedule, and random numbers."""
    g = torch.Generator().manual_seed(seed)
    alpha_bar = random_alpha_bars(g, 12)
    return Net(g, torch.float64), alpha_bar, Discrete(1 - alpha_bar[1:] / alpha_bar[:-1]), g


def test_the_embedding_is_the_packages():
    t = torch.tensor([0, 1, 500, 999])
    difference = solution("2.1")["timestep_embedding"](t, 32) - unet.timestep_embedding(t, 32)
    assert difference.abs().max() < 1e-4


def test_the_loss_is_the_packages():
    net, alpha_bar, schedule, g = process()
    x0, eps = torch.randn(2, 3, 2, 4, generator=g, dtype=torch.float64)
    t = torch.tensor([1, 5, 12])
    told = denoise.loss(lambda x, t, _: net(x, t), x0, t, None, schedule, denoise.EPS, eps=eps).mean()
    assert (solution("2.3")["ddpm_loss"](net, x0, t, eps, alpha_bar) - told).abs() < 1e-12


def test_ancestral_sampling_is_the_packages():
    net, alpha_bar, schedule, g = process()
    x, *noises = torch.randn(13, 3, 2, generator=g, dtype=torch.float64)
    left = iter(noises)
    with mock.patch.object(sample, "noise_like", lambda x, generator: next(left)), torch.no_grad():
        denoiser = denoise.denoiser(lambda x, t, _: net(x, t), schedule, denoise.EPS)
        *_, expected = sample.ddpm(denoiser, x, schedule, range(12, -1, -1))
        got = solution("2.4")["ddpm_sample"](net, x, alpha_bar, torch.stack(noises))
    assert (got - expected).abs().max() < 1e-12


def test_the_budgets_of_2_7_can_be_met():
    for seed in range(60):
        for case in ex7_budget.cases(torch.Generator().manual_seed(seed)):
            params, _ = ex7_budget._cost(*case.args[:2], ex7_budget.spends(*case.args))
            assert params > 0.7 * case.args[3], case.args
