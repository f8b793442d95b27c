"""Lesson 08: wrong answers that are no named mistakes are rejected, and other right ones pass."""

import math

import torch
import torch.nn.functional as F
from answers import accepted, one_of, rejected
from diffusers import DDPMScheduler
from diffusers.training_utils import EMAModel

from minidiff.checks import lesson08
from minidiff.checks.lesson08 import draw_times, ema, min_snr, my_recipe, outcome, training_loss, undo
from minidiff.denoise import EPS, X0, V, loss
from minidiff.pipeline import SCHEDULE


def step(f):
    """From what is made of the arguments."""
    return one_of("8.1", training_loss=lambda *args: training_loss(*f(*args)))


def mean_of(f):
    return one_of("8.2", ema=f)


def weight(f):
    return one_of("8.3", min_snr=f)


def recipe(f):
    return one_of("8.5", my_recipe=f)


WRONG = {
    "8.1 half the noise": step(lambda n, m, f, s, e, o, t, eps, a: (n, m, f, s, e, o, t, eps / 2, a)),
    "8.1 one time for all": step(lambda n, m, f, s, e, o, t, eps, a: (n, m, f, s, e, o, t[:1].expand_as(t), eps, a)),
    "8.1 its own noise": step(lambda n, m, f, s, e, o, t, eps, a: (n, m, f, s, e, o, t, torch.randn_like(eps), a)),
    "8.1 one noise for all": step(lambda n, m, f, s, e, o, t, eps, a: (n, m, f, s, e, o, t, eps[:1].expand_as(eps), a)),
    "8.1 SD's factor": step(lambda n, m, f, *others: (n, m, 0.18215, *others)),
    "8.1 one caption for all": step(lambda n, m, f, s, *others: (n, m, f, s[:1].expand_as(s), *others)),
    "8.1 half empty": step(lambda n, m, f, s, e, *others: (n, m, f, s, (s + e) / 2, *others)),
    "8.1 the first is left out": step(
        lambda n, m, f, s, e, o, *others: (n, m, f, s, e, (torch.arange(len(o)) < 1) ^ o, *others)
    ),
    "8.1 a mean of channels": step(lambda n, m, *others: (n, m.mean(1, keepdim=True).expand_as(m), *others)),
    "8.1 half": one_of("8.1", training_loss=lambda *args: training_loss(*args) / 2),
    "8.1 a float": one_of("8.1", training_loss=lambda *args: training_loss(*args).item()),
    "8.1 Huber": one_of("8.1", training_loss=lambda *args: F.smooth_l1_loss(training_loss(*args), torch.zeros(()))),
    "8.2 half the decay": mean_of(lambda first, later, most: ema(first, later, most / 2)),
    "8.2 every second step": mean_of(lambda first, later, most: ema(first, later[::2], most)),
    "8.2 backwards": mean_of(lambda first, later, most: ema(first, later[::-1], most)),
    "8.2 the first tensor": mean_of(
        lambda first, later, most: [*ema(first, later, most)[:1], *(w.clone() for w in later[-1][1:])]
    ),
    "8.2 all in one": mean_of(lambda first, later, most: torch.cat([w.flatten() for w in ema(first, later, most)])),
    "8.2 the mean of two": mean_of(
        lambda first, later, most: [(a + b) / 2 for a, b in zip(ema(first, later, most), later[-1], strict=True)]
    ),
    "8.2 without the beginning": mean_of(lambda first, later, most: ema(later[0], later[1:], most)),
    "8.2 a little more": mean_of(lambda first, later, most: [w + 1e-3 for w in ema(first, later, most)]),
    "8.3 always 5": weight(lambda snr, gamma, asked_for: min_snr(snr, 5.0, asked_for)),
    "8.3 twice": weight(lambda *args: 2 * min_snr(*args)),
    "8.3 squares": weight(lambda *args: min_snr(*args).square()),
    "8.3 gamma over 1 + snr": weight(
        lambda snr, gamma, kind: min_snr(snr, gamma, kind) if kind == "noise" else gamma / (1 + snr)
    ),
    "8.3 one number": weight(lambda *args: min_snr(*args).mean()),
    "8.3 reversed": weight(lambda *args: min_snr(*args).flip(0)),
    "8.3 numpy": weight(lambda *args: min_snr(*args).numpy()),
    "8.4 floats": one_of("8.4", draw_times=lambda u, shares: draw_times(u, shares).double()),
    "8.4 in the middle": one_of("8.4", draw_times=lambda u, shares: draw_times(u / 2 + 0.25, shares)),
    "8.4 from 1 - u": one_of("8.4", draw_times=lambda u, shares: draw_times(0.999 - 0.99 * u, shares)),
    "8.4 roots of shares": one_of("8.4", draw_times=lambda u, shares: draw_times(u, shares.sqrt())),
    "8.4 where shares are": one_of("8.4", draw_times=lambda u, shares: draw_times(u, (shares > 0).double())),
    "8.4 one time": one_of("8.4", draw_times=lambda u, shares: draw_times(u[:1], shares).expand(len(u)).clone()),
    "8.4 by those that are": one_of("8.4", undo=lambda t, shares: undo(t, shares) * (shares > 0).double().mean()),
    "8.4 twice": one_of("8.4", undo=lambda t, shares: 2 * undo(t, shares)),
    "8.4 of all times": one_of("8.4", undo=lambda t, shares: undo(torch.arange(len(shares)) + 1, shares)),
    "8.5 nothing": recipe(lambda steps: [(0.0, 0.0)] * steps),
    "8.5 a low rate": recipe(lambda steps: [(0.05, min(0.98, (1 + s) / (10 + s))) for s in range(steps)]),
    "8.5 a short average": recipe(lambda steps: [(0.8, 0.5)] * steps),
    "8.5 rising": recipe(lambda steps: [(rate, decay) for rate, decay in my_recipe(steps)][::-1]),
    "8.5 nan": recipe(lambda steps: [(math.nan, 0.9)] * steps),
    "8.5 empty": recipe(lambda steps: []),
    "8.5 numbers": recipe(lambda steps: [0.5] * steps),
    "8.5 for 400": recipe(lambda steps: my_recipe(400)),
    "8.5 jumps": recipe(lambda steps: [(9.0, 0.9), *my_recipe(steps)[1:-3], (9.0, 0.0), (9.0, 0.0), (9.0, 0.0)]),
}  # fmt: skip


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def by_hand(net, mean, factor, states, empty, left_out, t, eps, alpha_bar):
    z, bar = mean * factor, alpha_bar[t].to(mean.dtype).reshape(-1, 1, 1, 1)
    told = [empty[0] if out else each for each, out in zip(states, left_out, strict=True)]
    answer = net(bar.sqrt() * z + torch.sqrt(1 - bar) * eps, t - 1, torch.stack(told))
    return F.mse_loss(answer, bar.sqrt() * eps - torch.sqrt(1 - bar) * z)


