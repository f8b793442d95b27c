"""6.4 guidance rescale."""

import math

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    found = []
    for b, dtype, wide in ((3, torch.float64, 2), (2, torch.float32, 2), (4, torch.float64, 0.3)):
        shape = b, whole(g, 2, 4), whole(g, 3, 5), whole(g, 6, 8)
        sizes = uniform(g, 0.5, 3, 2, b, shape[1], 1, 1, dtype=dtype)  # pictures and channels differ in spread
        v_cfg, v_cond = torch.randn(2, *shape, generator=g, dtype=dtype) * sizes + sizes
        found.append(Case("rescale", (wide * v_cfg, v_cond, uniform(g, 0.3, 0.45))))
    for b, dtype in ((2, torch.float64), (3, torch.float32)):
        shape = b, whole(g, 2, 4), whole(g, 3, 5), whole(g, 6, 8)
        u, c, eps = torch.randn(3, *shape, generator=g, dtype=dtype)
        angle = uniform(g, 0.5, 0.7)  # not 45 degrees, where alpha and sigma could be swapped unseen
        alpha, sigma = math.cos(angle), math.sin(angle)
        x0 = 0.7 * c + 0.2
        args = alpha * c + sigma * eps, x0 + 0.3 * u, x0, uniform(g, 3, 9), uniform(g, 0.3, 0.45), alpha, sigma
        found.append(Case("rescaled_guidance", args))
    return found


HINTS = """
rescale: two standard deviations for each picture, over all axes but the first. .std takes a tuple of axes, and
keepdim=True leaves them at length 1, so that you can multiply.

The rescaled prediction is the guided one, times the spread it should have, over the spread it has. phi mixes it with
the guided one.

rescaled_guidance: guide on x_0, then say what a network that predicts v would have said for that x_0, and what for the
conditional one.

From x_t and x_0 you know eps: take the picture's part away from x_t, and divide by sigma. v is alpha times eps, minus
sigma times x_0. And back: x_0 is alpha times x_t, minus sigma times v.
"""

