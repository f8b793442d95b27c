"""1.3 add noise to a batch, each picture at its own time."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import random_alpha_bars


def cases(g):
    """Pictures at the ends of time, and between; as wide as the batch is long, so that a wrong axis raises no error.

    No picture is the earliest or the latest of its batch in every case, and not every batch has one at the end of time.
    """

    def case(dtype, shape, *ends):
        x0, eps = torch.randn(2, *shape, generator=g, dtype=dtype)
        between = 1 + torch.randperm(19, generator=g)[: shape[0] - len(ends)]
        t = torch.cat([between[:1], torch.tensor(ends), between[1:]])
        return Case("add_noise", (x0, eps, t, random_alpha_bars(g, 20)))

    shapes = (4, 3, 2, 4), (3, 2, 5, 3), (3, 6, 3)
    return [
        case(torch.float32, shapes[0], 20, 0),
        case(torch.float64, shapes[1], 0),
        case(torch.float32, shapes[2], 20),
    ]


HINTS = """
alpha_bar[t] picks one number for each picture: shape (B,).

To multiply a batch (B, C, H, W) by B numbers, give them the shape (B, 1, 1, 1): .reshape(-1, 1, 1, 1). A batch may have
other than four dimensions: x0.ndim says how many.

alpha-bar is a power. What x_0 is multiplied by is an amplitude: think of the lengths of two sides of a right angle.

alpha_bar is float64, the pictures often float32: .to(x0) gives the numbers the dtype and device of x0.
"""

MISTAKES = r"""
a.sqrt() * x0 + (1 - a).sqrt() * eps -> a * x0 + (1 - a) * eps
    You multiplied by the powers, alpha-bar and its complement. A picture is multiplied by an amplitude.
a.sqrt() * x0 -> a * x0
    The noise is right; x_0 is multiplied by a power where an amplitude belongs.
(1 - a).sqrt() * eps -> (1 - a) * eps
    The signal is right; eps is multiplied by a variance where a standard deviation belongs.
(1 - a).sqrt() * eps -> (1 - a.sqrt()) * eps
    Your two weights add up to 1, as in a cross-fade. Here their squares do: variances add, amplitudes do not.
a.sqrt() * x0 + (1 - a).sqrt() * eps -> (1 - a).sqrt() * x0 + a.sqrt() * eps
    Picture and noise have changed places: at t = 0 all of x_0 should be there.
x0 + (1 - a) -> x0 - (1 - a)
    The sign of the noise is wrong: what is random cannot tell, but the network learns to find the eps you were given.
return a.sqrt() * x0 -> return a.sqrt() * ((x0 - x0.mean()) / x0.std())
    You shift and stretch x_0 to mean 0 and variance 1 first: it is taken as it comes.
return a.sqrt() * x0 -> return x0
    The noise is right, but x_0 is added whole: then the variance grows. Here x_0 fades as the noise comes.
return a.sqrt() * x0 + (1 - a).sqrt() * eps -> return x0 + ((1 - a) / a).sqrt() * eps
    Your picture stays whole while the noise grows without bound: here x_0 fades, so that the variance stays the same.
+ (1 - a).sqrt() * eps ->
    eps is missing: you only dimmed the picture.
+ (1 - a).sqrt() * eps -> + eps
    The noise comes at full strength at every time: it has a weight of its own.
return a.sqrt() * x0 -> return 0 * x0
    x_0 is missing: only the noise is there.
alpha_bar[t] -> alpha_bar[t - 1]
    You read the schedule one step early. alpha_bar has T + 1 entries and begins with the clean one: t is the index.
alpha_bar[t] -> alpha_bar[t + 1]
    You read the schedule one step late, and past its end: alpha_bar begins with the clean one, so t is the index.
alpha_bar[t] -> alpha_bar[t.clamp(min=1)]
    Pictures at t = 0 get the noise of t = 1: at t = 0 they stay clean.
alpha_bar[t] -> alpha_bar.cumprod(0)[t]
    You multiplied alpha_bar up once more: it holds the products already.
alpha_bar[t] -> (1 - alpha_bar).cumprod(0)[t]
    You treated alpha_bar as betas: it says how much is left after all the steps up to t, so it is not multiplied up.
alpha_bar[t] -> alpha_bar[t[0]]
    Every picture got the noise of the first one: each has its own t.
