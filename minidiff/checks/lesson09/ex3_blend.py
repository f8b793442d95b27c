"""9.3 the blend, on states and on answers."""

import math

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def cases(g):
    cases = []
    for b, one, soft, dtype in (
        (3, False, False, torch.float64),
        (2, True, True, torch.float32),
        (3, False, True, torch.float64),
    ):
        size = whole(g, 4, 5), whole(g, 6, 7)
        x, known, eps = torch.randn(3, b, 4, *size, generator=g, dtype=dtype)
        mask = uniform(g, 0, 1, 1 if one else b, 1, *size, dtype=dtype)
        mask = mask if soft else (mask < 0.4).to(dtype)
        alpha = uniform(g, 0.3, 0.65)
        sigma = (
            uniform(g, 1.2, 2) if soft and not one else math.sqrt(1 - alpha**2)
        )  # not every schedule keeps the variance
        cases.append((x, 1.5 * known + 1, eps, mask, alpha, sigma))
    return [
        *(Case("put_back", case) for case in cases),
        *(Case("correct", (x, known, mask)) for x, known, _, mask, *_ in cases),
    ]


HINTS = """
A mask that is 1 or 0 chooses between two things: it multiplies one of them, and its complement the other.

For put_back: what would the known part look like if it had been noised to this time, like everything else? That is the
forward process, with the eps you are given.

For correct there is no noise at all: an answer is a guess of the clean picture, and for the known part you have the
clean picture.
"""

