"""Lesson 07's solutions are minidiff's own functions, which other tests compare with diffusers."""

import pytest
import torch

from minidiff import sample, schedule
from minidiff.check import exercises


def solution(name):
    return next(e.reference[name] for e in exercises(7).values() if name in e.reference)


@pytest.mark.parametrize("name", ["euler", "heun", "dpmpp_2m"])
def test_the_samplers_are_ours(name):
    stable = schedule.Discrete(schedule.scaled_linear_betas())
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def denoise(x, t):
        return torch.tanh(x - t / 700)

    for ts in (schedule.trailing(1000, 7), torch.tensor([900.0, 700.5, 300.0, 20.0]).double()):
        ours = list(getattr(sample, name)(denoise, x, stable, ts))
        theirs = list(solution(name)(denoise, x, stable, ts))
        assert max((a - b).abs().max() for a, b in zip(ours, theirs, strict=True)) < 1e-12


@pytest.mark.parametrize("name", ["trailing", "leading"])
def test_the_lists_of_times_are_ours(name):
    for T, n in ((1000, 25), (1000, 7), (613, 11)):
        assert torch.equal(solution(name)(T, n), getattr(schedule, name)(T, n))


def test_the_levels_of_karras_are_ours():
    assert (solution("karras")(0.03, 15.0, 9) - schedule.karras(0.03, 15.0, 9)).abs().max() < 1e-12


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_the_step_is_ddims(eta):
    stable, g = schedule.Discrete(schedule.scaled_linear_betas()), torch.Generator().manual_seed(0)
    x, x0, _ = torch.randn(3, 2, 5, generator=g, dtype=torch.float64)
    for t, s in ((900, 400), (300, 0)):
        (ours,) = sample.ddim(lambda x, t: x0, x, stable, torch.tensor([t, s]), eta, torch.Generator().manual_seed(1))
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
        assert (solution("ddim_step")(x, x0, t, s, stable, eta, noise) - ours).abs().max() < 1e-12