def by_lerp(first, later, most):
    average = [w.clone() for w in first]
    for n, weights in enumerate(later):
        for mean, now in zip(average, weights, strict=True):
            mean.lerp_(now, 1 - min(most, (1 + n) / (10 + n)))
    return tuple(average)


def by_cases(snr, gamma, asked_for):
    weights = []
    for s in snr.tolist():
        divided = {"noise": s, "picture": 1, "velocity": s + 1}[asked_for]
        weights.append(1.0 if divided == 0 else min(s, gamma) / divided)
    return torch.tensor(weights, dtype=snr.dtype)


def by_comparison(u, shares):
    ends = (shares / shares.sum()).cumsum(0)
    return (u[:, None] >= ends[:-1]).sum(1) + 1


RIGHT = {
    "8.1 by hand": one_of("8.1", training_loss=by_hand),
    "8.2 by lerp, in a tuple": mean_of(by_lerp),
    "8.3 case by case": weight(by_cases),
    "8.4 by comparison": one_of(
        "8.4", draw_times=by_comparison, undo=lambda t, shares: shares.mean() / shares.gather(0, t - 1)
    ),
    "8.5 one rate, a long average": recipe(lambda steps: [(0.4, min(0.98, (1 + s) / (10 + s))) for s in range(steps)]),
    "8.5 only a falling rate": recipe(
        lambda steps: [(0.5 * (1 + math.cos(math.pi * s / steps)) / 2, 0.0) for s in range(steps)]
    ),
    "8.5 a tensor": recipe(lambda steps: torch.tensor(my_recipe(steps))),
    "8.5 the mean of the second half": recipe(
        lambda steps: [(0.4, 0.0 if s < steps // 2 else 1 - 1 / (s - steps // 2 + 1)) for s in range(steps)]
    ),
}


test_another_right_answer_passes = accepted(RIGHT)


def test_the_training_loss_is_diffusers():
    scheduler = DDPMScheduler(trained_betas=SCHEDULE.betas.float().numpy(), prediction_type="v_prediction")
    g = torch.Generator().manual_seed(0)
    z, eps = torch.randn(2, 5, 4, 4, 4, generator=g)
    states, t = torch.randn(5, 3, 6, generator=g), torch.tensor([1, 20, 300, 999, 1000])
    net, out = lesson08._toy, torch.zeros(5, dtype=torch.bool)
    theirs = F.mse_loss(net(scheduler.add_noise(z, eps, t - 1), t - 1, states), scheduler.get_velocity(z, eps, t - 1))
    ours = training_loss(net, 2 * z, 0.5, states, states[:1], out, t, eps, SCHEDULE.alpha_bar)
    assert (ours / theirs - 1).abs() < 1e-5


def test_the_average_is_diffusers():
    g = torch.Generator().manual_seed(0)
    history = [[torch.randn(3, 2, generator=g), torch.randn(4, generator=g)] for _ in range(40)]
    weights = [w.clone().requires_grad_() for w in history[0]]
    theirs = EMAModel(weights, decay=0.7)
    for later in history:
        for weight, new in zip(weights, later, strict=True):
            weight.data.copy_(new)
        theirs.step(weights)  #  the first step copies the weights, and counts from 1
    ours = [w.clone() for w in history[0]]
    for n, later in enumerate(history[1:], 1):
        d = min(0.7, (1 + n) / (10 + n))
        ours = [d * a + (1 - d) * b for a, b in zip(ours, later, strict=True)]
    assert max((a - b).abs().max() for a, b in zip(ours, theirs.shadow_params, strict=True)) < 1e-6
    #  ours counts from 0, so it is theirs with a step before the first that has no effect
    mine = ema(history[0], [history[0], *history[1:]], 0.7)
    assert max((a - b).abs().max() for a, b in zip(mine, theirs.shadow_params, strict=True)) < 1e-6


def test_with_min_snr_all_predictions_have_one_loss():
    g = torch.Generator().manual_seed(0)
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
    shares = torch.tensor([1.0, 4.0, 2.0, 0.5], dtype=torch.float64)
    values = torch.tensor([3.0, -1.0, 0.5, 8.0], dtype=torch.float64)
    t = draw_times((torch.arange(75_000) + 0.5).double() / 75_000, shares)
    assert abs((undo(t, shares) * values[t - 1]).mean() - values.mean()) < 1e-3


def test_no_single_rate_passes_8_5_without_an_average():
    for k in range(1, 40):
        assert outcome(tuple((k / 20, 0.0) for _ in range(500)))[1] > 1.5 * lesson08.GOAL
