"""Lesson 08's solutions: the loss and the average are diffusers' own, min-SNR's losses are one, undone means stay."""

import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel

from minidiff.check import exercises
from minidiff.checks.lesson08.ex1_training_loss import Toy
from minidiff.denoise import EPS, X0, V, loss
from minidiff.pipeline import SCHEDULE


def solution(name):
    return next(e.reference[name] for e in exercises(8).values() if name in e.reference)


def test_the_training_loss_is_diffusers():
    scheduler = DDPMScheduler(trained_betas=SCHEDULE.betas.float().numpy(), prediction_type="v_prediction")
    g = torch.Generator().manual_seed(0)
    z, eps = torch.randn(2, 5, 4, 4, 4, generator=g)
    states, t = torch.randn(5, 3, 6, generator=g), torch.tensor([1, 20, 300, 999, 1000])
    net, out = Toy(torch.float32).requires_grad_(False), torch.zeros(5, dtype=torch.bool)
    theirs = F.mse_loss(net(scheduler.add_noise(z, eps, t - 1), t - 1, states), scheduler.get_velocity(z, eps, t - 1))
    ours = solution("training_loss")(net, 2 * z, 0.5, states, states[:1], out, t, eps, SCHEDULE.alpha_bar)
    assert (ours / theirs - 1).abs() < 1e-5


def test_the_average_is_diffusers():
    g = torch.Generator().manual_seed(0)
    history = [[torch.randn(3, 2, generator=g), torch.randn(4, generator=g)] for _ in range(40)]
    weights = [w.clone().requires_grad_() for w in history[0]]
    theirs = EMAModel(weights, decay=0.7)
    for later in history:
        for weight, new in zip(weights, later, strict=True):
            weight.data.copy_(new)
        theirs.step(weights)  # the first step copies the weights, and counts from 1
    ours = solution("ema")(history[0], [history[0], *history[1:]], 0.7)  # from 0: a step before, without effect
    assert max((a - b).abs().max() for a, b in zip(ours, theirs.shadow_params, strict=True)) < 1e-6


def test_with_min_snr_all_predictions_have_one_loss():
    g, min_snr = torch.Generator().manual_seed(0), solution("min_snr")
    x0, eps, guess = torch.randn(3, 6, 4, 4, 4, generator=g, dtype=torch.float64)
    t = torch.tensor([1, 100, 300, 500, 800, 999])
    losses = []
    for prediction, name in ((EPS, "noise"), (X0, "picture"), (V, "velocity")):

        def net(x, time, cond, prediction=prediction):
            alpha, sigma = (a[:, None, None, None] for a in SCHEDULE(time + 1))
            return prediction.target(guess, (x - alpha * guess) / sigma, alpha, sigma)

        losses.append(
            loss(net, x0, t, None, SCHEDULE, prediction, lambda snr, name=name: min_snr(snr, 5.0, name), eps=eps)
        )
    assert torch.allclose(losses[0], losses[1]) and torch.allclose(losses[1], losses[2])


def test_undone_factors_keep_the_mean():
    draw_times, undo = solution("draw_times"), solution("undo")
    shares = torch.tensor([1.0, 4.0, 2.0, 0.5], dtype=torch.float64)
    values = torch.tensor([3.0, -1.0, 0.5, 8.0], dtype=torch.float64)
    t = draw_times((torch.arange(75_000) + 0.5).double() / 75_000, shares)
    assert abs((undo(t, shares) * values[t - 1]).mean() - values.mean()) < 1e-3