alpha_bar[t] -> alpha_bar[t].mean()
    All pictures got one mean level of noise: each has its own t.
alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1)).to(x0) -> alpha_bar[t].item()
    You want one number from the schedule, but t asks for as many as there are pictures: each has its own level.
.reshape(-1, *[1] * (x0.ndim - 1)) ->
    The levels run along the width of the pictures, not along the batch: torch lines shapes up from the right.
.reshape(-1, *[1] * (x0.ndim - 1)) -> .reshape(-1, 1, 1, 1)
    Your levels fit pictures of one number of dimensions only: x0 may have fewer or more.
.reshape(-1, *[1] * (x0.ndim - 1)) -> .reshape(-1, 1, 1)
    Your levels fit pictures of one number of dimensions only: x0 may have fewer or more.
.reshape(-1, *[1] * (x0.ndim - 1)) -> [:, None]
    Your levels fit pictures of one number of dimensions only: x0 may have fewer or more.
alpha_bar[t] -> alpha_bar[t.max()]
    All pictures got the noise of the latest time in the batch: each has its own t.
alpha_bar[t] -> alpha_bar[t.min()]
    All pictures got the noise of the earliest time in the batch: each has its own t.
alpha_bar[t] -> alpha_bar[t[-1]]
    Every picture got the noise of the last one: each has its own t.
alpha_bar[t] -> alpha_bar[t * (len(alpha_bar) - 1) // t.max()]
    You stretch the times of the batch over the whole schedule: t is the index as it is.
alpha_bar[t] -> alpha_bar.flip(0)[t]
    You read the schedule from its end: its first entry, at t = 0, is the clean one.
alpha_bar[t] -> alpha_bar.sqrt()[t]
    You take a square root too many: alpha-bar is the power itself, not an amplitude.
(1 - a).sqrt() * eps -> (1 - a.sqrt()).sqrt() * eps
    The signal is right; under the root of the noise stands one minus alpha-bar itself, not minus its root.
a.sqrt() * x0 + (1 - a).sqrt() * eps -> a * x0 + (1 - a**2).sqrt() * eps
    You took alpha-bar for an amplitude, the noise's power for one minus its square: alpha-bar is a power already.
(1 - a).sqrt() * eps -> (1 - a**2).sqrt() * eps
    The signal is right; under the root of the noise alpha-bar is squared, but it is a power already.
a.sqrt() * x0 -> a[:1].sqrt() * x0
    The noise is right, but every picture fades as the first one does: each has its own level.
(1 - a).sqrt() * eps -> (1 - a[:1]).sqrt() * eps
    The signal is right, but every picture has the noise of the first one: each has its own level.
(1 - a).sqrt() * eps -> (1 - a).sqrt() * ((eps - eps.mean()) / eps.std())
    You shift and stretch eps to mean 0 and variance 1 first: it is random, and taken as it comes.
a.sqrt() * x0 + (1 - a).sqrt() * eps -> (a.sqrt() * x0 + (1 - a).sqrt() * eps).clamp(-1, 1)
    You limit x_t to the values of pictures: noise may lie outside, and stays as it is.
return a.sqrt() * x0 -> return a.sqrt() * x0.clamp(-1, 1)
    You limit x_0 to the values of pictures: it is taken as it comes.
.to(x0) -> .float()
    Your levels are rounded to float32: where the pictures are float64, the levels should be, too.
a.sqrt() * x0 + (1 - a).sqrt() * eps -> a.sqrt().float() * x0 + (1 - a).sqrt().float() * eps
    Your levels are rounded to float32: where the pictures are float64, the levels should be, too.
add_noise := lambda x0, eps, t, a: add_noise(x0.float(), eps.float(), t, a).to(x0)
    You calculate in float32: where the pictures are float64, all the rest should be, too.
"""

RIGHT = """
add_noise := lambda x0, eps, t, a: (a[t].sqrt().to(x0) * x0.movedim(0, -1) + (1 - a[t]).sqrt().to(x0) * eps.movedim(0, -1)).movedim(-1, 0)
"""

WRONG = """
.to(x0) -> && a.sqrt() * x0 -> a.sqrt() * x0.double()
a.sqrt() * x0 + (1 - a).sqrt() * eps -> 0.8 * x0 + 0.6 * eps
(1 - a).sqrt() * eps -> (1 - a).sqrt() * torch.randn_like(eps)
"""
