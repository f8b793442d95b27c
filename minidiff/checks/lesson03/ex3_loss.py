"""3.3 the loss of a VAE: distortion and rate."""

from types import SimpleNamespace

import torch
import torch.nn.functional as F

from minidiff.checks import Case
from minidiff.checks.lesson03 import posterior
from minidiff.checks.parts import uniform, whole
from minidiff.train.objectives import VAEObjective
from minidiff.vae import Gaussian

LEARNS = ("reconstruction", "mean", "logvar")


def cases(g):
    found = []
    for b, height, width in ((3, 8, 16), (2, 24, 8), (5, 8, 8)):
        x, y = uniform(g, -1, 1, 2, b, 3, height, width, dtype=torch.float32)
        mean, logvar, _ = posterior(g, b, whole(g, 2, 4), height // 4, width // 4, dtype=torch.float32)
        y = 1.3 * y  # a decoder may go beyond the values of pictures
        found.append(Case("vae_loss", (x, y, mean, logvar, uniform(g, 0.1, 0.9))))
    return found


def with_distortion(distortion):
    """A wrong loss, from what it makes of the reconstruction and the picture."""

    def wrong(x, reconstruction, mean, logvar, kl_weight):
        rate = (mean**2 + logvar.exp() - 1 - logvar).mean() / 2
        return distortion(reconstruction, x) + kl_weight * rate

    return wrong


HINTS = """
Two parts. The first compares x with its reconstruction: two means over everything, added up.

The second is the KL of exercise 3.2, for each sample; from there to one number per number of the latent.

mean[0].numel() says how many numbers one latent has. The weight multiplies only the second part.

What you return is a tensor without axes, so that .backward works on it: no .item here.
"""

MISTAKES = """
kl_weight * rate -> rate
    kl_weight is not used: the two parts would count the same.
return error.abs().mean() + error.square().mean() + kl_weight * rate -> return kl_weight * (error.abs().mean() + error.square().mean()) + rate
    The weight stands at the wrong part: it belongs to the KL, not to the distortion.
return error.abs().mean() + error.square().mean() + kl_weight * rate -> return kl_weight * (error.abs().mean() + error.square().mean() + rate)
    The weight multiplies the whole loss: it belongs to the KL alone.
return error.abs().mean() + error.square().mean() -> return (1 - kl_weight) * (error.abs().mean() + error.square().mean())
    You share out one weight between the two parts. Here the distortion always counts in full.
+ kl_weight * rate -> - kl_weight * rate
    The KL is subtracted: then the loss falls as the latents run away from the standard normal distribution.
+ kl_weight * rate ->
    The KL is missing: only the distortion counts in your loss.
return error.abs().mean() + error.square().mean() + -> return
    The distortion is missing: only the KL counts, and a VAE that forgets every picture would be perfect.
+ error.square().mean() ->
    The distortion has the absolute difference only. The squared one, which punishes large errors, is missing.
error.abs().mean() + ->
    The distortion has the squared difference only. The absolute one, which keeps edges sharp, is missing.
error.abs().mean() + error.square().mean() -> (error.abs().mean() + error.square().mean()) / 2
    The distortion is half of what it should be: the two differences are added up, not averaged.
vae_loss := with_distortion(F.smooth_l1_loss)
    The smooth L1 loss is squared near 0 and absolute far away. Here both differences are taken everywhere, and added.
error = x - reconstruction -> error = x - reconstruction.clamp(-1, 1)
    You limit the reconstruction to the values of pictures: then what lies beyond them costs nothing, and nothing calls it back.
error.square().mean() -> error.square().mean().sqrt()
    You took a square root of the mean square; the mean square itself is asked for.
error.square().mean() -> error.abs().mean() ** 2
    You average the absolute difference and square that. Square each difference first: large ones count more.
.mean() / 2  # -> .mean()  #
    The KL is twice too large: it has a half in front.
.mean() / 2  # -> .mean() / 2 * mean[0].numel()  #
    The KL is that of a whole sample. Here it counts per number of the latent: else the weight would mean another thing
    for each size of picture.
.mean() / 2  # -> .sum() / 2  #
    The KL is summed over the whole batch. It counts per number of the latent, and averaged over the samples.
.mean() / 2  # -> .mean() / 2 * mean[0, 0].numel()  #
    The KL is divided by the number of channels only: a latent has height and width too.
.mean() / 2  # -> .mean() / 2 * mean.shape[1]  #
    The KL is divided by the number of places only: each place holds several numbers, the channels.
.mean() / 2  # -> .mean() / 2 * mean[0].numel() / x[0].numel()  #
    The KL is divided by the numbers of a picture. It belongs to the latent, which has far fewer.
.mean() / 2  # -> .mean() / 2 / len(x)  #
    The KL is divided by the size of the batch twice: the mean over the batch has done it already.
error.abs().mean() + error.square().mean() -> error.abs().sum() + error.square().sum()
    The distortion is summed over all pixels: take the mean, or the loss depends on the size of the pictures.
error.abs().mean() + error.square().mean() -> (error.abs() + error.square()).sum() / len(x)
    The distortion is summed over the pixels of a picture: take the mean of them too, or the loss depends on the size
    of the pictures.
error.abs().mean() + error.square().mean() -> (error.abs() + error.square()).sum() / len(x) && .mean() / 2  # -> .mean() / 2 * mean[0].numel()  #
    Both parts are summed over each sample, as many other projects do. Here they are means, over pixels and over the
    numbers of the latent.
error.abs().mean() + error.square().mean() + kl_weight * rate -> (error.abs().mean() + error.square().mean() + kl_weight * rate) * len(x)
    Your loss grows with the batch: average over the samples, too.
.mean() / 2  # -> .mean() / 2 * len(x)  #
    The KL grows with the batch: average it over the samples, as the distortion is.
.mean() / 2  # -> .flatten(1).mean(1) / 2  # && error.abs().mean() + error.square().mean() -> (error.abs() + error.square()).flatten(1).mean(1)
    You gave a loss for each sample. Training needs one number: the mean over the batch.
.mean() / 2  # -> .flatten(1).mean(1) / 2  #
    The KL has a number for each sample, and so has your loss. Training needs one number: the mean over the batch.
.mean() / 2  # -> .flatten(1).sum(1) / 2  #
    The KL has a number for each sample, and so has your loss. Training needs one number: the mean over the batch, and
    that per number of the latent.
error.square().mean() -> error.mean() ** 2
    You average the difference and square that: what is too bright and what is too dark cancel. Square each one first.
error.abs().mean() -> error.mean().abs()
    You average the difference and then take its size: what is too bright and what is too dark cancel. Take sizes first.
error.abs().mean() -> error.abs().mean((0, 2, 3)).sum()
    The absolute difference is added up over the three colours: the mean goes over these, too.
error.square().mean() -> error.square().mean((0, 2, 3)).sum()
    The squared difference is added up over the three colours: the mean goes over these, too.
error.abs().mean() + error.square().mean() -> 3 * (error.abs().mean() + error.square().mean())
    The distortion is added up over the three colours: the mean goes over these, too.
error.abs().mean() -> error.abs().sum() / len(x)
    The absolute difference is summed over the pixels of a picture: take the mean of them too.
error.square().mean() -> error.square().sum() / len(x)
    The squared difference is summed over the pixels of a picture: take the mean of them too.
error.abs().mean() -> error.abs().sum()
    The absolute difference is summed over everything: take its mean.
error.square().mean() -> error.square().sum()
    The squared difference is summed over everything: take its mean.
error.square().mean() -> error.flatten(1).norm(dim=1).mean()
    You took the length of all of a picture's differences, the root of a sum; the mean square itself is asked for.
error.square().mean() -> error.norm()
    You took the length of all the differences, the root of a sum; the mean square itself is asked for.
error.square().mean() -> error.square().mean() / 2
    The squared difference has a half in front: here it counts in full.
error.square().mean() -> error.abs().mean()
    The absolute difference counts twice, and the squared one, which punishes large errors, is missing.
error.abs().mean() -> error.abs().max()
    You take the largest absolute difference: the mean of all is asked for.
error = x - reconstruction -> error = (x - reconstruction) / 2
    You bring the pictures to values from 0 to 1 first: they are compared as they come, from -1 to 1.
error = x - reconstruction -> error = (x - reconstruction) * 127.5
    You bring the pictures to values from 0 to 255 first: they are compared as they come, from -1 to 1.
error = x - reconstruction -> error = x[:1] - reconstruction[:1]
    Only the first picture counts in the distortion: the means go over the batch.
error = x - reconstruction -> error = x[-1:] - reconstruction[-1:]
    Only the last picture counts in the distortion: the means go over the batch.
(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2 + logvar.exp() - 1 - logvar)[:1]
    Only the first latent counts in the KL: it is averaged over the batch.
(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2 + logvar.exp() - 1 - logvar)[-1:]
    Only the last latent counts in the KL: it is averaged over the batch.
(mean**2 + logvar.exp() - 1 - logvar) -> (logvar.exp() - 1 - logvar)
    In the KL the mean is missing: latents far from 0 cost, too.
(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2)
    In the KL logvar is missing: how wide the distribution is counts, too.
(mean**2 + logvar.exp() - 1 - logvar) -> (mean**2 + logvar.exp() - logvar)
    In the KL the constant is missing: for the standard normal distribution itself it must be 0.
logvar.exp() - 1 - logvar -> (2 * logvar).exp() - 1 - 2 * logvar
    In the KL you took logvar for the logarithm of the standard deviation: it is that of the variance.
logvar.exp() - 1 - logvar -> (logvar / 2).exp() - 1 - logvar
    In the KL you used the standard deviation where the variance belongs.
- 1 - logvar -> - 1 + logvar
    In the KL the logarithm has the wrong sign: a variance near 0 should cost a lot.
(mean**2 + logvar -> (mean.abs() + logvar
    In the KL the mean is not squared.
+ kl_weight * rate -> + 0.0001 * rate
    kl_weight is not used: your weight is always the same.
+ kl_weight * rate -> + rate / kl_weight
    You divide the KL by the weight: it is multiplied.
"""


def as_in_training(x, reconstruction, mean, logvar, kl_weight):
    """minidiff's own loss, with a model that says what we want it to say."""
    model = SimpleNamespace(encode=lambda _: Gaussian(mean, logvar), decode=lambda _: reconstruction)
    return VAEObjective(model, whole=0, kl=kl_weight)(torch.Generator(), x)


RIGHT = """
vae_loss := as_in_training
vae_loss := lambda x, y, m, v, w: F.l1_loss(y, x) + F.mse_loss(y, x) + w * (m**2 + v.exp() - 1 - v).sum() / 2 / m.numel()
"""

EQUIVALENT = """
x - reconstruction -> reconstruction - x
    only its absolute value and its square are used
"""

WRONG = """
error.abs().mean() -> 2.5 * error.abs().mean()
kl_weight * rate -> (kl_weight * rate).item()
error.abs().mean() + error.square().mean() + kl_weight * rate -> (error.abs().mean() + error.square().mean() + kl_weight * rate).item()
kl_weight * rate -> kl_weight**2 * rate
error = x - reconstruction -> error = x - reconstruction.detach()
logvar.exp() - 1 -> logvar.detach().exp() - 1
"""
