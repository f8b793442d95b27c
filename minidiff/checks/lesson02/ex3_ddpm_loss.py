"""2.3 the loss: how wrong is the guessed noise?"""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson02 import Net
from minidiff.checks.parts import random_alpha_bars

LEARNS = ("net",)


def cases(g):
    def case(dtype, *shape):
        x0, eps = torch.randn(2, *shape, generator=g, dtype=dtype)
        between = 2 + torch.randperm(18, generator=g)[: shape[0] - 2]
        t = torch.cat([between[:1], torch.tensor([1, 20]), between[1:]])
        return Case("ddpm_loss", (Net(g, dtype), x0 + 0.7, t, eps, random_alpha_bars(g, 20)))

    return [case(torch.float32, 4, 3, 2, 5), case(torch.float64, 3, 2, 7), case(torch.float32, 5, 2)]


HINTS = """
Three lines: make x_t, let the net guess, compare.

alpha_bar[t] picks one number a sample. Reshape it to (B, 1, 1, ...), with as many axes as x0 has, and give it the dtype
of x0.

The net is told one time for each sample, counted from 0. It answers with its guess of eps.

Nothing random here: the noise is an argument. Keep to torch's functions and away from .item() and torch.no_grad(), so
that the gradient finds its way back.
"""

_ALL = "All your samples have the noise level of the first one: each has its own t."
_SHARE = "Your net is told a share of the time; it wants the number of the step, counted from 0."
_FOUR = "Your levels fit samples of one number of dimensions only: x0 may have fewer or more."
MISTAKES = f"""
.square().mean() -> .square().sum()
    You sum the squares: then the loss, and every gradient, depends on how large batch and pictures are.
.square().mean() -> .square()
    You give one number for every pixel: the loss is their mean, a single number.
.square().mean() -> .square().flatten(1).mean(1)
    You give one loss for every sample. Here one number is asked for: the mean over everything.
.square().mean() -> .square().flatten(1).sum(1).mean()
    You sum over each sample and average over the batch: the mean goes over pixels and channels, too.
.square().mean() -> .abs().mean()
    You average absolute errors; the loss of DDPM averages their squares.
.square().mean() -> .square().mean().sqrt()
    You took a square root at the end: the mean of the squares is the loss itself.
(net(x_t, t - 1) - eps).square().mean() -> torch.nn.functional.smooth_l1_loss(net(x_t, t - 1), eps)
    Your loss grows in a straight line where errors are large: here all of them are squared.
.square().mean() -> .square().mul((5 * (1 - a) / a).clamp(max=1)).mean()
    Your squares have a weight that depends on the time, as some trainings have. Here all count the same.
.square().mean() -> .square().mul(a / (1 - a)).mean()
    Your squares have a weight that depends on the time, as some trainings have. Here all count the same.
.square().mean() -> .square().mean() / 2
    Your loss is half of what it should be: there is no factor in front.
.square().mean() -> .mean()
    You average the errors themselves: those above and those below cancel, so a bad net looks good.
.square().mean() -> .mean().square()
    You square the mean; it is the squares that are averaged.
net(x_t, t - 1) - eps -> net(x_t, t - 1) - x0
    You compare with x_0: this net is asked for the noise.
net(x_t, t - 1) - eps -> net(x_t, t - 1) - x_t
    You compare with what the net was shown: it is asked for the noise in it.
net(x_t, t - 1) - eps -> net(x_t, t - 1) + eps
    You add prediction and noise where you should take their difference.
net(x_t, t - 1) - eps -> net(x_t, t - 1) - (1 - a).sqrt() * eps
    You compare with the noise as it stands in x_t: the net is asked for eps itself, before it is made weaker.
net(x_t, t - 1) -> net(x0, t - 1)
    Your net is shown the clean picture: then there is no noise in it to find.
net(x_t, t - 1) -> net(eps, t - 1)
    Your net is shown the noise alone: it should see the noisy picture.
net(x_t, t - 1) -> net(x_t, t)
    Your net is told t. Networks count from 0, as in diffusers: our t minus one.
net(x_t, t - 1) -> net(x_t, t - 2)
    Your net is told a time that is too small by one.
net(x_t, t - 1) -> net(x_t, a.flatten())
    Your net is told alpha-bar; it wants to hear which step it is.
net(x_t, t - 1) -> net(x_t, (t - 1) / len(alpha_bar))
    {_SHARE}
net(x_t, t - 1) -> net(x_t, (t - 1) / (len(alpha_bar) - 1))
    {_SHARE}
net(x_t, t - 1) -> net(x_t, t / len(alpha_bar))
    {_SHARE}
net(x_t, t - 1) -> net(x_t, t / (len(alpha_bar) - 1))
    {_SHARE}
net(x_t, t - 1) -> net(x_t, t[0] - 1)
    Your net is told a single time: it wants one for each sample.
alpha_bar[t] -> alpha_bar[t[:1]]
    {_ALL}
a = alpha_bar[t] -> t = t[:1].expand_as(t)\\n    a = alpha_bar[t]
    {_ALL}
alpha_bar[t] -> alpha_bar[t - 1]
    You read the schedule one step early: alpha_bar begins with the clean one, so t is the index. Only what the net is told is one less.
alpha_bar[t] -> alpha_bar.cumprod(0)[t]
    You multiplied alpha_bar up once more: it holds the products already.
a.sqrt() * x0 + (1 - a).sqrt() -> a * x0 + (1 - a)
    You multiplied picture and noise by powers; each is multiplied by an amplitude.
a.sqrt() * x0 -> a * x0
    The noise is right; the picture is multiplied by a power where an amplitude belongs.
(1 - a).sqrt() -> (1 - a)
    The picture is right; the noise is multiplied by a variance where a standard deviation belongs.
(1 - a).sqrt() -> (1 - a.sqrt())
    Your two weights add up to 1, as in a cross-fade; here their squares do.
a.sqrt() * x0 + (1 - a).sqrt() -> (1 - a).sqrt() * x0 + a.sqrt()
    Picture and noise have changed places in x_t: at small t it should be nearly clean.
a.sqrt() * x0 + (1 - a) -> a.sqrt() * x0 - (1 - a)
    In x_t the noise is taken away: it is added, with its sign.
a.sqrt() * x0 -> x0
    In x_t the picture stays whole: it fades as the noise comes, so that the variance stays the same.
.reshape(-1, *[1] * (x0.ndim - 1)) -> .reshape(-1, 1, 1, 1)
    {_FOUR}
.reshape(-1, *[1] * (x0.ndim - 1)) ->
    The levels of noise run along the last axis of x0, not along the batch: torch lines shapes up from the right.
return (net -> return 0 * (net
    Your loss is always 0.
net(x_t, t - 1) - eps -> net(x_t, t - 1) - (a.sqrt() * eps - (1 - a).sqrt() * x0)
    You compare with v, the mixture that some models are asked for: this net is asked for the noise.
net(x_t, t - 1) - eps -> net(x_t, t - 1) - (eps - x0)
    You compare with the way from picture to noise, as flow matching does: this net is asked for the noise.
net(x_t, t - 1) - eps -> net(x_t, t - 1) + eps / (1 - a).sqrt()
    You compare with the score, minus the noise over its amplitude: this net is asked for the noise itself.
(1 - a).sqrt() -> (1 - a.sqrt()).sqrt()
    In x_t the picture is right; under the root of the noise stands one minus alpha-bar itself, not minus its root.
(1 - a).sqrt() -> (1 - a**2).sqrt()
    In x_t the picture is right; under the root of the noise alpha-bar is squared, but it is a power already.
a.sqrt() * x0 + (1 - a).sqrt() -> a * x0 + (1 - a**2).sqrt()
    You took alpha-bar for an amplitude: it is a power already.
x_t = a.sqrt() * x0 + (1 - a).sqrt() * eps -> x_t = (a.sqrt() * x0 + (1 - a).sqrt() * eps).clamp(-1, 1)
    You limit x_t to the values of pictures: noise may lie outside, and stays as it is.
net(x_t, t - 1) -> net(x_t / x_t.std(), t - 1)
    You scale x_t before the net sees it: it is shown as it is.
net(x_t, t - 1) -> net(x_t, (t - 1) * 1000 // (len(alpha_bar) - 1))
    {_SHARE}
net(x_t, t - 1) -> net(x_t, (t - 1) * 1000 / (len(alpha_bar) - 1))
    {_SHARE}
net(x_t, t - 1) -> net(x_t, len(alpha_bar) - 1 - t)
    Your net is told how many steps are left to the end: it wants the number of the step, counted from 0.
alpha_bar[t] -> alpha_bar[t.max()]
    All your samples have the noise level of the latest time: each has its own t.
alpha_bar[t] -> alpha_bar[t.min()]
    All your samples have the noise level of the earliest time: each has its own t.
alpha_bar[t] -> alpha_bar.flip(0)[t]
    You read the schedule from its end: its first entry, at t = 0, is the clean one.
.reshape(-1, *[1] * (x0.ndim - 1)) -> [:, None]
    {_FOUR}
.reshape(-1, *[1] * (x0.ndim - 1)) -> .reshape(-1, 1, 1)
    {_FOUR}
"""

