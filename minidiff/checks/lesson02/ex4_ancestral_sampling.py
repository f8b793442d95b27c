"""2.4 one step back, and all of them: ancestral sampling."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson02 import Net
from minidiff.checks.parts import random_alpha_bars, whole


def cases(g):
    def step(t, T, dtype, *shape):
        x, eps, noise = torch.randn(3, *shape, generator=g, dtype=dtype)
        return Case("ancestral_step", (2 * x, eps, t, random_alpha_bars(g, T), noise))

    def draw(T, dtype, *shape):
        x, *noises = torch.randn(T + 1, *shape, generator=g, dtype=dtype)
        return Case("ddpm_sample", (Net(g, dtype), x, random_alpha_bars(g, T), torch.stack(noises)))

    return [
        step(whole(g, 4, 11), 12, torch.float64, 2, 3, 4, 5),
        step(15, 15, torch.float32, 3, 2),
        step(2, 9, torch.float64, 2, 5),
        step(1, 10, torch.float64, 3, 1, 2, 4),
        draw(whole(g, 6, 9), torch.float64, 3, 2, 4, 5),
        draw(5, torch.float32, 4, 2),
    ]


HINTS = """
beta_t and alpha_t = 1 - beta_t are in alpha_bar: alpha_t is one of its entries over the one before.

The mean has three parts: take a share of eps_hat out of x_t, then divide by the root of alpha_t. Under the share's
fraction stands the noise of all the steps up to t.

beta-tilde is beta times two amounts of noise, one over the other: that before this step and that after it. At t = 1 it
is 0 by itself, because alpha_bar[0] = 1.

The loop: t goes down from T, one less than the length of alpha_bar, and each step takes its own noise.

The net wants a time for each sample, counted from 0: torch.full gives as many as x has.
"""

_STD = "((1 - a_before) / (1 - a) * beta).sqrt()"
_RETURN = f"return mean + {_STD} * noise"
_TOLD = "Your net is told a single time: it wants one for each sample, counted from 0."
MISTAKES = f"""
{_STD} -> beta.sqrt()
    Your fresh noise has the variance beta, at the last step too, so the finished picture is noisy. Here the smaller variance, beta-tilde, is asked for.
{_STD} -> (beta * (a_before < 1)).sqrt()
    Your last step is right. In the others the fresh noise has the variance beta, which the paper also tried; here it is the smaller one, beta-tilde.
{_STD} -> ((1 - a_before) / (1 - a) * beta)
    You multiply the noise by its variance; a standard deviation belongs there.
{_STD} -> ((1 - a) / (1 - a_before) * beta).sqrt()
    In beta-tilde the fraction is upside down: the noise before the step is less than that after it.
{_STD} -> ((1 - a_before) / (1 - a)).sqrt()
    In beta-tilde the factor beta is missing.
{_STD} -> ((1 - a_before) / (1 - a) * alpha).sqrt()
    In beta-tilde you multiplied by alpha; it is beta.
{_RETURN} -> return mean
    There is no fresh noise in your step: that is the mean of what x may be, not a draw.
{_STD} * noise -> noise
    Your fresh noise comes in full strength: it has a standard deviation of its own, a small one.
{_STD} * noise -> (noise if t > 1 else 0)
    Your fresh noise comes in full strength: it has a standard deviation of its own, a small one.
{_RETURN} -> return mean - {_STD} * noise
    You take the fresh noise away: it is added, with its sign.
(x_t - beta -> (x_t + beta
    You add the guessed noise: it is in x_t, so it has to come out.
* eps_hat) / alpha.sqrt() -> * eps_hat)
    The noise is taken out, but what is left is not enlarged: on the way there each step shrank it.
* eps_hat) / alpha.sqrt() -> * eps_hat) / alpha
    You divide by alpha where its square root belongs: the picture is multiplied by an amplitude.
* eps_hat) / alpha.sqrt() -> * eps_hat) * alpha.sqrt()
    You multiply by the root of alpha, which shrinks once more what this step has shrunk: divide.
* eps_hat) / alpha.sqrt() -> * eps_hat) / a.sqrt()
    You divide by the root of alpha-bar, which undoes all the steps at once; undo only this one.
alpha = a / a_before -> alpha = a_before / alpha_bar[max(t - 2, 0)]
    You use the beta of the step before this one: beta at t is lost between t - 1 and t.
alpha = a / a_before -> alpha = a
    You use alpha-bar for alpha: it holds all the steps up to t, and this step alone is asked for.
beta / (1 - a).sqrt() -> beta / (1 - a)
    You divide by the variance of the noise in x_t; eps_hat has the size of its standard deviation, the root.
beta / (1 - a).sqrt() -> beta / beta.sqrt()
    You divide by the noise of this one step. eps_hat stands for all the noise in x_t: under the root belongs one minus alpha-bar.
