"""Lesson 03, the VAE: what the exercises are checked against."""

import math
import re
from types import SimpleNamespace

import torch
import torch.nn.functional as F
from torch import nn
from torch.distributions.transforms import AffineTransform

from minidiff import data
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import methods, mistakes, uniform, whole
from minidiff.train.objectives import VAEObjective
from minidiff.vae import VAE, Gaussian, VAEConfig

# 3.1 The reparameterisation trick


class _AsGiven(VAE):
    """A VAE whose input is what its encoder says of it, so that `encode` is only what comes after."""

    def __init__(self):
        nn.Module.__init__(self)
        self.config = VAEConfig(block_out_channels=(1,))
        self.encoder = self.quant_conv = nn.Identity()


def reparameterise(mean, logvar, eps):
    """The reference: `VAE.encode` limits logvar, torch moves and stretches eps; `Gaussian.sample` draws its own."""
    q = _AsGiven().encode(torch.cat([mean, logvar], dim=1))
    return AffineTransform(q.mean, (q.logvar / 2).exp())(eps)


def _gradient(z):
    """That of a weighted sum of z, for the one input of the call that asks for one."""
    if not isinstance(z, torch.Tensor):
        return z
    found, nodes = [], [z.grad_fn] if z.grad_fn else []
    while nodes:
        node = nodes.pop()
        found += [node.variable] if hasattr(node, "variable") else []
        nodes += [node for node, _ in node.next_functions if node]
    weights = torch.linspace(1, 2, z.numel()).to(z).view_as(z)
    return {"gradient": torch.autograd.grad((weights * z).sum(), found[0])[0] if found else torch.zeros_like(z)}


def _posterior(g, *shape, dtype=torch.float64, most=3):
    """mean, logvar and eps of a shape; logvar from -2 most to most."""
    mean, eps = torch.randn(2, *shape, generator=g, dtype=dtype)
    return 2 * mean + 0.5, uniform(g, -2 * most, most, *shape, dtype=dtype), eps


def _sample_cases(g):
    centre, extreme, noise = _posterior(g, 3, 2, 5, 4, most=45)
    mean, logvar, eps = _posterior(g, 2, 4, 3, 3, most=45)
    return [
        Case("reparameterise", _posterior(g, 2, 3, 4, 5, dtype=torch.float32)),
        Case("reparameterise", _posterior(g, 3, 2, 2, 6)),
        Case("reparameterise", (30 * centre, extreme, noise)),
        Case("reparameterise", (0 * centre, extreme, noise)),  # where the lower limit shows
        Case("reparameterise", (mean.clone().requires_grad_(), logvar, eps), read=_gradient),
        Case("reparameterise", (mean, logvar.clone().requires_grad_(), eps), read=_gradient),
    ]


_LOW, _HIGH = -30, 20

_REPARAMETERISE = Exercise(
    title="a sample that gradients flow through",
    reference={"reparameterise": reparameterise},
    cases=_sample_cases,
    mistakes=mistakes(
        "reparameterise",
        (
            "the variance for the standard deviation",
            "eps is multiplied by the variance. It should be multiplied by how far z spreads, the standard deviation.",
            lambda mean, logvar, eps: mean + logvar.clamp(_LOW, _HIGH).exp() * eps,
        ),
        (
            "the logarithm for the variance",
            "eps is multiplied by half of logvar itself: that is still a logarithm, and may be negative.",
            lambda mean, logvar, eps: mean + logvar.clamp(_LOW, _HIGH) / 2 * eps,
        ),
        (
            "one over the standard deviation",
            "The sign of the exponent is wrong: where logvar is small, your z spreads widely.",
            lambda mean, logvar, eps: mean + (-logvar.clamp(_LOW, _HIGH) / 2).exp() * eps,
        ),
        (
            "swaps mean and eps",
            "mean and eps have changed places: the mean is where z should be when eps is 0.",
            lambda mean, logvar, eps: reparameterise(eps, logvar, mean),
        ),
        (
            "ignores eps",
            "You gave the mean: that is the middle of the distribution, and no sample of it.",
            lambda mean, logvar, eps: mean.clone(),
        ),
        (
            "ignores the mean",
            "The spread is right, but all your samples lie around 0: the mean is missing.",
            lambda mean, logvar, eps: reparameterise(0 * mean, logvar, eps),
        ),
        (
            "ignores logvar",
            "logvar is not used: every latent gets noise of the same strength.",
            lambda mean, logvar, eps: mean + eps,
        ),
        (
            "wrong sign",
            "The sign of eps is wrong. The distribution is the same, but this is not the sample that eps stands for.",
            lambda mean, logvar, eps: reparameterise(mean, logvar, -eps),
        ),
        (
            "forgets the limits",
            "Ordinary numbers come out right. Where logvar is extreme, it should be limited to the two numbers given.",
            lambda mean, logvar, eps: mean + (logvar / 2).exp() * eps,
        ),
        (
            "limits the wrong way round",
            "The limits have changed places: a very small variance does less harm than a very large one, "
            "so the lower limit is the one further from 0.",
            lambda mean, logvar, eps: mean + (logvar.clamp(-_HIGH, -_LOW) / 2).exp() * eps,
        ),
        (
            "limits half of logvar",
            "You limit the logarithm of the standard deviation. The limits belong to that of the variance.",
            lambda mean, logvar, eps: mean + (logvar / 2).clamp(_LOW, _HIGH).exp() * eps,
        ),
        (
            "limits the sample",
            "You limit z. It is logvar that the limits belong to; z may lie anywhere.",
            lambda mean, logvar, eps: (mean + (logvar / 2).exp() * eps).clamp(_LOW, _HIGH),
        ),
        (
            "no gradient",
            "The sample is right, but no gradient comes back through it, so the encoder would never learn: "
            "look for detach, no_grad, item or data.",
            lambda mean, logvar, eps: reparameterise(mean, logvar, eps).detach(),
        ),
        (
            "no gradient to logvar",
            "The sample is right, but no gradient reaches logvar: the encoder would never learn how sure it may be.",
            lambda mean, logvar, eps: reparameterise(mean, logvar.detach(), eps),
        ),
        (
            "returns zeros",
            "You gave zeros: neither the mean nor the noise is there.",
            lambda mean, logvar, eps: torch.zeros_like(mean),
        ),
        (
            "changes its input",
            MUTATES,
            lambda mean, logvar, eps: reparameterise(mean, logvar.detach().clamp_(_LOW, _HIGH), eps),
        ),
    ),
    hints=(
        "What must a standard normal number be multiplied by to have the variance you want? And what added, to have "
        "the mean?",
        "logvar is the logarithm of the variance. To multiply by a standard deviation, undo the logarithm and take a "
        "square root: both together are one exp of half of it.",
        "torch.clamp, or the method of that name, limits every entry of a tensor to a lower and an upper number. Use "
        "it before exp.",
        "For the gradient there is nothing to do, as long as all of it is arithmetic on mean and logvar.",
    ),
)


