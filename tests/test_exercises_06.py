"""Lesson 06: wrong answers that are no named mistakes are rejected, and other right ones pass."""

import math

import pytest
import torch
from answers import accepted, one_of, rejected
from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import rescale_noise_cfg

from minidiff.checks import lesson06
from minidiff.checks.lesson06 import CFGSimulator, compose, drop_conditions, my_guidance, negative_prompt, rescale
from minidiff.checks.lesson06 import guided as right_cfg
from minidiff.checks.lesson06 import rescaled_guidance as right_rescaled

W = torch.where


def simulator(**methods):
    return one_of("6.5", CFGSimulator=type("Theirs", (CFGSimulator,), methods))


def both(d, x, t, c, u):
    return d(torch.cat([x, x]), torch.cat([t, t]), torch.cat([u.expand_as(c), c])).chunk(2)


def guided(mix, **changes):
    """From what is made of (unconditional, conditional, scale), and what is done to x, t, c or u before."""

    def answer(d, x, t, c, u, s):
        given = {name: changes.get(name, lambda a: a)(a) for name, a in {"x": x, "t": t, "c": c, "u": u}.items()}
        return mix(*both(d, *given.values()), s)

    return one_of("6.1", guided=answer)


def walk(u, c, s):
    return u + s * (c - u)


def spread(v, correction=1, axes=(1, 2, 3)):
    return v.std(axes, keepdim=True, correction=correction)


def in_v(rescale, unit=1.0):
    def answer(x, u, c, s, phi, alpha, sigma):
        v = [(alpha * x - unit * x0) / sigma for x0 in (walk(u, c, s), c)]
        return alpha * x - sigma * rescale(*v, phi)

    return answer


def printed(form, last="threshold: {}"):
    def run(self, scales=lesson06.SCALES):
        for s in scales:
            print(form.format(s, self.cosine_similarity(s), self.norm(s), self.amplification(s)))
        threshold = self.find_threshold(scales)
        print(last.format("none" if threshold == math.inf else threshold))

    return run