beta / (1 - a).sqrt() -> (1 - a).sqrt()
    You take out all the noise of all the steps, and then undo the shrinking of one step only.
beta / (1 - a).sqrt() -> beta
    You take out beta times the guessed noise; its share is larger, because eps_hat stands for all the noise in x_t.
beta / (1 - a).sqrt() -> beta / a.sqrt()
    You divide by the picture's amplitude; under the root belongs the noise in x_t, one minus alpha-bar.
beta / (1 - a).sqrt() * eps_hat) / alpha.sqrt() -> (1 - a).sqrt() * eps_hat) / a.sqrt() && {_RETURN} -> return mean
    You jump to the guessed clean picture at once. One step is asked for: most of the noise stays.
alpha_bar[t], alpha_bar[t - 1] -> alpha_bar[t - 1], alpha_bar[t - 2]
    You read the schedule one step early: alpha_bar begins with the clean one, so t is the index.
mean = -> x0 = ((x_t - (1 - a).sqrt() * eps_hat) / a.sqrt()).clamp(-1, 1)\\n    eps_hat = (x_t - a.sqrt() * x0) / (1 - a).sqrt()\\n    mean =
    You clipped the guessed picture to the range from -1 to 1. Many programs do; it is not asked for, and data need not lie there.
{_RETURN} -> return (a_before / a).sqrt() * (x_t - (1 - a).sqrt() * eps_hat) + (1 - a_before).sqrt() * eps_hat
    That is a step of DDIM: it puts the guessed noise back in. Here fresh noise comes in.
{_RETURN} -> return 0 * x_t
    ancestral_step gives zeros.
t - 1, device -> t, device
    Your net is told t; it counts from 0, so the time of step t is one less.
torch.full((len(x),), t - 1, device=x.device) -> t - 1
    {_TOLD}
torch.full((len(x),), t - 1, device=x.device) -> torch.tensor([t - 1])
    {_TOLD}
torch.full((len(x),), t - 1, device=x.device) -> t
    {_TOLD}
range(T, 0, -1) -> range(1, T + 1)
    Your times rise from 1 to T. Drawing begins in the noise, at T, and comes down.
range(T, 0, -1), noises, strict=True -> range(T, 1, -1), noises, strict=False
    Your loop ends before the last step, from t = 1 to 0: what you return is still a little noisy.
range(T, 0, -1), noises, strict=True -> range(T - 1, 0, -1), noises, strict=False
    Your loop leaves the first step out: x comes from time T.
range(T, 0, -1), noises, strict=True -> range(T - 1, 0, -1), noises[1:], strict=True
    Your loop leaves the first step out: x comes from time T.