# those of rescaled_guidance first: it calls rescale
MISTAKES = """
rescaled_guidance := lambda x, u, c, scale, phi, alpha, sigma: rescale(u + scale * (c - u), c, phi)
    rescaled_guidance rescales x_0. The network predicts v, and that is what is rescaled: translate there and back.
alpha * (x - alpha * x0) / sigma - sigma * x0 for -> (x - alpha * x0) / sigma for && return alpha * x - sigma * rescale(v_cfg, v_cond, phi) -> return (x - sigma * rescale(v_cfg, v_cond, phi)) / alpha
    rescaled_guidance rescales the noise, eps; this network predicts v.
return alpha * x - sigma * rescale(v_cfg, v_cond, phi) -> return rescale(v_cfg, v_cond, phi)
    rescaled_guidance gives the rescaled v itself: the sampler wants to have x_0.
sigma * rescale(v_cfg, v_cond, phi) -> sigma * v_cfg
    rescaled_guidance is plain guidance: nothing is rescaled.
return alpha * x - sigma * rescale(v_cfg, v_cond, phi) -> return x0_cond.clone()
    rescaled_guidance does not guide: that is the conditional answer.
(x0_cond - x0_uncond), x0_cond) -> (x0_cond - x0_uncond), x0_uncond)
    rescaled_guidance gives the guided prediction the spread of the unconditional one; that of the conditional one is
    asked for.
x0_uncond + scale * (x0_cond - x0_uncond) -> x0_cond + scale * (x0_uncond - x0_cond)
    rescaled_guidance pushes away from the prompt: the two answers have changed places.
(x0_uncond + scale * (x0_cond - x0_uncond) -> (x0_cond + scale * (x0_cond - x0_uncond)
    rescaled_guidance guides one too strongly: it counts from the conditional answer.
alpha * (x - alpha * x0) / sigma - sigma * x0 for -> alpha * (x - alpha * (x0_uncond + scale * (x0_cond - x0_uncond))) / sigma - sigma * x0 for
    rescaled_guidance takes the same eps for both predictions. Each estimate of x_0 leaves an eps of its own in x.
alpha * (x - alpha * x0) / sigma - sigma * x0 for -> alpha * (x - alpha * x0_cond) / sigma - sigma * x0 for
    rescaled_guidance takes the eps of the conditional estimate for both. Each estimate of x_0 leaves an eps of its own
    in x.
rescaled_guidance := lambda x, u, c, s, phi, alpha, sigma: rescaled_guidance(x, u, c, s, phi, sigma, alpha)
    rescaled_guidance has swapped alpha and sigma: alpha belongs to the picture, sigma to the noise.
sigma * rescale(v_cfg, v_cond, phi) -> sigma * rescale(v_cfg, v_cond, 1.0)
    rescaled_guidance ignores phi and goes the whole way.
return alpha * x - sigma * rescale(v_cfg, v_cond, phi) -> return alpha * x + sigma * rescale(v_cfg, v_cond, phi)
    rescaled_guidance comes back from v with the wrong sign.
return phi * v_rescaled + (1 - phi) * v_cfg -> return v_cfg.clone()
    rescale gives back what it got.
return phi * v_rescaled + (1 - phi) * v_cfg -> return v_rescaled
    rescale goes the whole way, whatever phi says.
return phi * v_rescaled + (1 - phi) * v_cfg -> return (1 - phi) * v_rescaled + phi * v_cfg
    rescale takes phi for what stays as it is. 0 should change nothing, and 1 everything.
v_cfg * v_cond.std(axes, keepdim=True) / v_cfg.std -> v_cfg / v_cond.std(axes, keepdim=True) * v_cfg.std
    rescale makes large what should become small: the ratio is upside down.
v_cfg * v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> v_cfg * v_cond.var(axes, keepdim=True) / v_cfg.var(axes, keepdim=True)
    rescale uses the ratio of variances; that of standard deviations is asked for.
v_cfg * v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> v_cfg * (v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True)).clamp(max=1)
    rescale only ever shrinks. A guided prediction whose spread is too small has to grow.
v_cfg * v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> v_cfg * v_cond.std() / v_cfg.std()
    rescale takes one standard deviation for the whole batch: each picture has its own.
axes = (1, 2, 3) -> axes = (2, 3)
    rescale treats each channel by itself, which changes the colours. A picture has one standard deviation, over
    channels, height and width.
axes = (1, 2, 3) -> axes = (1,)
    rescale takes a standard deviation at each place, over the channels. A picture has one, over channels, height and
    width.
axes = (1, 2, 3) -> axes = (0,)
    rescale measures how pictures differ from each other: leave out the first axis, not the others.
v_cfg * v_cond.std(axes, keepdim=True) / v_cfg.std -> v_cfg / v_cfg.std
    rescale brings every prediction to a standard deviation of 1, not to that of the conditional one.
v_cfg * v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> v_cfg * v_cond.std(axes, keepdim=True)
    rescale multiplies by the wanted standard deviation, but does not divide by the one there is.
v_cond.std(axes, keepdim=True) -> v_cond.std(axes, keepdim=True, correction=0)
    rescale does not take the two standard deviations alike: one is over the number of entries, the other over one less.
/ v_cfg.std(axes, keepdim=True) -> / v_cfg.std(axes, keepdim=True, correction=0)
    rescale does not take the two standard deviations alike: one is over one less than the number of entries, the other
    over that number.
v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> (v_cond.square().mean(axes, True) / v_cfg.square().mean(axes, True)).sqrt()
    rescale measures how far the numbers are from 0. A standard deviation is measured from their mean.
v_rescaled = v_cfg -> mid = v_cfg.mean(axes, True)\\n    v_rescaled = mid + (v_cfg - mid)
    rescale changes the distance from the mean only. The whole prediction is multiplied, its mean too.
(1 - phi) * v_cfg -> (1 - phi) * v_cond
    rescale mixes with the conditional prediction: the other part is the guided one, as it came.
return phi * v_rescaled + (1 - phi) * v_cfg -> return phi * v_cond + (1 - phi) * v_cfg
    rescale mixes the two predictions themselves. Of the conditional one, only its spread is wanted.
return phi * v_rescaled -> return v_rescaled
    rescale adds the rescaled prediction whole: both parts together should have the weight 1.
return phi * v_rescaled + (1 - phi) * v_cfg -> return v_cfg * (v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True)) ** phi
    rescale takes the ratio to the power phi. Mixing is a sum here: phi of the rescaled prediction, and 1 - phi of the
    guided one.
return alpha * x - sigma * rescale(v_cfg, v_cond, phi) -> return phi * (alpha * x - sigma * rescale(v_cfg, v_cond, 1.0)) + (1 - phi) * x0_cond
    rescaled_guidance mixes with the conditional estimate: the other part is the guided one, as it came.
"""

RIGHT = """
axes = (1, 2, 3) -> axes = tuple(range(1, v_cfg.ndim))
return phi * v_rescaled + (1 - phi) * v_cfg -> return torch.lerp(v_cfg, v_rescaled, phi)
v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> v_cond.std(axes, True, keepdim=True) / v_cfg.std(axes, True, keepdim=True)
v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> v_cond.std(axes, keepdim=True, correction=0) / v_cfg.std(axes, keepdim=True, correction=0)
rescale := lambda v_cfg, v_cond, phi: rescale_noise_cfg(v_cfg, v_cond, phi)
"""

WRONG = """
return phi * v_rescaled + (1 - phi) * v_cfg -> return phi**2 * v_rescaled + (1 - phi**2) * v_cfg
v_cond.std(axes, keepdim=True) / v_cfg.std(axes, keepdim=True) -> v_cond.abs().median() / v_cfg.abs().median()
axes = (1, 2, 3) -> axes = (1, 3)
sigma * x0 for x0 -> x0 / sigma for x0
x0_uncond + scale * -> x0_uncond + scale / 2 *
"""


def rescale_noise_cfg(noise_cfg, noise_pred_text, guidance_rescale):
    """As diffusers writes it."""
    std_text = noise_pred_text.std(dim=list(range(1, noise_pred_text.ndim)), keepdim=True)
    std_cfg = noise_cfg.std(dim=list(range(1, noise_cfg.ndim)), keepdim=True)
    rescaled = noise_cfg * (std_text / std_cfg)
    return guidance_rescale * rescaled + (1 - guidance_rescale) * noise_cfg