WRONG = {
    "6.1 square root of the scale": guided(lambda u, c, s: walk(u, c, s**0.5)),
    "6.1 a limit": guided(lambda u, c, s: walk(u, c, min(s, 1.5))),
    "6.1 clamps": guided(lambda u, c, s: walk(u, c, s).clamp(-1, 1)),
    "6.1 half a push": guided(lambda u, c, s: walk(u, c, s / 2)),
    "6.1 between": guided(lambda u, c, s: walk(u, c, 1 / s)),
    "6.1 rescaled": guided(lambda u, c, s: walk(u, c, s) * c.std() / walk(u, c, s).std()),
    "6.1 normalised push": guided(lambda u, c, s: u + s * (c - u) / (c - u).norm()),
    "6.1 earlier": guided(walk, t=lambda t: t - 1),
    "6.1 null text of zeros": guided(walk, u=torch.zeros_like),
    "6.1 rolled prompts": guided(walk, c=lambda c: c.roll(1, 0)),
    "6.1 one picture for all": guided(walk, x=lambda x: x[:1].expand_as(x)),
    "6.1 float32 answers": guided(lambda u, c, s: walk(u, c, s).half()),
    "6.1 three in the batch": one_of("6.1", guided=lambda d, x, t, c, u, s: three(d, x, t, c, u, s)),
    "6.1 picture by picture": one_of("6.1", guided=lambda d, x, t, c, u, s: by_picture(d, x, t, c, u, s)),
    "6.1 times forgotten": one_of(
        "6.1", guided=lambda d, x, t, c, u, s: walk(*d(torch.cat([x, x]), t, torch.cat([u, c])).chunk(2), s)
    ),
    "6.2 at most half": one_of("6.2", drop_conditions=lambda i, n, u, p: W(u[:, None] < min(p, 0.4), n, i)),
    "6.2 squared": one_of("6.2", drop_conditions=lambda i, n, u, p: W(u[:, None] < p * p, n, i)),
    "6.2 keeps the last": one_of(
        "6.2", drop_conditions=lambda i, n, u, p: torch.cat([W(u < p, n, i)[:, :-1], i[:, -1:]], 1)
    ),
    "6.2 ranks": one_of("6.2", drop_conditions=lambda i, n, u, p: W((u.argsort() < p * len(u))[:, None], n, i)),
    "6.2 null reversed": one_of("6.2", drop_conditions=lambda i, n, u, p: drop_conditions(i, n.flip(0), u, p)),
    "6.2 floats": one_of("6.2", drop_conditions=lambda i, n, u, p: drop_conditions(i, n, u, p).float()),
    "6.2 a mask": one_of("6.2", drop_conditions=lambda i, n, u, p: u < p),
    "6.2 its own chance": one_of(
        "6.2", drop_conditions=lambda i, n, u, p: drop_conditions(i, n, torch.rand(len(i)), p)
    ),
    "6.3 a mean": one_of("6.3", negative_prompt=lambda c, n, s: (c + n) / 2),
    "6.3 one less": one_of("6.3", negative_prompt=lambda c, n, s: walk(n, c, s - 1)),
    "6.3 halved": one_of("6.3", negative_prompt=lambda c, n, s: walk(n, c, s) / s),
    "6.3 float32": one_of("6.3", negative_prompt=lambda c, n, s: negative_prompt(c, n, s).double().float()),
    "6.3 squares": one_of("6.3", compose=lambda null, x, w: compose(null, x, w * w)),
    "6.3 the strongest": one_of("6.3", compose=lambda null, x, w: null + w.max() * (x[w.argmax()] - null)),
    "6.3 softmax": one_of("6.3", compose=lambda null, x, w: compose(null, x, w.softmax(0))),
    "6.3 reversed": one_of("6.3", compose=lambda null, x, w: compose(null, x, w.flip(0))),
    "6.3 a chain": one_of("6.3", compose=lambda null, x, w: chain(null, x, w)),
    "6.4 median": one_of("6.4", rescale=lambda a, b, p: torch.lerp(a, a * b.abs().median() / a.abs().median(), p)),
    "6.4 phi squared": one_of("6.4", rescale=lambda a, b, p: rescale(a, b, p * p)),
    "6.4 geometric": one_of("6.4", rescale=lambda a, b, p: a * (spread(b) / spread(a)) ** p),
    "6.4 never larger": one_of(
        "6.4", rescale=lambda a, b, p: torch.lerp(a, a * (spread(b) / spread(a)).clamp(max=0.3), p)
    ),
    "6.4 the conditional": one_of("6.4", rescale=lambda a, b, p: torch.lerp(a, b, p)),
    "6.4 two different n": one_of("6.4", rescale=lambda a, b, p: torch.lerp(a, a * spread(b, 0) / spread(a), p)),
    "6.4 height and width swapped for channels": one_of(
        "6.4", rescale=lambda a, b, p: torch.lerp(a, a * spread(b, axes=(1, 3)) / spread(a, axes=(1, 3)), p)
    ),
    "6.4 v of twice x_0": one_of("6.4", rescaled_guidance=in_v(rescale, 2.0)),
    "6.4 nothing rescaled on the way": one_of("6.4", rescaled_guidance=in_v(lambda a, b, p: a * p)),
    "6.4 half a scale": one_of("6.4", rescaled_guidance=lambda x, u, c, s, *o: right_rescaled(x, u, c, s / 2, *o)),
    "6.4 guides twice": one_of(
        "6.4", rescaled_guidance=lambda x, u, c, s, *o: right_rescaled(x, u, walk(u, c, s), s, *o)
    ),
    "6.5 in float64": simulator(apply_cfg=lambda self, u, c, s: walk(u.double(), c.double(), s)),
    "6.5 a limit": simulator(cosine_similarity=lambda self, s: min(0.5, CFGSimulator.cosine_similarity(self, s))),
    "6.5 rounded": simulator(norm=lambda self, s: round(CFGSimulator.norm(self, s), 1)),
    "6.5 a tensor": simulator(norm=lambda self, s: torch.tensor(CFGSimulator.norm(self, s))),
    "6.5 less the scale": simulator(amplification=lambda self, s: CFGSimulator.amplification(self, s) - 1),
    "6.5 one time more": simulator(find_threshold=lambda self, sc, f: CFGSimulator.find_threshold(self, sc, f + 1)),
    "6.5 interpolated": simulator(find_threshold=lambda self, *a: CFGSimulator.find_threshold(self, *a) - 0.5),
    "6.5 one decimal": simulator(run=printed("{} {:.1f} {:.1f} {:.1f}")),
    "6.5 scale last": simulator(run=printed("{1:.3f} {2:.3f} {3:.3f} {0}")),
    "6.5 numbers at 1": simulator(run=lambda self, scales: [printed("{} 1.00 1.00 1.00")(self, scales)][0]),
    "6.5 another threshold": simulator(run=printed("{} {:.3f} {:.3f} {:.3f}", "threshold: 3")),
    "6.6 about two": one_of("6.6", my_guidance=lambda t: 2 + t / 1e4),
    "6.6 a little more": one_of("6.6", my_guidance=lambda t: 2.3 - t / 1e4),
    "6.6 nan": one_of("6.6", my_guidance=lambda t: t * torch.nan),
    "6.6 infinite": one_of("6.6", my_guidance=lambda t: t * torch.inf),
    "6.6 first third": one_of("6.6", my_guidance=lambda t: W(t > 667, 4.0, 1.0).to(t)),
    "6.6 float32": one_of("6.6", my_guidance=lambda t: my_guidance(t).float()),
    "6.6 a step too few": one_of("6.6", my_guidance=lambda t: my_guidance(t)[1:]),
    "6.6 for 25 steps": one_of("6.6", my_guidance=lambda t: W(torch.arange(len(t)) < 9, 1.0, 4.0).to(t) * 3),
    "6.6 one number": one_of("6.6", my_guidance=lambda t: 4.0),
}


