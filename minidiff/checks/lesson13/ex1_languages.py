"""13.1 five languages: what a network says, translated."""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform
from minidiff.denoise import EPS, FLOW, X0, V


def cases(g):
    def draw(*shape, dtype=torch.float64, each=False):
        a, b = torch.randn(2, *shape, generator=g, dtype=dtype)
        levels = (shape[0], *[1] * (len(shape) - 1)) if each else ()
        return a, b, *(torch.as_tensor(uniform(g, low, low + 0.5, *levels)).to(dtype) for low in (0.3, 0.9))

    sizes = [((2, 3, 4), {}), ((3, 2), {"each": True}), ((2, 3, 4, 5), {"dtype": torch.float32})]
    pairs = [(EPS, V), (X0, FLOW), (FLOW, EPS), (V, X0)]
    return [
        *(Case("score_to_x0", draw(*shape, **how)) for shape, how in sizes),
        *(Case("score_target", draw(*shape, **how)) for shape, how in sizes),
        *(Case("translate", (*draw(*sizes[i % 3][0], **sizes[i % 3][1]), *pair)) for i, pair in enumerate(pairs)),
    ]


HINTS = """
Begin with score_target. The slope of the log of a normal density of deviation sigma, at a place that is off its centre
by sigma eps, is minus that distance over the variance.

score_to_x0: the score is minus eps over sigma. So sigma eps, which is what has to be taken out of x, is minus the score
times sigma squared.

translate has three lines: x_0 by the old language; the noise that this x_0 leaves in x, with size 1; and what the new
language says of both.
"""

