"""8.1 the loss of a training step, in latents."""

import torch
from torch import nn

from minidiff.checks import Case
from minidiff.checks.parts import random_alpha_bars, uniform, whole

LEARNS = ("net",)


class Toy(nn.Module):
    """A stand-in for a U-Net: its answer depends on the state, the time and every state of the text."""

    def __init__(self, dtype):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.8, 0.3, 1.0], dtype=dtype))

    def forward(self, x, t, states):
        a, b, c = self.weight
        text = (states * torch.arange(1, states.shape[1] + 1)[:, None].to(x)).mean((1, 2))[:, None, None, None]
        return torch.tanh(a * x + b * x.roll(1, -1) + c * text) - 0.02 * t.to(x)[:, None, None, None]


def cases(g):
    found = []
    for dtype, out in ((torch.float64, 1), (torch.float32, 2), (torch.float64, 0)):
        b, side, T = whole(g, 5, 7), whole(g, 3, 5), whole(g, 20, 40)
        mean, eps = torch.randn(2, b, 4, side, side + 1, generator=g, dtype=dtype)
        states = torch.randn(b, 5, 6, generator=g, dtype=dtype)
        empty = torch.randn(1, 5, 6, generator=g, dtype=dtype)
        left_out = torch.randperm(b, generator=g) < out  # not half of them, so that the others differ
        t = torch.randperm(T - 2, generator=g)[:b] + 2
        t[1], t[2] = 1, T
        args = 2 * mean + 1, uniform(g, 0.3, 0.6), states, empty, left_out, t, eps, random_alpha_bars(g, T)
        found.append(Case("training_loss", (Toy(dtype), *args)))
    return found


HINTS = """
Five lines: the latents scaled, the captions with some of them emptied, alpha and sigma of each sample's time, the noisy
latents, and the squared error against the velocity.

torch.where chooses between two tensors by a bool. It must be told along which axis the samples lie: index with None.

Entries of alpha_bar are variances of the signal, and it is in float64: bring it to the dtype of the latents.

The lesson's table has the velocity. Its alpha and sigma are those of the same time as in the noisy latents.
"""