RIGHT = """
(net(x_t, t - 1) - eps).square().mean() -> torch.nn.functional.mse_loss(net(x_t, t.float() - 1), eps)
ddpm_loss := in_a_loop
"""

WRONG = """
return (net -> return 2 * (net
alpha_bar[t] -> alpha_bar[t].square()
alpha_bar[t] -> (0 * alpha_bar[t] + 0.5)
.square().mean() -> .square().median()
.square().mean() -> .square().square().mean()
.square().mean() -> .square().mean().item()
.square().mean() -> .square().mean().double()
.square().mean() -> .square().mean().detach()
net(x_t, t - 1) -> net(x_t, 0 * t)
net(x_t, t - 1) -> net(x_t + 0.1, t - 1)
x_t = -> eps = torch.randn_like(eps)\\n    x_t =
"""

EQUIVALENT = """
net(x_t, t - 1) - eps -> eps - net(x_t, t - 1)
    the sign goes away in the square
"""


def in_a_loop(net, x0, t, eps, alpha_bar):
    noisy = [a.sqrt().to(x0) * x + (1 - a).sqrt().to(x0) * e for a, x, e in zip(alpha_bar[t], x0, eps, strict=True)]
    return (net(torch.stack(noisy), t - 1) - eps).pow(2).mean()
