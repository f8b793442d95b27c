"""13.4 a divergence for the price of one derivative: Hutchinson's estimator."""

import torch
import torch.fx.experimental.symbolic_shapes  # autograd.grad with three arguments does: seconds, none of the answer's

from minidiff.checks import Case
from minidiff.checks.parts import uniform


def field(g, d, dtype):
    """A smooth field whose Jacobian is not symmetric, and differs from place to place."""
    m = uniform(g, -1.0, 1.0, d, d, dtype=dtype)

    def f(x):
        if x.ndim != 2:
            raise ValueError(f"the field got the shape {tuple(x.shape)}: it takes rows, (n, {d}), for any n")
        return torch.tanh(x @ m.T) + 0.3 * x.square() * x.roll(1, -1)

    return f


def cases(g):
    def case(K, B, d, dtype=torch.float64, signs=False):
        x, z = torch.randn(B, d, generator=g, dtype=dtype), torch.randn(K, B, d, generator=g, dtype=dtype)
        return Case("divergence", (field(g, d, dtype), x, z.sign() if signs else z))

    return [case(3, 4, 5), case(1, 2, 3, signs=True), case(2, 3, 4, dtype=torch.float32), case(4, 1, 2)]


HINTS = """
For one probe: autograd gives the row z J, (B, D). What is left is a product with z, summed over the right axis.

For K probes: a loop and torch.stack. Or all at once: let (K, B, D) probes and K copies of x be (K B, D) rows.

Each point has an estimate of its own, and each probe, too: nothing is averaged here, and the result has the shape (K,
B).
"""

MISTAKES = r"""
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (probes * change.unflatten(0, probes.shape[:2])).mean(2)
    You take the mean over the dimensions: a divergence is the sum of the diagonal.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (probes * change.unflatten(0, probes.shape[:2])).sum(2).mean(0)
    You average over the probes: one estimate for each probe is asked for.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (probes * change.unflatten(0, probes.shape[:2])).sum(2).T
    The axes of the estimates are exchanged: probes first, then points.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (probes * change.unflatten(0, probes.shape[:2])).sum(1)
    You sum over the points: the sum runs over the dimensions of one point.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> change.unflatten(0, probes.shape[:2]).sum(2)
    You sum up z times J: the product with z on the other side is missing.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (x * change.unflatten(0, probes.shape[:2])).sum(2)
    You multiply z J by x: the probe stands on both sides.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (value.unflatten(0, probes.shape[:2]) * probes).sum(2)
    You multiply the probe by the field itself: its derivative along the probe is asked for.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> change.unflatten(0, probes.shape[:2]).square().sum(2)
    You square z J: between the probe and itself J stands once.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (probes * change.unflatten(0, probes.shape[:2])).sum(2).abs()
    You take an absolute value: a divergence has a sign.
return value[: len(x)].detach(), ( -> return many[: len(x)].detach(), (
    The first of the two results is x: the field at x is asked for.
many = x.repeat(len(probes), 1).requires_grad_() -> many = probes.flatten(0, 1).clone().requires_grad_() && (value * probes.flatten(0, 1)).sum() -> (value * x.repeat(len(probes), 1)).sum()
    Place and direction are exchanged: the derivative is taken at x, along the probe.
(value * probes.flatten(0, 1)).sum() -> value.sum()
    You take the gradient of the sum of the field: the probe belongs where you have ones, too.
divergence := first_probe
    All rows of your estimates use the first probe.
divergence := exact
    You compute the divergence itself, for which one derivative for each dimension is needed: an estimate by the given
    probes is asked for.
divergence := first_point
    All points get the field's derivative at the first point: each has its own.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (probes * change.unflatten(0, probes.shape[:2])).sum((1, 2))[:, None].expand(probes.shape[:2])
    You sum over the points, too: each has an estimate of its own.
(value * probes.flatten(0, 1)).sum() -> value.sum() && (probes * change -> (probes.square() * change
    You take the gradient of the sum of the field, and square the probe: the probe belongs where you have ones, too.
divergence := lambda field, x, probes: by_loop(field, x, probes / probes.norm(dim=2, keepdim=True))
    You bring the probes to length 1, or divide by the square of their length: as they are they are asked for.
divergence := lambda field, x, probes: by_loop(field, x, probes.sign())
    You take only the signs of the probes: as they are they are asked for.
divergence := lambda field, x, probes: by_loop(field, x, probes[:, :1].expand_as(probes))
    All points get the first point's probe: each has its own.
divergence := added_up
    The gradients of earlier probes are still in yours: backward adds to what is in .grad. autograd.grad begins anew.
(value * probes.flatten(0, 1)).sum() -> (value * probes.mean(0).repeat(len(probes), 1)).sum()
    You take the derivative along the mean of the probes: one along each is asked for.
divergence := interleaved
    The copies of x lie point by point and the probes probe by probe, so that probes meet other points than their own.
many = x.repeat(len(probes), 1).requires_grad_() -> many = x.repeat_interleave(len(probes), 0).requires_grad_()
    The copies of x lie point by point and the probes probe by probe, so that probes meet other points than their own.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> x.shape[1] * (probes * change.unflatten(0, probes.shape[:2])).sum(2) / probes.square().sum(2)
    You correct for the length of a probe. The product alone is the estimate: the length is right on average.
(probes * change.unflatten(0, probes.shape[:2])).sum(2) -> (probes * change.unflatten(0, probes.shape[:2])).sum(2) / probes.norm(dim=2)
    You divide by a probe's length: the product alone is the estimate.
divergence := lambda field, x, probes: (field(x), torch.stack([(z * (field(x + 1e-3 * z) - field(x)) / 1e-3).sum(1) for z in probes]))
    You divide a small difference of the field by the step, which is only nearly its derivative. autograd gives it
    exactly.
divergence := lambda field, x, probes: (field(x), torch.stack([(z * (field(x + 1e-4 * z) - field(x)) / 1e-4).sum(1) for z in probes]))
    You divide a small difference of the field by the step, which is only nearly its derivative. autograd gives it
    exactly.
divergence := lambda field, x, probes: (field(x), torch.stack([(z * (field(x + z) - field(x))).sum(1) for z in probes]))
    You take the difference of the field over a whole probe: the derivative along it is asked for.
"""