MISTAKES = r"""
x + sigma**2 * score -> x - sigma**2 * score
    score_to_x0 goes down the hill: the score points to where the data are denser, so to the data, and eps away from
    them.
x + sigma**2 * score -> x + sigma * score
    score_to_x0 takes the score times sigma for the noise of size sigma. That needs one more sigma: the score is eps
    *over* sigma.
x + sigma**2 * score -> x - sigma * score
    score_to_x0 treats the score as if it were eps.
(x + sigma**2 * score) / alpha -> (x + sigma**2 * score)
    score_to_x0 stops at alpha times x_0: the data are scaled on the line.
(x + sigma**2 * score) / alpha -> x / alpha + sigma**2 * score
    score_to_x0 divides only x by alpha; what is taken out of x stands under it, too.
(x + sigma**2 * score) / alpha -> (x + sigma**2 * score) * alpha
    score_to_x0 multiplies by alpha: it solves for x_0, so it divides.
(x + sigma**2 * score) / alpha -> x + sigma**2 * score / alpha
    score_to_x0 divides only the score by alpha; x stands over it, too.
return -eps / sigma -> return eps / sigma
    score_target has the wrong sign: where eps has pushed x to the right, the density rises to the left.
return -eps / sigma -> return -eps
    score_target forgets sigma: the less noise, the steeper the hill.
return -eps / sigma -> return -eps * sigma
    score_target multiplies by sigma: the less noise, the steeper the hill.
return -eps / sigma -> return -eps / sigma**2
    score_target divides by sigma twice: eps has size 1 already.
return -eps / sigma -> return -(alpha * x0 + sigma * eps) / sigma**2
    score_target measures from 0. The noise has its centre at alpha x_0.
return -eps / sigma -> return -eps / (alpha * sigma)
    score_target divides by alpha as well: it is the slope at x, not at x over alpha.
eps = (x - alpha * x0) / sigma -> eps = x - alpha * x0
    translate gives the new language noise of size sigma: divide it by sigma, so that its size is 1.
eps = (x - alpha * x0) / sigma -> eps = (x - x0) / sigma
    translate takes out of x the whole x_0: in x it is scaled by alpha.
eps = (x - alpha * x0) / sigma -> eps = out
    translate takes what the old language says for the noise. It is that only where the old language is the noise.
x0 = old.to_x0(x, out, alpha, sigma) -> x0 = new.to_x0(x, out, alpha, sigma)
    translate gives back what the network said: it reads and writes in one and the same language.
return new.target(x0, eps, alpha, sigma) -> return new.target(out, eps, alpha, sigma)
    translate gives the new language what the network said instead of x_0.
return new.target(x0, eps, alpha, sigma) -> return new.target(eps, x0, alpha, sigma)
    translate gives the new language the noise for the data and the data for the noise.
return new.target(x0, eps, alpha, sigma) -> return x0
    translate stops at x_0: it was asked what the new language says.
(x + sigma**2 * score) / alpha -> ((x + sigma**2 * score) / alpha).clamp(-1, 1)
    score_to_x0 cuts off what is beyond -1 and 1: data may be larger, and the text does not ask for it.
(x + sigma**2 * score) / alpha -> (x + sigma.flatten()[0] ** 2 * score) / alpha.flatten()[0]
    score_to_x0 takes the first sample's alpha and sigma for all: each may have its own.
(x + sigma**2 * score) / alpha -> (x + sigma**2 * score) / (1 - sigma**2).sqrt()
    score_to_x0 computes alpha from sigma, as if their squares added up to 1: that is so on one kind of line only.
return -eps / sigma -> return (x0 - (alpha * x0 + sigma * eps)) / sigma**2
    score_target measures from x_0. The noise has its centre at alpha x_0.
x0 = old.to_x0(x, out, alpha, sigma) -> x0 = old.to_x0(out, x, alpha, sigma)
    translate gives to_x0 its arguments in another order: first x, then what the network says.
x0 = old.to_x0(x, out, alpha, sigma) -> x0 = new.to_x0(x, out, alpha, sigma) && return new.target -> return old.target
    translate has the two languages exchanged: it reads in the old one, and writes in the new one.
x0 = old.to_x0(x, out, alpha, sigma) -> x0 = (x - sigma * out) / alpha
    translate takes what the old language says for the noise. It is that only where the old language is the noise.
eps = (x - alpha * x0) / sigma -> eps = (x - sigma * x0) / alpha
    translate has alpha and sigma exchanged where it looks for the noise: alpha scales the data.
eps = (x - alpha * x0) / sigma -> eps = (x - alpha * x0) / (1 - alpha**2).sqrt()
    translate computes sigma from alpha, as if their squares added up to 1: that is so on one kind of line only.
x + sigma**2 * score -> x + score / sigma
    score_to_x0 divides the score by sigma: it is eps over sigma already, so it is to be multiplied, and more than once.
(x + sigma**2 * score) / alpha -> (x + (1 - alpha**2) * score) / alpha
    score_to_x0 computes sigma from alpha, as if their squares added up to 1: that is so on one kind of line only.
(x + sigma**2 * score) / alpha -> (x + sigma**2 * score) / alpha**2
    score_to_x0 divides by alpha twice.
return -eps / sigma -> return -(alpha * x0 + sigma * eps)
    score_target is minus x in yours. It points to alpha x_0, and is steeper the less noise there is.
eps = (x - alpha * x0) / sigma -> eps = (alpha * x0 - x) / sigma
    translate gives the new language the noise with the wrong sign.
eps = (x - alpha * x0) / sigma -> eps = x
    translate gives the new language x for the noise: take out of it what is data.
eps = (x - alpha * x0) / sigma -> eps = x / sigma
    translate gives the new language x over sigma for the noise: take out of it what is data.
return new.target(x0, -> return new.target(x,
    translate gives the new language x for the data: they are what the old one says.
return new.target(x0, eps, alpha, sigma) -> return new.to_x0(x, out, alpha, sigma)
    translate reads with the new language what the old one said, and gives the data: the old one reads, and the new one
    speaks.
return new.target(x0, eps, alpha, sigma) -> return new.target(x0, eps, sigma, alpha)
    translate gives the new language alpha and sigma in another order.
old.to_x0(x, out, alpha, sigma) -> old.to_x0(x, out, sigma, alpha)
    translate gives the old language alpha and sigma in another order.
old.to_x0(x, out, alpha, sigma) -> old.to_x0(x, out, alpha, sigma).clamp(-1, 1)
    translate cuts off the data at -1 and 1. Nobody said that they end there.
"""

RIGHT = """
(x + sigma**2 * score) / alpha -> (x - sigma * (-sigma * score)) / alpha
return -eps / sigma -> return (alpha * x0 - (alpha * x0 + sigma * eps)) / sigma**2
"""

WRONG = """
(x + sigma**2 * score) / alpha -> (x + sigma**2 * score) / (1 - sigma**2)
return -eps / sigma -> return -eps / (1 - alpha)
eps = (x - alpha * x0) / sigma -> eps = (x - alpha * x0) / (1 - alpha**2)
x0 = old.to_x0(x, out, alpha, sigma) -> x0 = old.to_x0(x, out, sigma, alpha)
"""

EQUIVALENT = ""