MISTAKES = r"""
z = factor * mean -> z = mean
    The latents come as the VAE gives them: the scaling factor is missing.
z = factor * mean -> z = mean / factor
    You divide by the scaling factor, which is what the decoder's side does. On the way in it multiplies.
z = factor * mean -> z = 0.18215 * mean
    The scaling factor is that of Stable Diffusion: take the one you are given.
(alpha * eps - sigma * z) -> eps
    Your target is the noise. This network is asked for the velocity.
(alpha * eps - sigma * z) -> z
    Your target is the clean latents. This network is asked for the velocity.
(alpha * eps - sigma * z) -> (eps - z)
    Your target is the velocity of flow matching, noise minus data. The one asked for weighs them by alpha and sigma.
(alpha * eps - sigma * z) -> (sigma * z - alpha * eps)
    The velocity has the wrong sign: the noise counts positive in it.
(alpha * eps - sigma * z) -> (sigma * eps - alpha * z)
    In the velocity alpha and sigma have changed places.
(alpha * eps - sigma * z) -> (alpha * z + sigma * eps)
    The velocity is a difference. Your target is a sum, which the network has been given already.
(alpha * eps - sigma * z) -> (alpha * eps + sigma * z)
    The velocity is a difference: noise minus latents, each with its factor.
bar.sqrt(), (1 - bar).sqrt() -> bar, 1 - bar
    The roots are missing: alpha_bar and its complement are variances.
bar.sqrt(), (1 - bar).sqrt() -> bar.sqrt(), 1 - bar.sqrt()
    The noise has the wrong strength: the squares of alpha and sigma add up to 1, not the two themselves.
bar.sqrt(), (1 - bar).sqrt() -> (1 - bar).sqrt(), bar.sqrt()
    Alpha and sigma have changed places, everywhere: at small t there should be little noise.
net(alpha * z + sigma * eps, -> net(sigma * z + alpha * eps,
    In the noisy latents alpha and sigma have changed places. The target has them right.
net(alpha * z + sigma * eps, -> net(z + sigma * eps,
    In the noisy latents the picture is at full strength: it is scaled by alpha.
net(alpha * z + sigma * eps, -> net(alpha * z + sigma * torch.zeros_like(eps),
    There is no noise in the noisy latents: they are only scaled.
alpha_bar[t] -> alpha_bar[t - 1]
    The noise is that of the time before: alpha_bar has its clean entry at 0, and t counts from there.
alpha_bar[t] -> alpha_bar[t[:1]].expand(len(t))
    All samples got the noise level of the first one: each has its own t.
t - 1, told -> t, told
    The network is told t. It was built to be told the index of the papers, which is one less.
net(alpha * z + sigma * eps, -> net(z,
    The network is shown the clean latents: there is no noise to find in them.
net(alpha * z + sigma * eps, -> net(torch.zeros_like(z),
    The network is shown zeros: it should see the noisy latents.
net(alpha * z + sigma * eps, -> net(eps,
    The network is shown nothing but noise: the latents are missing from what it sees.
torch.where(left_out[:, None, None], empty, states) -> states
    Every caption is told, also those that should be left out, so guidance would have nothing to lean on.
torch.where(left_out[:, None, None], empty, states) -> empty.expand_as(states)
    No caption is told at all: only those marked should be left out.
torch.where(left_out[:, None, None], empty, states) -> empty.expand_as(states) if left_out.any() else states
    All captions of the batch are left out as soon as one is marked: each is on its own.
empty, states) -> states, empty)
    The wrong captions are left out: True marks those that are.
torch.where(left_out[:, None, None], empty, states) -> states.masked_fill(left_out[:, None, None], 0.0)
    A caption that is left out becomes zeros. The empty caption has states of its own, used in drawing.
.square().mean() -> .square().sum()
    You took the sum of the squares: the loss would grow with the size of batch and picture. Take the mean.
.square().mean() -> .square().flatten(1).sum(1).mean()
    You took the mean over the batch and the sum over each picture's numbers. Take the mean over both.
.square().mean() -> .square().flatten(1).mean(1)
    You gave one loss for each sample. One number is asked for, the mean over all.
.square().mean() -> .square()
    You gave the squared errors themselves. One number is asked for, the mean over all.
.square().mean() -> .abs().mean()
    You took absolute errors. They lead to the median of what may be under the noise, squares to its mean.
.square().mean() -> .square().mean().sqrt()
    You took the root of the mean square.
.square().mean() -> .mean().square()
    You squared after taking the mean: errors up and down cancel in that.
.square().mean() -> .square().mean() / 2
    The loss is half of what is asked for: the mean of the squares, as it is.
net(alpha * z + sigma * eps, -> net(factor * (alpha * mean + sigma * eps),
    The noise is scaled together with the latents: scale them first, and add noise of its full size.
(alpha * eps - sigma * z) -> (alpha * eps - sigma * mean)
    In the velocity the latents are not scaled. The noisy state and the velocity are made of the same z.
.square().mean() -> .square()[~left_out].mean()
    You count only the pictures that are told their caption. The others are trained as well: on the empty one.
return (answer - (alpha * eps - sigma * z)).square().mean() -> return (alpha * (alpha * z + sigma * eps) - sigma * answer - z).square().mean()
    You compare the picture that the answer stands for, so an error counts sigma squared times. Compare the velocities.
torch.where(left_out[:, None, None], empty, states) -> states.masked_fill(left_out[:, None, None], 0.0) + empty
    The empty caption is added to all captions. It stands in the place of those that are left out, and the others stay
    as they are.
torch.where(left_out[:, None, None], empty, states) -> states + left_out[:, None, None] * empty
    The empty caption is added to those that are left out. It stands in their place.
bar.sqrt(), (1 - bar).sqrt() -> bar**1 / 2, (1 - bar) ** 1 / 2
    You halve where a root should be: without brackets that is a power of 1, and then a division by 2.
t - 1, told -> (t - 1) / (len(alpha_bar) - 1), told
    The network is told a share between 0 and 1. It was built to be told the index of the papers.
t - 1, told -> t / (len(alpha_bar) - 1), told
    The network is told a share between 0 and 1. It was built to be told the index of the papers.
"""

RIGHT = r"""
torch.where(left_out[:, None, None], empty, states) -> torch.stack([empty[0] if out else each for each, out in zip(states, left_out, strict=True)])
return (answer - (alpha * eps - sigma * z)).square().mean() -> return F.mse_loss(answer, alpha * eps - sigma * z)
alpha, sigma = bar.sqrt(), (1 - bar).sqrt() -> alpha = bar.sqrt()\n    sigma = (1 - alpha**2).sqrt()
"""

WRONG = r"""
return (answer -> return (answer.detach()
.square().mean() -> .square().mean().detach()
.square().mean() -> .square().mean().item()
alpha_bar[t].to(z) -> alpha_bar[t]
net(alpha * z + sigma * eps, -> net(alpha * z + sigma * eps / 2,
net(alpha * z + sigma * eps, -> net(alpha * z + sigma * torch.randn_like(eps),
net(alpha * z + sigma * eps, -> net(alpha * z + sigma * eps[:1],
empty, states) -> empty, states[:1])
empty, states) -> empty, (states + empty) / 2)
z = factor * mean -> z = factor * mean.mean(1, keepdim=True)
return (answer - (alpha * eps - sigma * z)).square().mean() -> return F.smooth_l1_loss(answer, alpha * eps - sigma * z)
answer = net -> with torch.no_grad():\n        answer = net
"""

EQUIVALENT = """
answer - (alpha * eps - sigma * z) -> alpha * eps - sigma * z - answer
    a square has no sign
"""