def three(d, x, t, c, u, s):
    """The right pictures, and a third of them for nothing."""
    out = d(torch.cat([x, x, x]), torch.cat([t, t, t]), torch.cat([u.expand_as(c), c, c]))
    return walk(*out.chunk(3)[:2], s)


def by_picture(d, x, t, c, u, s):
    u = u.expand_as(c)
    return torch.cat([right_cfg(d, *(a[i : i + 1] for a in (x, t, c, u)), s) for i in range(len(x))])


def chain(null, x0s, weights):
    """Each prompt pushes from where the one before it ended."""
    x0 = null
    for weight, answer in zip(weights, x0s, strict=True):
        x0 = x0 + weight * (answer - x0)
    return x0


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def in_a_loop(null, x0s, weights):
    x0 = null.clone()
    for weight, answer in zip(weights.tolist(), x0s, strict=True):
        x0 = x0 + weight * answer - weight * null
    return x0


def row_by_row(ids, null, u, p):
    return torch.stack([null if chance < p else row for row, chance in zip(ids, u.tolist(), strict=True)])


def with_masks(ids, null, u, p):
    dropped = (u < p).long()[:, None]
    return dropped * null + (1 - dropped) * ids


def by_components(self, scale):
    unit = self.signal / self.signal.norm()
    v = self.apply_cfg(self.unconditional, self.conditional, scale)
    return float(v.dot(unit) / self.conditional.dot(unit))


RIGHT = {
    "6.1 as a mean": guided(lambda u, c, s: s * c + (1 - s) * u),
    "6.1 by lerp": guided(torch.lerp),
    "6.1 as Ho and Salimans": guided(lambda u, c, s: (1 + (s - 1)) * c - (s - 1) * u),
    "6.2 row by row": one_of("6.2", drop_conditions=row_by_row),
    "6.2 with masks": one_of("6.2", drop_conditions=with_masks),
    "6.3 in other words": one_of("6.3", negative_prompt=lambda c, n, s: c + (s - 1) * (c - n), compose=in_a_loop),
    "6.4 by diffusers": one_of("6.4", rescale=rescale_noise_cfg, rescaled_guidance=in_v(rescale_noise_cfg)),
    "6.4 over n": one_of(
        "6.4",
        rescale=lambda a, b, p: p * a * spread(b, 0) / spread(a, 0) + (1 - p) * a,
        rescaled_guidance=in_v(rescale),
    ),
    "6.5 by components": simulator(
        amplification=by_components,
        apply_cfg=lambda self, u, c, s: (1 - s) * u + s * c,
        run=printed("| {:>5} | {:.4f} | {:.2f} | {:+.3f} |", "first passed at: {}"),
    ),
    "6.6 an interval": one_of("6.6", my_guidance=lambda t: W((t > 150) & (t <= 667), 4.0, 1.0).to(t)),
    "6.6 a short interval": one_of("6.6", my_guidance=lambda t: W((t > 300) & (t <= 600), 6.0, 1.0).to(t)),
    "6.6 a cosine": one_of("6.6", my_guidance=lambda t: 1 + 3 * (t * math.pi / 2000).cos()),
}


test_another_right_answer_passes = accepted(RIGHT)


def test_the_reference_of_rescale_is_diffusers_own():
    g = torch.Generator().manual_seed(0)
    for shape in ((2, 4, 8, 8), (3, 1, 2, 5)):
        v_cfg, v_cond = torch.randn(2, *shape, generator=g, dtype=torch.float64)
        for phi in (0.0, 0.3, 0.7, 1.0):
            assert (rescale(3 * v_cfg, v_cond, phi) - rescale_noise_cfg(3 * v_cfg, v_cond, phi)).abs().max() < 1e-14


@pytest.mark.slow
def test_no_constant_guidance_passes_6_6():
    for n in (25, 50):
        for tenth in range(0, 80, 4):
            right, rare, outside = lesson06.outcome((tenth / 10,) * n, 1500)
            assert right < 0.97 or rare < 0.27 or outside > 0.02