MISTAKES = r"""
mask * x + (1 - mask) * (alpha -> (1 - mask) * x + mask * (alpha
    In put_back the mask is the wrong way round: 1 is what is redrawn.
(alpha * known + sigma * eps) -> known
    put_back puts the known part there clean. The state has noise in it, and the network expects it everywhere.
(alpha * known + sigma * eps) -> alpha * known
    put_back lets the known part fade, but gives it no noise.
(alpha * known -> (known
    In put_back the known part has its noise, but has not faded.
(alpha * known + sigma * eps) -> sigma * eps
    put_back puts noise alone in the place of the known part.
(alpha * known + sigma * eps) -> (alpha * known - sigma * eps)
    put_back has the noise with the wrong sign. It would be as likely, but it is not the eps that you are given.
(alpha * known + sigma * eps) -> (sigma * known + alpha * eps)
    In put_back alpha and sigma have changed places.
(alpha * known + sigma * eps) -> (alpha**2 * known + sigma**2 * eps)
    put_back uses squares. alpha and sigma are the factors themselves here, not variances.
(alpha * known + sigma * eps) -> (alpha**0.5 * known + sigma**0.5 * eps)
    put_back takes roots. alpha and sigma are the factors themselves here; the roots are taken already.
(alpha * known + sigma * eps) -> (alpha**0.5 * known + (1 - alpha) ** 0.5 * eps)
    put_back takes alpha for a variance. alpha and sigma are the factors themselves here; the roots are taken already.
mask * x + (1 - mask) * (alpha -> mask * x + (alpha
    put_back adds the known part everywhere. Where the mask is 1 nothing of it may be left.
return mask * x + -> return x +
    put_back lays the known part over the state without taking the state away there.
(1 - mask) * (alpha * known + sigma * eps) -> (1 - mask) * alpha * known + sigma * eps
    put_back adds noise in the part that is redrawn, too. That part has its own already.
return mask * x + (1 -> return mask * (alpha * x + sigma * eps) + (1
    put_back noises the redrawn part. It is a state at this time already: leave it as it is.
return mask * x + (1 -> mask = (mask > 0.5).to(mask)\n    return mask * x + (1
    put_back makes the mask hard. It may be soft: 0.3 is three parts redrawn and seven parts known.
return mask * x + (1 -> mask = mask[:1]\n    return mask * x + (1
    put_back uses the first mask for all pictures; where there is one for each, they may differ.
mask * x + (1 - mask) * (alpha -> mask**0.5 * x + (1 - mask) ** 0.5 * (alpha
    put_back takes roots of the mask. It is a share: 0.3 is three parts redrawn and seven parts known.
return mask * x + (1 - mask) * (alpha * known + sigma * eps) -> return mask * x
    put_back leaves holes where the known part should be.
return mask * x + (1 - mask) * (alpha * known + sigma * eps) -> return (1 - mask) * (alpha * known + sigma * eps)
    put_back leaves holes where the redrawn part should be.
return mask * x + (1 - mask) * (alpha -> return (alpha
    put_back has nothing of the state left: the mask is not used.
return mask * x + (1 - mask) * (alpha * known + sigma * eps) -> return x.clone()
    put_back gives the state as it came.
mask * x0 + (1 - mask) * known -> (1 - mask) * x0 + mask * known
    In correct the mask is the wrong way round: 1 is what is redrawn.
mask * x0 + (1 - mask) * known -> mask * x0 + known
    correct adds the known part everywhere. Where the mask is 1 nothing of it may be left.
mask * x0 -> x0
    correct lays the known part over the answer without taking the answer away there.
mask * x0 + (1 - mask) * known -> (x0 + known) / 2
    correct takes the mean of both everywhere. The mask says which of them counts.
mask * x0 + (1 - mask) * known -> torch.where(mask > 0.5, x0, known)
    correct makes the mask hard. It may be soft: 0.3 is three parts redrawn and seven parts known.
mask * x0 + (1 - mask) * known -> mask[:1] * x0 + (1 - mask[:1]) * known
    correct uses the first mask for all pictures; where there is one for each, they may differ.
mask * x0 + (1 - mask) * known -> mask * x0
    correct leaves holes where the known part should be.
mask * x0 + (1 - mask) * known -> (1 - mask) * known
    correct leaves holes where the redrawn part should be.
mask * x0 + (1 - mask) * known -> known.clone()
    correct has nothing of the answer left.
return mask * x0 + (1 - mask) * known -> return x0.clone()
    correct gives the answer as it came.
(1 - mask) * (alpha * known + sigma * eps) -> (1 - mask) * (alpha * known + math.sqrt(1 - alpha**2) * eps)
    put_back finds sigma by alpha. The squares of both need not add up to 1: take the sigma that you are given.
return mask * x + (1 -> mask = (mask > 0).to(mask)\n    return mask * x + (1
    put_back makes the mask hard. It may be soft: 0.3 is three parts redrawn and seven parts known.
mask * x0 + (1 - mask) * known -> torch.where(mask > 0, x0, known)
    correct makes the mask hard. It may be soft: 0.3 is three parts redrawn and seven parts known.
mask * x0 + (1 - mask) * known -> known + mask**2 * (x0 - known)
    correct blends twice, so the mask counts squared: 0.3 is three parts redrawn and seven parts known.
(1 - mask) * (alpha * known + sigma * eps) -> (1 - mask) * alpha * known + (1 - mask).sqrt() * sigma * eps
    put_back weighs the noise by a root of the mask. It is a share of the noised picture as a whole: 0.3 is three parts
    redrawn and seven parts known.
sigma * eps -> sigma * eps * (mask == 0)
    put_back gives the known part no noise where the mask is soft. It is noised as a whole, and then blended.
sigma * eps -> sigma * eps * (1 - mask)
    put_back weighs the noise by the mask twice: the known part is noised as a whole, and then blended.
return mask * x + (1 - mask) * ( -> return mask * x + 1 - mask * (
    put_back adds 1 and takes away the known part: parentheses are missing around 1 - mask.
mask * x0 + (1 - mask) * known -> mask * x0 + 1 - mask * known
    correct adds 1 and takes away the known part: parentheses are missing around 1 - mask.
"""

RIGHT = """
mask * x + (1 - mask) * (alpha * known + sigma * eps) -> torch.lerp(alpha * known + sigma * eps, x, mask.expand_as(x))
mask * x0 + (1 - mask) * known -> known + mask * (x0 - known)
"""

WRONG = r"""
sigma * eps -> sigma * eps / 2
return mask * x + (1 -> mask = mask * mask * (3 - 2 * mask)\n    return mask * x + (1
sigma * eps -> sigma * eps[:1]
sigma * eps -> sigma * torch.randn_like(eps)
alpha * known -> alpha * known[:, :1]
mask * x0 + (1 - mask) * known -> (mask * x0 + (1 - mask) * known).clamp(-1, 1)
mask * x0 + (1 - mask) * known -> (1 + mask) / 2 * x0 + (1 - mask) / 2 * known
mask * x0 + (1 - mask) * known -> (mask * x0 + (1 - mask) * known).half()
"""