# 3.2 The KL divergence


def kl(mean, logvar):
    """The reference: `Gaussian.kl`."""
    return Gaussian(mean, logvar).kl()


def _kl_of(terms):
    """A wrong kl, from what is halved and summed, given mean and logvar."""
    return lambda mean, logvar: terms(mean, logvar).flatten(1).sum(1) / 2


def _kl_cases(g):
    shapes = ((3, 2, 4, 5), torch.float64), ((2, 5, 3), torch.float32), ((4, 6), torch.float64)
    return [Case("kl", _posterior(g, *shape, dtype=dtype)[:2]) for shape, dtype in shapes]


_KL = Exercise(
    title="the KL divergence from the standard normal distribution",
    reference={"kl": kl},
    cases=_kl_cases,
    mistakes=mistakes(
        "kl",
        (
            "mean for sum",
            "You average over the latents of a sample. Independent numbers each add their own divergence: sum.",
            lambda mean, logvar: kl(mean, logvar) / mean[0].numel(),
        ),
        (
            "sums over the batch",
            "You gave one number for the whole batch. Each sample has a divergence of its own: keep the first axis.",
            lambda mean, logvar: kl(mean, logvar).sum(),
        ),
        (
            "averages over the batch",
            "You gave one number, the average over the batch. That comes later, in the loss: keep the first axis here.",
            lambda mean, logvar: kl(mean, logvar).mean(),
        ),
        (
            "sums one axis",
            "Only the axis after the batch is summed: a sample may have more of them, and all belong to it.",
            lambda mean, logvar: (mean**2 + logvar.exp() - 1 - logvar).sum(1) / 2,
        ),
        (
            "forgets the half",
            "Your divergence is twice too large: look at the factor in the exponent of a normal density.",
            lambda mean, logvar: 2 * kl(mean, logvar),
        ),
        (
            "wrong sign",
            "Your divergence is negative. It never is: turn the difference of the two logarithms round.",
            lambda mean, logvar: -kl(mean, logvar),
        ),
        (
            "the logarithm for the variance",
            "Where the variance itself belongs you used its logarithm: the two would cancel for any logvar.",
            _kl_of(lambda mean, logvar: mean**2 - 1 + 0 * logvar),
        ),
        (
            "the standard deviation for the variance",
            "Where the variance belongs you used the standard deviation.",
            _kl_of(lambda mean, logvar: mean**2 + (logvar / 2).exp() - 1 - logvar),
        ),
        (
            "forgets to square the mean",
            "The mean is not squared: being off to the left is as wrong as being off to the right.",
            _kl_of(lambda mean, logvar: mean + logvar.exp() - 1 - logvar),
        ),
        (
            "forgets the constant",
            "Your divergence is too large by the same amount everywhere: for the standard normal distribution itself "
            "it must be 0.",
            _kl_of(lambda mean, logvar: mean**2 + logvar.exp() - logvar),
        ),
        (
            "forgets the logarithm",
            "The term with the logarithm is missing: then a variance of 0 would be best, and not one of 1.",
            _kl_of(lambda mean, logvar: mean**2 + logvar.exp() - 1),
        ),
        (
            "adds the logarithm",
            "The logarithm has the wrong sign: a variance near 0 should cost a lot, and with yours it is a gain.",
            _kl_of(lambda mean, logvar: mean**2 + logvar.exp() - 1 + logvar),
        ),
        (
            "ignores the mean",
            "Your divergence does not depend on the mean, but a distribution far away from 0 is unlike one around 0.",
            lambda mean, logvar: kl(0 * mean, logvar),
        ),
        (
            "ignores logvar",
            "Your divergence does not depend on logvar: how wide the distribution is should matter.",
            lambda mean, logvar: kl(mean, 0 * logvar),
        ),
        (
            "the other way round",
            "That is the divergence of the standard normal distribution from q. The average is over samples of q, "
            "so the two have changed places.",
            _kl_of(lambda mean, logvar: (mean**2 + 1) / logvar.exp() - 1 + logvar),
        ),
        (
            "in bits",
            "Your numbers are too large by one factor everywhere: you count bits. "
            "With natural logarithms they are nats.",
            lambda mean, logvar: kl(mean, logvar) / math.log(2),
        ),
        (
            "returns zeros",
            "You gave zeros, as if every distribution were the standard normal one.",
            lambda mean, logvar: torch.zeros_like(mean.flatten(1)[:, 0]),
        ),
        (
            "changes its input",
            MUTATES,
            lambda mean, logvar: kl(mean, logvar.add_(1e-3)),
        ),
    ),
    hints=(
        "One number first. The logarithm of a normal density is easy: minus half a square, minus the logarithm of the "
        "standard deviation, minus a constant that both densities share.",
        "You need two averages over samples z of q. That of the squared distance from the mean is the variance. That "
        "of z squared is the variance plus the square of the mean.",
        "Put in the averages, and four terms are left, all of them halved: two that grow with mean and variance, the "
        "logarithm of the variance, and a constant. Check that mean 0 and variance 1 give 0.",
        "For the sum: flatten all axes but the first into one, and sum that. .flatten does it when told from which "
        "axis.",
    ),
)


