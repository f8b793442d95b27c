"""Lesson 13's solutions against minidiff's own functions, torch's and closed formulas."""

import pytest
import torch

from minidiff import sample
from minidiff.check import exercises
from minidiff.denoise import EPS, FLOW, X0, Prediction, V, denoiser
from minidiff.schedule import EDM, Discrete, Flow, linear_betas


def solution(name):
    return next(e.reference[name] for e in exercises(13).values() if name in e.reference)


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("kind", [EPS, V, X0, FLOW], ids=["eps", "v", "x0", "flow"])
@pytest.mark.parametrize("schedule, t", [(Discrete(linear_betas()), 300), (EDM(), 2.0), (Flow(), 0.4)])
def test_a_translated_network_draws_the_same(schedule, t, kind):
    score = Prediction(solution("score_to_x0"), solution("score_target"))
    (alpha, sigma), x = schedule(t), noise(4, 3)
    said = torch.tanh(x)
    other = solution("translate")(said, x, alpha, sigma, kind, score)
    draws = [denoiser(lambda *_, out=out: out, schedule, p)(x, t) for out, p in ((said, kind), (other, score))]
    assert (draws[0] - draws[1]).abs().max() < 1e-12


def test_short_steps_of_the_ode_are_those_of_ddim():
    """And of the reverse SDE those of DDPM: what differs falls with the square of the step, or of its noise."""
    x, z, flow = noise(5, 2), noise(5, 2, seed=1), Flow()
    for share, sampler in ((0.0, sample.ddim), (1.0, sample.ddpm)):
        apart = []
        for h in (1e-3, 1e-4):
            t, s = 0.5, 0.5 - h
            rates = [torch.tensor(a).double() for a in (0.5, 0.5, -1.0, 1.0)]
            mine = solution("reverse_step")(x, torch.sin(x), t, s, rates, share, z)
            g = torch.Generator().manual_seed(1)
            ts = torch.tensor([t, s], dtype=torch.float64)
            (theirs,) = sampler(lambda x, t: torch.sin(x), x, flow, ts, generator=g)
            apart.append((mine - theirs).abs().max())
        assert apart[1] < 0.05 * apart[0] + 1e-12


def test_langevin_dynamics_has_the_variance_that_its_step_gives_it():
    """On the score of N(0, 1) with step a it is 1 / (1 - a / 4)."""
    a, z = 0.5, noise(1, 60, 100_000, 1)
    x = solution("annealed_langevin")(lambda x, sigma: -x, torch.zeros(100_000, 1).double(), torch.ones(1), a, z)
    assert abs(x.var() - 1 / (1 - a / 4)) < 0.02


def test_scaled_axes_give_the_trace_itself():
    x = noise(3, 4)
    axes = 2 * torch.eye(4, dtype=torch.float64)[:, None].expand(4, 3, 4)
    value, found = solution("divergence")(torch.sin, x, axes)
    assert torch.equal(value, torch.sin(x)) and (found.mean(0) - torch.cos(x).sum(1)).abs().max() < 1e-12