RIGHT = r"""
divergence := by_loop
divergence := by_jacobian
"""

WRONG = r"""
probes * change.unflatten(0, probes.shape[:2]) -> probes.sign() * change.unflatten(0, probes.shape[:2])
.sum(2) -> .sum(2) / 2
return value[: len(x)].detach(), -> return value.detach(),
return value[: len(x)].detach(), -> return -value[: len(x)].detach(),
(value * probes.flatten(0, 1)).sum() -> (value * torch.randn_like(many)).sum()
"""

EQUIVALENT = """
value[:len(x)].detach() -> value[:len(x)]
    the numbers are the same
"""


def by_loop(field, x, probes):
    x = x.detach().clone().requires_grad_()
    value = field(x)
    found = [(torch.autograd.grad((value * z).sum(), x, retain_graph=True)[0] * z).sum(1) for z in probes]
    return value.detach(), torch.stack(found)


def by_jacobian(field, x, probes):
    rows = [torch.autograd.functional.jacobian(lambda y: field(y[None])[0], each) for each in x]
    return field(x), torch.einsum("kbi,bij,kbj->kb", probes, torch.stack(rows), probes)


def first_probe(field, x, probes):
    return by_loop(field, x, probes[:1].expand_as(probes))


def first_point(field, x, probes):
    value, estimates = by_loop(field, x[:1].expand_as(x), probes)
    return field(x), estimates


def exact(field, x, probes):
    d = x.shape[1]
    axes = d**0.5 * torch.eye(d, dtype=x.dtype)[:, None].expand(d, *x.shape)
    value, found = by_loop(field, x, axes)
    return value, found.mean(0).expand(len(probes), -1)


def added_up(field, x, probes):
    x = x.detach().clone().requires_grad_()
    rows = torch.stack([torch.autograd.grad((field(x) * z).sum(), x)[0] for z in probes])
    return field(x).detach(), (rows.cumsum(0) * probes).sum(2)


def interleaved(field, x, probes):
    many = x.detach().repeat_interleave(len(probes), 0).requires_grad_()
    (change,) = torch.autograd.grad((field(many) * probes.flatten(0, 1)).sum(), many)
    return field(x), (change.unflatten(0, probes.shape[:2]) * probes).sum(2)