# 3.3 The loss


def vae_loss(x, reconstruction, mean, logvar, kl_weight):
    """The reference: `VAEObjective`, with a model that says what we want it to say."""
    model = SimpleNamespace(encode=lambda _: Gaussian(mean, logvar), decode=lambda _: reconstruction)
    return VAEObjective(model, whole=0, kl=kl_weight)(torch.Generator(), x)


def _distances(x, y):
    return (x - y).abs().mean(), (x - y).square().mean()


def _loss(distance, rate, weigh=lambda d, r, w: d + w * r):
    """A wrong vae_loss, from its first part, given |.| and squares, and its second, given the KL and the latents."""

    def wrong(x, reconstruction, mean, logvar, kl_weight):
        return weigh(
            distance(*_distances(x, reconstruction)), rate(kl(mean, logvar).mean(), mean[0].numel()), kl_weight
        )

    return wrong


def _sum(absolute, square):
    return absolute + square


def _per_number(total, n):
    return total / n


def _loss_cases(g):
    cases = []
    for b, height, width in ((3, 8, 16), (2, 24, 8), (5, 8, 8)):
        x, y = uniform(g, -1, 1, 2, b, 3, height, width, dtype=torch.float32)
        mean, logvar, _ = _posterior(g, b, whole(g, 2, 5), height // 4, width // 4, dtype=torch.float32)
        cases.append(Case("vae_loss", (x, y, mean, logvar, uniform(g, 0.1, 0.9))))
    return cases


_LOSS = Exercise(
    title="the loss of a VAE: distortion and rate",
    reference={"vae_loss": vae_loss},
    cases=_loss_cases,
    mistakes=mistakes(
        "vae_loss",
        (
            "ignores the weight",
            "kl_weight is not used: the two parts would count the same.",
            _loss(_sum, _per_number, lambda d, r, w: d + r),
        ),
        (
            "weighs the distortion",
            "The weight stands at the wrong part: it belongs to the KL, not to the distortion.",
            _loss(_sum, _per_number, lambda d, r, w: w * d + r),
        ),
        (
            "cross-fades",
            "You share out one weight between the two parts. Here the distortion always counts in full.",
            _loss(_sum, _per_number, lambda d, r, w: (1 - w) * d + w * r),
        ),
        (
            "wrong sign",
            "The KL is subtracted: then the loss falls as the latents run away from the standard normal distribution.",
            _loss(_sum, _per_number, lambda d, r, w: d - w * r),
        ),
        (
            "ignores the KL",
            "The KL is missing: only the distortion counts in your loss.",
            _loss(_sum, _per_number, lambda d, r, w: d),
        ),
        (
            "ignores the pictures",
            "The distortion is missing: only the KL counts, and a VAE that forgets every picture would be perfect.",
            _loss(_sum, _per_number, lambda d, r, w: w * r),
        ),
        (
            "forgets the squares",
            "The distortion has the absolute difference only. "
            "The squared one, which punishes large errors, is missing.",
            _loss(lambda a, s: a, _per_number),
        ),
        (
            "forgets the absolute values",
            "The distortion has the squared difference only. The absolute one, which keeps edges sharp, is missing.",
            _loss(lambda a, s: s, _per_number),
        ),
        (
            "halves the distortion",
            "The distortion is half of what it should be: the two differences are added up, not averaged.",
            _loss(lambda a, s: (a + s) / 2, _per_number),
        ),
        (
            "takes a root",
            "You took a square root of the mean square; the mean square itself is asked for.",
            _loss(lambda a, s: a + s.sqrt(), _per_number),
        ),
        (
            "squares the mean",
            "You average the absolute difference and square that. Square each difference first: large ones count more.",
            _loss(lambda a, s: a + a**2, _per_number),
        ),
        (
            "does not divide the KL",
            "The KL is that of a whole sample. Here it counts per number of the latent: "
            "else the weight would mean another thing for each size of picture.",
            _loss(_sum, lambda total, n: total),
        ),
        (
            "divides the KL by the channels",
            "The KL is divided by the number of channels only: a latent has height and width too.",
            lambda x, reconstruction, mean, logvar, kl_weight: vae_loss(
                x, reconstruction, mean, logvar, kl_weight * mean[0, 0].numel()
            ),
        ),
        (
            "divides the KL by the pixels",
            "The KL is divided by the numbers of a picture. It belongs to the latent, which has far fewer.",
            lambda x, reconstruction, mean, logvar, kl_weight: vae_loss(
                x, reconstruction, mean, logvar, kl_weight * mean[0].numel() / x[0].numel()
            ),
        ),
        (
            "sums the distortion",
            "The distortion is summed over all pixels: take the mean, or the loss depends on the size of the pictures.",
            lambda x, reconstruction, mean, logvar, kl_weight: (
                vae_loss(x, reconstruction, mean, logvar, kl_weight / x.numel()) * x.numel()
            ),
        ),
        (
            "sums over the batch",
            "Your loss grows with the batch: average over the samples, too.",
            lambda x, reconstruction, mean, logvar, kl_weight: (
                len(x) * vae_loss(x, reconstruction, mean, logvar, kl_weight)
            ),
        ),
        (
            "sums the KL over the batch",
            "The KL grows with the batch: average it over the samples, as the distortion is.",
            lambda x, reconstruction, mean, logvar, kl_weight: vae_loss(
                x, reconstruction, mean, logvar, kl_weight * len(x)
            ),
        ),
        (
            "one for each sample",
            "You gave a loss for each sample. Training needs one number: the mean over the batch.",
            lambda x, reconstruction, mean, logvar, kl_weight: torch.stack(
                [
                    vae_loss(*(part[None] for part in parts), kl_weight)
                    for parts in zip(x, reconstruction, mean, logvar, strict=True)
                ]
            ),
        ),
        (
            "returns zeros",
            "You gave 0, as if the VAE were perfect already.",
            lambda x, *_: torch.zeros((), dtype=x.dtype),
        ),
        (
            "changes its input",
            MUTATES,
            lambda x, *others: vae_loss(x.add_(1e-3), *others),
        ),
    ),
    hints=(
        "Two parts. The first compares x with its reconstruction: two means over everything, added up.",
        "The second is the KL of exercise 3.2, for each sample; from there to one number per number of the latent.",
        "mean[0].numel() says how many numbers one latent has. The weight multiplies only the second part.",
        "What you return is a tensor without axes, so that .backward works on it: no .item here.",
    ),
)


# 3.4 The scale of the latents


def scaling_factor(latents):
    """The reference: one over torch's standard deviation of everything."""
    return 1 / latents.std().item()


def _scale(factor, shift):
    return AffineTransform(-shift * factor, factor)


def to_latents(mean, factor, shift):
    """The reference: torch moves and stretches."""
    return _scale(factor, shift)(mean)


def from_latents(z, factor, shift):
    """The reference: torch undoes it."""
    return _scale(factor, shift).inv(z)


def _latents(g, *shape):
    """Latents whose pictures and channels differ in mean and spread, (B, C, h, w) float32."""
    ways = torch.linspace(1, 2, shape[0]).view(-1, 1, 1, 1), torch.linspace(0.5, 2.5, shape[1]).view(-1, 1, 1)
    spread, offset = ways[0] * ways[1], 3 * ways[0] + 2 * ways[1] - 5
    return uniform(g, 0.3, 6) * (torch.randn(shape, generator=g) * spread + offset)


def _scale_cases(g):
    def settings():
        return uniform(g, 0.1, 0.8), uniform(g, 0.2, 1.5)

    large = [_latents(g, 3, c, 120, 100 + c) for c in (4, 5)]  # so large that n and n - 1 are the same
    small = [torch.randn(shape, generator=g) * 3 for shape in ((2, 4, 3, 5), (3, 2, 2, 4), (1, 6, 4, 4))]
    return [
        *(Case("scaling_factor", (latents,)) for latents in large),
        *(Case("to_latents", (latents, *settings())) for latents in small),
        *(Case("from_latents", (latents, *settings())) for latents in small),
    ]


_SCALING = Exercise(
    title="the scale of the latents",
    reference={"scaling_factor": scaling_factor, "to_latents": to_latents, "from_latents": from_latents},
    cases=_scale_cases,
    mistakes=(
        *mistakes(
            "scaling_factor",
            (
                "gives the standard deviation",
                "scaling_factor gives what the latents spread now. The factor is what makes that 1.",
                lambda latents: latents.std().item(),
            ),
            (
                "one over the variance",
                "scaling_factor divides by the variance: after that the latents have not a variance of 1 "
                "but one over what they had.",
                lambda latents: 1 / latents.var().item(),
            ),
            (
                "takes the distance from zero",
                "scaling_factor measures how far the latents are from 0. Their spread is how far they are from "
                "their own mean.",
                lambda latents: 1 / latents.square().mean().sqrt().item(),
            ),
            (
                "takes the largest",
                "scaling_factor puts the latents between -1 and 1. Unit variance is asked for, not a range.",
                lambda latents: 1 / latents.abs().max().item(),
            ),
            (
                "takes absolute values",
                "scaling_factor uses the mean absolute value: that is another measure of size than the standard "
                "deviation.",
                lambda latents: 1 / latents.abs().mean().item(),
            ),
            (
                "one for each channel",
                "scaling_factor gives a number for each channel. One for all is asked for: what a channel carries more "
                "of, it should keep more of.",
                lambda latents: 1 / latents.std(dim=(0, 2, 3)),
            ),
            (
                "averages the channels",
                "scaling_factor averages the channels' own spreads, and so forgets that their means differ too. "
                "Take all numbers together.",
                lambda latents: 1 / latents.std(dim=(0, 2, 3)).mean().item(),
            ),
            (
                "the first picture only",
                "scaling_factor looks at the first picture only: all of the batch counts.",
                lambda latents: 1 / latents[0].std().item(),
            ),
            (
                "is Stable Diffusion's",
                "scaling_factor ignores the latents: "
                "that number belongs to the VAE of Stable Diffusion and to no other.",
                lambda latents: 0.18215,
            ),
        ),
        *mistakes(
            "to_latents",
            (
                "divides",
                "to_latents divides by the factor; it should multiply, and the way back divides.",
                lambda mean, factor, shift: (mean - shift) / factor,
            ),
            (
                "ignores the shift",
                "to_latents does not use the shift.",
                lambda mean, factor, shift: mean * factor,
            ),
            (
                "ignores the factor",
                "to_latents does not use the factor.",
                lambda mean, factor, shift: mean - shift,
            ),
            (
                "adds the shift",
                "to_latents adds the shift: it is the mean of the latents, and should become 0.",
                lambda mean, factor, shift: (mean + shift) * factor,
            ),
            (
                "shifts last",
                "to_latents takes the shift away from what is scaled already. The shift was measured before: it comes "
                "first.",
                lambda mean, factor, shift: mean * factor - shift,
            ),
            (
                "changes its input",
                MUTATES,
                lambda mean, factor, shift: mean.sub_(shift).mul(factor),
            ),
        ),
        *mistakes(
            "from_latents",
            (
                "multiplies",
                "from_latents multiplies by the factor again: it should undo that.",
                lambda z, factor, shift: z * factor + shift,
            ),
            (
                "ignores the shift",
                "from_latents does not use the shift: the decoder would get latents around 0.",
                lambda z, factor, shift: z / factor,
            ),
            (
                "ignores the factor",
                "from_latents does not use the factor.",
                lambda z, factor, shift: z + shift,
            ),
            (
                "subtracts the shift",
                "from_latents takes the shift away a second time: it should put it back.",
                lambda z, factor, shift: z / factor - shift,
            ),
            (
                "undoes in the same order",
                "from_latents undoes the two steps in the order in which they were made: the last one is undone first.",
                lambda z, factor, shift: (z + shift) / factor,
            ),
            (
                "is the way there",
                "from_latents does the same as to_latents, and should do the opposite.",
                lambda z, factor, shift: (z - shift) * factor,
            ),
        ),
    ),
    hints=(
        "What must a number be multiplied by so that its standard deviation, which is s now, becomes 1?",
        "A tensor has a method .std: without arguments it takes all entries together. .item makes it a Python float.",
        "There: first the shift away, so that the mean is 0; then times the factor. Try it on paper with mean 3 and "
        "standard deviation 2.",
        "Back: undo the last step first. Then from_latents of to_latents gives what you began with.",
    ),
)


# 3.5 VAECompressionAnalyzer


def _pixels(resolution):
    return torch.empty(3, resolution, resolution, device="meta").numel()


def _latent(analyzer, resolution):
    pixels = torch.empty(1, analyzer.latent_channels, resolution, resolution, device="meta")
    return F.avg_pool2d(pixels, analyzer.factor).numel()


class VAECompressionAnalyzer:
    """The reference: torch counts. No method calls another, so that a mistake in one stays there."""

    def __init__(self, resolutions=(256, 512, 768, 1024), latent_channels=4, factor=8):
        self.resolutions, self.latent_channels, self.factor = resolutions, latent_channels, factor

    def pixel_size(self, resolution):
        return _pixels(resolution)

    def latent_size(self, resolution):
        return _latent(self, resolution)

    def compression_ratio(self, resolution):
        return _pixels(resolution) / _latent(self, resolution)

    def memory_saved_mb(self, resolution):
        return (_pixels(resolution) - _latent(self, resolution)) * 4 / 1e6

    def latent_steps(self, resolution):
        return _pixels(resolution) // _latent(self, resolution)

    def print_table(self, steps=50):
        for resolution in self.resolutions:
            print(_row(self, resolution))
        print(_last_line(self, steps))


def _row(analyzer, r):
    right = VAECompressionAnalyzer(analyzer.resolutions, analyzer.latent_channels, analyzer.factor)
    sizes = f"{r} {right.pixel_size(r):,} {right.latent_size(r):,}"
    return f"{sizes} {right.compression_ratio(r):.1f} {right.memory_saved_mb(r):.2f}"


def _last_line(analyzer, steps):
    r = analyzer.resolutions[0]
    return f"one pixel step: {_pixels(r) // _latent(analyzer, r)} latent steps of {steps}"


def _numbers(line):
    return [re.sub(r"[,_']", "", text) for text in re.findall(r"\d(?:[\d,_']*\d)?(?:\.\d+)?", line)]


def _printed_as(text, value):
    """Whether this text is the value, rounded to as many decimals as it has: one at least, if it is not whole."""
    decimals = len(text.partition(".")[2])
    return (decimals > 0 or value == int(value)) and float(text) == round(value, decimals)


def _table(analyzer, steps):
    """Says what is missing in a printed table."""

    def missing(text):
        lines, out = [_numbers(line) for line in text.splitlines()], []
        for r in analyzer.resolutions:
            wanted = {
                "pixel size": analyzer.pixel_size(r),
                "latent size": analyzer.latent_size(r),
                "ratio": analyzer.compression_ratio(r),
                "MB saved": analyzer.memory_saved_mb(r),
            }
            row = next((line[1:] for line in lines if line and line[0] == str(r)), None)
            if row is None:
                out.append(f"a line that begins with {r}")
                continue
            out += [f"{name} at {r}" for name, value in wanted.items() if not any(_printed_as(n, value) for n in row)]
        fits, known = str(analyzer.latent_steps(analyzer.resolutions[0])), list(map(str, analyzer.resolutions))
        if not any(fits in line and str(steps) in line for line in lines if line and line[0] not in known):
            out.append("a line with the latent steps that fit, and the steps of a picture")
        return "a table that lacks " + (", ".join(out) or "nothing")

    return missing


def _analyzer_cases(g):
    def case(method, *args, made_with=(), **kwargs):
        return Case(f"VAECompressionAnalyzer.{method}", args, made_with=made_with, **kwargs)

    def settings():
        """Resolutions, channels and factor: not the default ones, and a ratio that is no whole number."""
        factor, channels = (4, 8, 16)[whole(g, 0, 2)], (5, 7, 11, 13)[whole(g, 0, 3)]
        return [factor * n for n in (whole(g, 18, 29), whole(g, 30, 49))], channels, factor

    cases = []
    for method in ("pixel_size", "latent_size", "compression_ratio", "memory_saved_mb", "latent_steps"):
        cases.append(case(method, (256, 512, 768, 1024)[whole(g, 0, 3)]))
        for made_with in (settings(), ((320,), 5, 4), settings()):
            cases.append(case(method, made_with[0][-1], made_with=made_with))
    other = ((96, 192), 6, 4), 30
    return cases + [
        case("print_table", printed=_table(VAECompressionAnalyzer(), 50)),
        case("print_table", other[1], made_with=other[0], printed=_table(VAECompressionAnalyzer(*other[0]), other[1])),
    ]


def _without(column):
    """A print_table that lacks a column."""

    def print_table(self, steps=50):
        for r in self.resolutions:
            columns = _row(self, r).split()
            print(*columns[:column], *columns[column + 1 :])
        print(_last_line(self, steps))

    return print_table


def _without_steps(self, steps=50):
    for r in self.resolutions:
        print(_row(self, r))


def _one_row(self, steps=50):
    print(_row(self, self.resolutions[0]))
    print(_last_line(self, steps))


def _default_rows(self, steps=50):
    VAECompressionAnalyzer.print_table(VAECompressionAnalyzer(), steps)


def _fifty(self, steps=50):
    VAECompressionAnalyzer.print_table(self, 50)


_ANALYZER = Exercise(
    title="VAECompressionAnalyzer: what a latent saves",
    reference={"VAECompressionAnalyzer": VAECompressionAnalyzer},
    cases=_analyzer_cases,
    mistakes=(
        *methods(
            VAECompressionAnalyzer,
            "pixel_size",
            (
                "forgets the colours",
                "pixel_size counts pixels. Each of them has three numbers: red, green and blue.",
                lambda self, r: r * r,
            ),
            (
                "one side only",
                "pixel_size takes one side of the picture only: it has a height and a width.",
                lambda self, r: 3 * r,
            ),
            (
                "counts bytes",
                "pixel_size counts bytes; how many numbers there are is asked for.",
                lambda self, r: 12 * r * r,
            ),
            (
                "uses the latent's channels",
                "pixel_size uses the channels of the latent: a picture has three.",
                lambda self, r: self.latent_channels * r * r,
            ),
        ),
        *methods(
            VAECompressionAnalyzer,
            "latent_size",
            (
                "shrinks one side only",
                "latent_size is too large: both height and width are divided by the factor.",
                lambda self, r: r * r * self.latent_channels // self.factor,
            ),
            (
                "shrinks the channels too",
                "latent_size is too small: the factor divides height and width, the channels are as given.",
                lambda self, r: r * r * self.latent_channels // self.factor**3,
            ),
            (
                "forgets the channels",
                "latent_size has no channels: each place of the latent holds several numbers.",
                lambda self, r: (r // self.factor) ** 2,
            ),
            (
                "keeps the colours",
                "latent_size has three channels: those of the latent are no colours, and there are as many as given.",
                lambda self, r: 3 * (r // self.factor) ** 2,
            ),
            (
                "always Stable Diffusion's",
                "latent_size always uses the channels and the factor of Stable Diffusion: "
                "take those the class was made with.",
                lambda self, r: 4 * (r // 8) ** 2,
            ),
            (
                "a float",
                "latent_size gives a number with a decimal point: divide whole numbers with two slashes.",
                lambda self, r: float(VAECompressionAnalyzer.latent_size(self, r)),
            ),
        ),
        *methods(
            VAECompressionAnalyzer,
            "compression_ratio",
            (
                "upside down",
                "compression_ratio is upside down: it says how many times *fewer* numbers the latent has.",
                lambda self, r: self.latent_size(r) / self.pixel_size(r),
            ),
            (
                "ignores the channels",
                "compression_ratio is the square of the factor only: that would be right if the latent had as many "
                "channels as the picture.",
                lambda self, r: float(self.factor**2),
            ),
            (
                "always Stable Diffusion's",
                "compression_ratio is the same for every VAE: it should follow from the two sizes.",
                lambda self, r: 48.0,
            ),
            (
                "the share that is saved",
                "compression_ratio gives the share of the numbers that is saved. How many times fewer are there?",
                lambda self, r: 1 - self.latent_size(r) / self.pixel_size(r),
            ),
            (
                "cuts off",
                "compression_ratio cuts off what comes after the decimal point: divide with one slash.",
                lambda self, r: float(self.pixel_size(r) // self.latent_size(r)),
            ),
        ),
        *methods(
            VAECompressionAnalyzer,
            "memory_saved_mb",
            (
                "counts numbers",
                "memory_saved_mb counts numbers as if each were a byte: a float32 has four.",
                lambda self, r: (self.pixel_size(r) - self.latent_size(r)) / 1e6,
            ),
            (
                "counts bits",
                "memory_saved_mb counts bits: eight of them are a byte.",
                lambda self, r: (self.pixel_size(r) - self.latent_size(r)) * 32 / 1e6,
            ),
            (
                "counts mebibytes",
                "memory_saved_mb divides by 1024 twice, which gives mebibytes (MiB). A megabyte has a million bytes.",
                lambda self, r: (self.pixel_size(r) - self.latent_size(r)) * 4 / 2**20,
            ),
            (
                "half precision",
                "memory_saved_mb counts two bytes a number, as for half precision; float32 has more.",
                lambda self, r: (self.pixel_size(r) - self.latent_size(r)) * 2 / 1e6,
            ),
            (
                "what pixels take",
                "memory_saved_mb is what the pixels take. The latent takes something as well, which is not saved.",
                lambda self, r: self.pixel_size(r) * 4 / 1e6,
            ),
            (
                "what is left",
                "memory_saved_mb is what the latent takes: what is saved is the rest.",
                lambda self, r: self.latent_size(r) * 4 / 1e6,
            ),
            (
                "wrong sign",
                "memory_saved_mb is negative: the latent is the smaller one.",
                lambda self, r: (self.latent_size(r) - self.pixel_size(r)) * 4 / 1e6,
            ),
        ),
        *methods(
            VAECompressionAnalyzer,
            "latent_steps",
            (
                "rounds up",
                "latent_steps counts one that does not fit whole: a part of a step is no step.",
                lambda self, r: -(-self.pixel_size(r) // self.latent_size(r)),
            ),
            (
                "does not round",
                "latent_steps is no whole number: how many fit whole?",
                lambda self, r: self.pixel_size(r) / self.latent_size(r),
            ),
            (
                "upside down",
                "latent_steps is upside down: many small ones fit into a large one.",
                lambda self, r: self.latent_size(r) // self.pixel_size(r),
            ),
            (
                "always fifty",
                "latent_steps is the number of steps of a picture. How many fit is another question.",
                lambda self, r: 50,
            ),
            (
                "leaves room for itself",
                "latent_steps is one too low: what is saved holds that many, the whole of a pixel step one more.",
                lambda self, r: (self.pixel_size(r) - self.latent_size(r)) // self.latent_size(r),
            ),
        ),
        *methods(
            VAECompressionAnalyzer,
            "print_table",
            (
                "leaves out the memory",
                "print_table lacks the MB that are saved, with two decimals, in each line.",
                _without(4),
            ),
            (
                "leaves out the ratio",
                "print_table lacks the ratio in each line.",
                _without(3),
            ),
            (
                "leaves out the steps",
                "print_table has its lines, but under them belongs one with two numbers: "
                "the latent steps that fit one pixel step, and the steps of a picture.",
                _without_steps,
            ),
            (
                "one line only",
                "print_table has the first resolution only: a line for each is asked for.",
                _one_row,
            ),
            (
                "always the default ones",
                "print_table always shows the same resolutions: take those the class was made with.",
                _default_rows,
            ),
            (
                "ignores the steps",
                "print_table always says 50 steps: take the number it was given.",
                _fifty,
            ),
        ),
    ),
    hints=(
        "Count numbers, not bytes, until you come to the memory: height times width times channels, for both.",
        "The factor divides height and width, each. The channels are not divided.",
        "compression_ratio uses one slash, because it need not be whole; latent_steps uses two, because it is.",
        "Memory: the numbers that are saved, four bytes each, over a million.",
        "print_table: a for loop over self.resolutions, an f-string for each line. In an f-string a comma after the "
        "colon puts commas between the thousands, and .2f gives two decimals.",
    ),
)


# 3.6 A codec of your own

NUMBERS = 1024  # what the wire is meant to carry for each picture, as many as the course's latents have


def pooled(x, wire=lambda z: z):
    """The baseline: the mean colours of 18 x 18 fields, 972 numbers a picture, smoothly enlarged."""
    return F.interpolate(wire(F.adaptive_avg_pool2d(x, 18)), size=x.shape[-2:], mode="bicubic").clamp(-1, 1)


def psnr(x, y):
    """Of each picture, in dB, for values from -1 to 1."""
    return 10 * torch.log10(4 / (x - y).square().flatten(1).mean(1))


def _haar(n):
    """An orthonormal (n, n) matrix: means and differences of neighbours at each scale."""
    if n == 1:
        return torch.ones(1, 1)
    means, differences = torch.tensor([[1.0, 1.0]]), torch.tensor([[1.0, -1.0]])
    return torch.cat([torch.kron(_haar(n // 2), means), torch.kron(torch.eye(n // 2), differences)]) / math.sqrt(2)


def _bases():
    """Along the sides of a picture, blocks of 32 pixels; along its colours, brightness and two differences."""
    colours = torch.tensor([[1.0, 1, 1], [1, 0, -1], [1, -2, 1]])
    return torch.block_diag(*[_haar(32)] * 4), F.normalize(colours, dim=1)


def _compress(x, n=NUMBERS // 2):
    """The n largest numbers in those bases, and where they are."""
    w, c = _bases()
    z = torch.einsum("ij,bjhw->bihw", c, w @ x @ w.T).flatten(1)
    where = z.abs().topk(n).indices
    return torch.cat([z.gather(1, where), where.to(z)], dim=1)


def _decompress(z):
    w, c = _bases()
    values, where = z.chunk(2, dim=1)
    z = torch.zeros(len(z), 3 * 128 * 128).scatter(1, where.round().long(), values).view(-1, 3, 128, 128)
    return (w.T @ torch.einsum("ji,bjhw->bihw", c, z) @ w).clamp(-1, 1)


def codec(x, wire):
    """One right answer of many: the largest Haar coefficients, and where they are."""
    return _decompress(wire(_compress(x)))


def _wires(pictures):
    """Two wires, one that keeps what it carries and one that hands over what the first kept, and how much that was."""
    kept = []

    def rows(z):
        if len(z) != pictures:
            raise ValueError(
                f"the wire got a tensor of shape {tuple(z.shape)}, expected {pictures} rows, one a picture"
            )
        return z.to(torch.float32)

    def wire(z):
        kept[:] = [rows(z).clone()]
        return kept[0].clone()

    def wire_with_other_pictures(z):
        rows(z)
        return kept[0].clone() if kept else z

    return wire, wire_with_other_pictures, lambda _: kept[0][0].numel() if kept else 0


def _codec_cases(g):
    """Their numbers, the pictures, and once more the same pictures, while the codec is given others."""
    first = data.EVAL_SEED + whole(g, 0, 200)
    x, others = data.batch([data.scene(first + i) for i in range(12)]).chunk(2)
    wire, wire_with_other_pictures, numbers = _wires(len(x))
    return [
        Case("codec", (x, wire), read=numbers),
        Case("codec", (x, wire)),
        Case("codec", (others, wire_with_other_pictures)),
    ]


def _grey(x):
    return x.mean(1, keepdim=True).expand_as(x)


def _turned(x):
    return x.transpose(2, 3)


def _flipped(x):
    return x.flip(2)


_CODEC = {
    "size": f"More than {NUMBERS:,} numbers go over the wire for each picture.",
    "wire": "What comes back does not depend on what went over the wire: when the wire hands over the numbers of "
    "another picture, that one should appear.",
    "range": "Some values that come back lie outside -1 to 1, or are no numbers: a picture has none of those.",
    "turned": "The pictures that come back look more like yours turned on their side: rows and columns are swapped.",
    "upside": "The pictures that come back look more like yours upside down.",
    "colour": "The colours are gone: what comes back is grey.",
    "brightness": "The pictures that come back are too dark or too bright as a whole.",
    "better": "Your pictures are no better than the baseline's: a PSNR at least 0.3 dB higher is asked for.",
}


def _pictures(results):
    """(what should come back, what came back) of the calls that returned pictures."""
    (_, _), (case, got), (_, again) = results
    return [(case.args[0], got), (case.args[0], again)]


def _follows_the_wire(results):
    case, got = results[-1]
    (x, _), others = _pictures(results)[-1], case.args[0]
    return (got - x).square().mean() < (got - others).square().mean()


def _not_closest(change):
    """A test that the pictures are not closest to those that were changed so."""

    def holds(results):
        return not any(
            min((x, _turned(x), _flipped(x)), key=lambda y: (got - y).square().mean()).equal(change(x))
            for x, got in _pictures(results)
        )

    return holds


_OPEN = Exercise(
    title="open-ended: a codec of your own",
    reference={"codec": codec},
    cases=_codec_cases,
    properties=(
        (_CODEC["size"], lambda results: results[0][1] <= NUMBERS),
        (_CODEC["range"], lambda results: all(got.abs().max() <= 1 + 1e-4 for _, got in _pictures(results))),
        (_CODEC["wire"], _follows_the_wire),
        (_CODEC["turned"], _not_closest(_turned)),
        (_CODEC["upside"], _not_closest(_flipped)),
        (
            _CODEC["colour"],
            lambda results: all(
                (got - _grey(got)).abs().mean() > 0.3 * (x - _grey(x)).abs().mean() for x, got in _pictures(results)
            ),
        ),
        (
            _CODEC["brightness"],
            lambda results: all((got - x).mean((1, 2, 3)).abs().max() < 0.1 for x, got in _pictures(results)),
        ),
        (
            _CODEC["better"],
            lambda results: all(psnr(x, got).mean() > psnr(x, pooled(x)).mean() + 0.3 for x, got in _pictures(results)),
        ),
    ),
    mistakes=mistakes(
        "codec",
        ("sends too much", _CODEC["size"], lambda x, wire: _decompress(wire(_compress(x, NUMBERS)))),
        ("leaves the range", _CODEC["range"], lambda x, wire: 3 * codec(x, wire)),
        ("forgets to use the wire", _CODEC["wire"], lambda x, wire: (wire(_compress(x)), _decompress(_compress(x)))[1]),
        ("turns the pictures", _CODEC["turned"], lambda x, wire: _turned(codec(x, wire))),
        ("puts them upside down", _CODEC["upside"], lambda x, wire: codec(x, wire).flip(2)),
        ("loses the colours", _CODEC["colour"], lambda x, wire: _grey(codec(x, wire))),
        ("loses the brightness", _CODEC["brightness"], lambda x, wire: (codec(x, wire) - 0.4).clamp(-1, 1)),
        ("is the baseline", _CODEC["better"], pooled),
    ),
    hints=(
        "A linear codec is a change of basis of which you keep a part: send the numbers that are usually large, and "
        "put 0 for the others when you come back. Brightness needs more detail than colour.",
        "Better: choose for each picture which numbers to keep. The other side then needs to know where they belong, "
        "so half of what you send are positions.",
        "Tensor methods for that: .topk on absolute values finds the largest and where they are, .gather reads them, "
        ".scatter puts them back.",
        "With the tools of the cell above: to_coefficients, then the largest of each picture; on the other side zeros, "
        "the largest put in their places, and to_picture.",
    ),
)


EXERCISES = {
    "3.1": _REPARAMETERISE,
    "3.2": _KL,
    "3.3": _LOSS,
    "3.4": _SCALING,
    "3.5": _ANALYZER,
    "3.6": _OPEN,
}
