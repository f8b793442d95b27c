"""The solutions of lesson 01 equal the package's own functions."""

import torch

from minidiff import schedule
from minidiff.checks import exercises
from minidiff.checks.parts import betas, random_alpha_bars


def solution(number):
    return exercises(1)[number].reference


def close(got, expected, atol=1e-12):
    return got.dtype == expected.dtype and (got - expected).abs().max() < atol


def test_the_schedules_are_the_packages():
    answers = solution("1.1")
    for T in (10, 1000):
        for name, args in (("linear", (2e-4, 0.03)), ("scaled_linear", (8e-4, 0.02)), ("cosine", (0.01,))):
            b = answers[f"{name}_betas"](T, *args)
            assert close(b, getattr(schedule, f"{name}_betas")(T, *args))
            assert close(answers["alpha_bars"](b), schedule.Discrete(b).alpha_bar)


def test_the_comparator_has_the_same_schedules_one_step_later():
    comparator = solution("1.5")["ScheduleComparator"]()
    for name in ("linear", "cosine"):
        expected = schedule.Discrete(getattr(schedule, f"{name}_betas")(1000)).alpha_bar[1:]
        assert close(getattr(comparator, f"{name}_schedule")(1000), expected, 1e-8)  # the limit on the last beta


def test_noise_and_decibels_are_the_packages():
    g = torch.Generator().manual_seed(0)
    alpha_bar, t = random_alpha_bars(g, 20), torch.tensor([0, 7, 20])
    x0, eps = torch.randn(2, 3, 2, 4, generator=g)
    discrete = schedule.Discrete(1 - alpha_bar[1:] / alpha_bar[:-1])
    assert close(solution("1.3")["add_noise"](x0, eps, t, alpha_bar), discrete.add_noise(x0, eps, t), 1e-6)
    expected = torch.logit(alpha_bar[1:]) * 10 / torch.log(torch.tensor(10.0, dtype=torch.float64))
    assert close(solution("1.2")["snr_db"](alpha_bar[1:]), expected)
    b = betas(g, 30)
    assert close(solution("1.4")["zero_terminal_snr"](b), schedule.zero_terminal_snr(b))