eps_hat = net(x, -> eps_hat = net(x_T, && T = len(alpha_bar) - 1 -> T, x_T = len(alpha_bar) - 1, x
    Your net is always shown the x that you began with: show it what the last step gave.
x = ancestral_step(x, eps_hat, t, alpha_bar, noise) -> x = ancestral_step(x, eps_hat, t, alpha_bar, noises[0])
    Every step of yours adds the same noise: fresh means another one each time.
x = ancestral_step(x, eps_hat, t, alpha_bar, noise) -> x = ancestral_step(x, eps_hat, t, alpha_bar, noises[t - 1])
    Your first step takes the last of the noises; they are to be used from the first on.
x = ancestral_step(x, eps_hat, t, alpha_bar, noise) -> x = ancestral_step(x, eps_hat, t, alpha_bar, 0 * noise)
    Your loop does not use the noises.
\\n    return x\\n -> \\n        return x\\n
    Your loop ends after its first step: is a return inside it?
\\n    return x\\n -> \\n    return 0 * x\\n
    ddpm_sample gives zeros.
{_STD} * noise -> {_STD} * noise * (t < len(alpha_bar) - 1)
    You add no noise at t = T. That is the first step; it is the last one, to t = 0, that adds none.
{_STD} * noise -> {_STD} * noise * (t > 2)
    The step from t = 2 to 1 adds noise, too: only the one from 1 to 0 does not.
{_RETURN} -> return mean if t == 1 else mean + ((1 - a) / (1 - a_before) * beta).sqrt() * noise
    In beta-tilde the fraction is upside down: the noise before the step is less than that after it.
{_RETURN} -> return mean + {_STD} * noise / alpha.sqrt()
    You divide the fresh noise by the root of alpha as well: it is added after that, as it is.
(x_t - beta / (1 - a).sqrt() * eps_hat) / alpha.sqrt() -> x_t / alpha.sqrt() - beta / (1 - a).sqrt() * eps_hat
    You divide only x_t by the root of alpha: put the difference in parentheses, all of it is divided.
(x_t - beta / (1 - a).sqrt() * eps_hat) / alpha.sqrt() -> x_t - beta / (1 - a).sqrt() * eps_hat / alpha.sqrt()
    You divide only the guessed noise by the root of alpha: put the difference in parentheses, all of it is divided.
beta / (1 - a).sqrt() -> (beta / (1 - a)).sqrt()
    Your root goes over beta as well: it belongs to what stands under the fraction.
beta / (1 - a).sqrt() -> beta / (1 - a_before).sqrt()
    The noise that you divide by is that of the step before: at t there is more.
{_STD} -> ((1 - a_before) * beta / (1 - a)) * beta.sqrt()
    In beta-tilde the root goes over all three factors.
{_STD} -> (1 - a_before) / (1 - a) * beta.sqrt()
    In beta-tilde the root goes over the fraction, too.
{_STD} -> ((1 - a_before) / (1 - a)).sqrt() * beta
    In beta-tilde the root goes over beta, too.
{_STD} -> (a_before / a * beta).sqrt()
    In beta-tilde you took the picture's powers: it is the noise's, one minus alpha-bar, before and after the step.
alpha_bar[t], alpha_bar[t - 1] -> alpha_bar[t - 1], alpha_bar[max(t - 2, 0)]
    You read the schedule one step early: alpha_bar begins with the clean one, so t is the index.
t - 1, device -> t - 2, device
    Your net is told a time that is too small by one.
t - 1, device -> max(t - 2, 0), device
    Your net is told a time that is too small by one.
t - 1, device -> T - t, device
    The times that your net is told rise from 0. They fall, as the noise does: from T - 1 down to 0.
t - 1, device -> T - 1, device
    Your net is told the same time at each step: each has its own.
t - 1, device -> 0, device
    Your net is told the same time at each step: each has its own.
for t, noise in zip(range(T, 0, -1), noises, strict=True):\\n        eps_hat = net(x, torch.full((len(x),), t - 1, device=x.device)) -> eps_hat = net(x, torch.full((len(x),), T - 1))\\n    for t, noise in zip(range(T, 0, -1), noises, strict=True):
    Your net is asked once, for the first step. What it sees changes with each: ask it in the loop.
x = ancestral_step(x, eps_hat, t, alpha_bar, noise) -> x = ancestral_step(x, eps_hat, t, alpha_bar, noises[-1])
    Every step of yours adds the same noise: fresh means another one each time.
x = ancestral_step(x, eps_hat, t, alpha_bar, noise) -> x = ancestral_step(x, eps_hat, t, alpha_bar, noise).clamp(-1, 1)
    You limit x after each step: it is still noisy, and may lie anywhere.
eps_hat = net(x, -> eps_hat = net(x / x.std(),
    You scale x before the net sees it: it is shown as it is.
\\n    return x\\n -> \\n    return x.clamp(-1, 1)\\n
    You limit what comes out to the range from -1 to 1. It is not asked for, and data need not lie there.
"""

RIGHT = """
ancestral_step := by_equation_7
eps_hat = net(x, torch.full((len(x),), t - 1, device=x.device)) -> eps_hat = net(x, torch.tensor([t - 1.0] * len(x))).detach()
for t, noise in zip(range(T, 0, -1), noises, strict=True): -> for i in range(T):\\n        t, noise = T - i, noises[i]
"""

WRONG = """
((1 - a_before) / (1 - a) * beta).sqrt() -> 0.9 * beta.sqrt()
((1 - a_before) / (1 - a) * beta).sqrt() -> (1 - a_before).sqrt()
((1 - a_before) / (1 - a) * beta).sqrt() * noise -> ((1 - a_before) / (1 - a) * beta).sqrt() * eps_hat
return mean + -> return 1.01 * mean +
return mean + -> return mean.double() +
alpha_bar[t], alpha_bar[t - 1] -> alpha_bar[-1], alpha_bar[-2]
range(T, 0, -1), noises, strict=True -> range(T, 0, -2), noises, strict=False
\\n    return x\\n -> \\n    return x.clamp(-0.5, 0.5)\\n
\\n    return x\\n -> \\n    return torch.stack([x] * T)\\n
T = len(alpha_bar) - 1 -> T, x = len(alpha_bar) - 1, noises[0]
"""

EQUIVALENT = """
torch.full((len(x),), t - 1, device=x.device) -> torch.full((len(x),), t - 1)
    differs on a GPU only, where the check says so
zip(range(T, 0, -1), noises, strict=True) -> zip(range(T, 0, -1), noises)
    there are T noises
zip(range(T, 0, -1), noises, strict=True) -> zip(range(T, 0, -1), noises, strict=False)
    there are T noises
"""


def by_equation_7(x, eps_hat, t, alpha_bar, noise):
    a, a_before = (alpha_bar[i].to(x) for i in (t, t - 1))
    beta = 1 - a / a_before
    x0 = (x - (1 - a).sqrt() * eps_hat) / a.sqrt()
    mean = a_before.sqrt() * beta / (1 - a) * x0 + (a / a_before).sqrt() * (1 - a_before) / (1 - a) * x
    return mean + ((1 - a_before) / (1 - a) * beta).sqrt() * noise
