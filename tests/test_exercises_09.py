"""Lesson 09: wrong answers that are no named mistakes are rejected, and other right ones pass."""

import math

import pytest
import torch
import torch.nn.functional as F
from answers import accepted, one_of, rejected
from diffusers import RePaintScheduler
from PIL import Image

from minidiff.canvas import Canvas
from minidiff.checks import lesson09
from minidiff.checks.lesson09 import again, correct, latent_mask, my_times, put_back
from minidiff.checks.lesson09 import canvas as right_canvas
from minidiff.checks.lesson09 import start as right_start
from minidiff.checks.lesson09 import step_up as right_step_up
from minidiff.pipeline import SCHEDULE
from minidiff.sample import ddim
from minidiff.schedule import EDM, Flow, noise_like, trailing


def start(state=lambda x, z, eps: x, left=lambda times: times):
    """From what is made of the right state and the right times."""

    def answer(z, eps, *others):
        x, times = right_start(z, eps, *others)
        return state(x, z, eps), left(times)

    return one_of("9.1", start=answer)


def canvas(f):
    """From what is made of pictures, margins and multiple."""
    return one_of("9.4", canvas=f)


def changed(f):
    """From what is made of the pictures as they came, the right canvas and the right mask."""
    return canvas(lambda pictures, *others: f(pictures, *right_canvas(pictures, *others)))


def up(f):
    """From the two factors, given alphas and sigmas."""
    return one_of("9.5", step_up=lambda x, eps, *levels: sum(a * b for a, b in zip(f(*levels), (x, eps), strict=True)))


def plan(f):
    return one_of("9.6", my_times=f)


def unfitting(pictures, margins):
    """A canvas that does not fit."""
    left, top, right, bottom = margins
    mask = torch.zeros(1, 1, *pictures.shape[2:]) > 0
    pads = (left, right, top, bottom)
    return F.pad(pictures, pads, mode="replicate"), F.pad(mask, pads, value=True)


WRONG = {
    "9.1 half of it": start(lambda x, z, eps: (x + z) / 2),
    "9.1 clamped": start(lambda x, z, eps: x.clamp(-1, 1)),
    "9.1 minus the noise": start(lambda x, z, eps: 2 * x - eps),
    "9.1 its own noise": start(lambda x, z, eps: x - eps + torch.randn_like(x)),
    "9.1 float64": start(lambda x, z, eps: x.double()),
    "9.1 one noise for all": one_of("9.1", start=lambda z, eps, *o: right_start(z, eps[:1].expand_as(z), *o)),
    "9.1 reversed times": start(left=lambda times: times.flip(0)),
    "9.1 whole times": start(left=lambda times: times.long()),
    "9.1 even times": start(left=lambda times: torch.linspace(times[0], 0, len(times)).double()),
    "9.1 only the state": one_of("9.1", start=lambda *a: right_start(*a)[0]),
    "9.1 times first": one_of("9.1", start=lambda *a: right_start(*a)[::-1]),
    "9.1 the strength squared": one_of("9.1", start=lambda z, e, a, t, s: right_start(z, e, a, t, max(s * s, 0.1))),
    "9.1 by the time": one_of(
        "9.1", start=lambda z, e, a, t, s: (lambda left: (right_start(z, e, a, left, 1.0)))(t[t <= s * t[0]])
    ),
    "9.2 two pixels": one_of("9.2", latent_mask=lambda m, f: 1.0 * (F.avg_pool2d(1.0 * m[None, None], f) * f**2 > 1)),
    "9.2 the border of a block": one_of("9.2", latent_mask=lambda m, f: latent_mask(border(m, f), f)),
    "9.2 True and False": one_of("9.2", latent_mask=lambda m, f: latent_mask(m, f) > 0),
    "9.2 float64": one_of("9.2", latent_mask=lambda m, f: latent_mask(m, f).double()),
    "9.2 always 8": one_of("9.2", latent_mask=lambda m, f: F.max_pool2d(m[None, None].float(), 8)),
    "9.2 a channel each": one_of("9.2", latent_mask=lambda m, f: latent_mask(m, f).expand(-1, 4, -1, -1)),
    "9.2 bilinear": one_of(
        "9.2",
        latent_mask=lambda m, f: (
            F.interpolate(m[None, None].float(), scale_factor=1 / f, mode="bilinear", antialias=True) > 0.02
        ).float(),
    ),
    "9.3 half an eps": one_of("9.3", put_back=lambda x, k, e, m, a, s: put_back(x, k, e / 2, m, a, s)),
    "9.3 a smooth mask": one_of("9.3", put_back=lambda x, k, e, m, a, s: put_back(x, k, e, m * m * (3 - 2 * m), a, s)),
    "9.3 one eps for all": one_of("9.3", put_back=lambda x, k, e, m, a, s: put_back(x, k, e[:1], m, a, s)),
    "9.3 the first channel": one_of("9.3", put_back=lambda x, k, e, m, a, s: put_back(x, k[:, :1], e, m, a, s)),
    "9.3 its own noise": one_of("9.3", put_back=lambda x, k, e, m, a, s: put_back(x, k, torch.randn_like(e), m, a, s)),
    "9.3 roots of the mask": one_of(
        "9.3", put_back=lambda x, k, e, m, a, s: m.sqrt() * x + (1 - m).sqrt() * (a * k + s * e)
    ),
    "9.3 clamps the answer": one_of("9.3", correct=lambda x0, k, m: correct(x0, k, m).clamp(-1, 1)),
    "9.3 half as much": one_of("9.3", correct=lambda x0, k, m: correct(x0, k, (1 + m) / 2)),
    "9.3 float16": one_of("9.3", correct=lambda x0, k, m: correct(x0, k, m).half()),
    "9.4 as it was": changed(lambda p, a, b: (p.clone(), torch.zeros(1, 1, *p.shape[2:]) > 0)),
    "9.4 a mask for each": changed(lambda p, a, b: (a, b.repeat(2, 1, 1, 1))),
    "9.4 crops": canvas(lambda p, m, k: [a[..., : -(a.shape[2] % k), : -(a.shape[3] % k)] for a in unfitting(p, m)]),
    "9.4 always 8": canvas(lambda p, m, k: right_canvas(p, m, 8)),
    "9.4 the mean": changed(lambda p, a, b: (torch.where(b, p.mean((2, 3), keepdim=True), a), b)),
    "9.4 white": changed(lambda p, a, b: (a.masked_fill(b, 1.0), b)),
    "9.4 resized": changed(lambda p, a, b: (F.interpolate(p, a.shape[2:]), b)),
    "9.4 a seam": changed(lambda p, a, b: (a, F.max_pool2d(b.float(), 3, 1, 1) > 0)),
    "9.5 twice": up(lambda a, s, b, t: (b / a, 2 * math.sqrt(t * t - (b / a * s) ** 2))),
    "9.5 sums of sigmas": up(lambda a, s, b, t: (b / a, math.sqrt(t * t + (b / a * s) ** 2))),
    "9.5 fades by sigma": up(lambda a, s, b, t: (s / t, math.sqrt(t * t - (s / t * s) ** 2))),
    "9.5 by alphas": up(lambda a, s, b, t: (b / a, math.sqrt(abs(a * a - b * b)))),
    "9.5 in between": up(lambda a, s, b, t: ((b / a + 1) / 2, math.sqrt(t * t - (b / a * s) ** 2))),
    "9.5 float32": one_of("9.5", step_up=lambda x, *o: right_step_up(x.float(), *o).float()),
    "9.6 in much noise": plan(lambda n: again(20, lambda t: 6 if t > 750 else 1)),
    "9.6 from the bottom to the top": plan(lambda n: trailing(1000, 20).tolist()[:-1] + trailing(1000, 20).tolist()),
    "9.6 three rounds": plan(lambda n: again((n - 1) // 3 + 1, lambda t: 3)),
    "9.6 all in two steps": plan(lambda n: again(2, lambda t: n - 2)),
    "9.6 below 0": plan(lambda n: [*my_times(n)[:-1], -10.0, 0.0]),
    "9.6 above 1000": plan(lambda n: [1000.0, 1010.0, *my_times(n - 1)[1:]]),
    "9.6 halves": plan(lambda n: [t + 0.5 if 0 < t < 1000 else t for t in my_times(n)]),
    "9.6 nan": plan(lambda n: [1000.0, math.nan, 0.0]),
    "9.6 for 80": plan(lambda n: my_times(80)),
    "9.6 endless": plan(lambda n: again(3000, lambda t: 1) if n > 5000 else [1000.0, *[500.0, 900.0] * 5000, 0.0]),
    "9.6 one number": plan(lambda n: 25),
    "9.6 empty": plan(lambda n: []),
}  # fmt: skip


def border(mask, factor):
    """Only the pixels at the border of their block."""
    at = [(torch.arange(n) % factor == 0) | (torch.arange(n) % factor == factor - 1) for n in mask.shape]
    return mask & (at[0][:, None] | at[1])


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


def by_schedule(z, eps, alpha_bar, times, strength):
    left = times[-int((len(times) - 1) * strength) - 1 :]
    a = alpha_bar[left[0].long()]
    return a.sqrt().to(z) * z + torch.sqrt(1 - a).to(z) * eps, left


def by_unfold(mask, factor):
    blocks = mask.unfold(0, factor, factor).unfold(1, factor, factor)
    return blocks.flatten(2).any(2).float()[None, None]


def by_slices(pictures, margins, multiple):
    left, top, right, bottom = margins
    b, c, height, width = pictures.shape
    rows, columns = (math.ceil(n / multiple) * multiple for n in (top + height + bottom, left + width + right))
    y = (torch.arange(rows) - top).clamp(0, height - 1)
    x = (torch.arange(columns) - left).clamp(0, width - 1)
    mask = torch.ones(1, 1, rows, columns, dtype=torch.bool)
    mask[..., top : top + height, left : left + width] = False
    return pictures[:, :, y][..., x], mask


RIGHT = {
    "9.1 from the end": one_of("9.1", start=by_schedule),
    "9.2 unfolded": one_of("9.2", latent_mask=by_unfold),
    "9.2 by the mean": one_of("9.2", latent_mask=lambda m, f: F.avg_pool2d(m[None, None].float(), f).ceil()),
    "9.3 by lerp": one_of(
        "9.3",
        put_back=lambda x, k, e, m, a, s: torch.lerp(a * k + s * e, x, m.expand_as(x)),
        correct=lambda x0, k, m: k + m * (x0 - k),
    ),
    "9.4 by slices": canvas(by_slices),
    "9.5 in variances": up(lambda a, s, b, t: (b / a, (t**2 - b**2 / a**2 * s**2) ** 0.5)),
    "9.6 a tensor": plan(lambda n: torch.tensor(my_times(n))),
    "9.6 below 500": plan(lambda n: again(40, lambda t: 2 if t <= 500 else 1)),
}


test_another_right_answer_passes = accepted(RIGHT)


def test_a_step_up_is_repaints_in_diffusers():
    theirs = RePaintScheduler(trained_betas=SCHEDULE.betas.float().numpy())
    theirs.set_timesteps(1000)
    x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for s in (1, 400, 998):
        levels = [float(a) for a in (*SCHEDULE(s), *SCHEDULE(s + 1))]
        ours = right_step_up(x, noise_like(x, torch.Generator().manual_seed(s)), *levels)
        assert (ours - theirs.undo_step(x, s, torch.Generator().manual_seed(s))).abs().max() < 1e-5


@pytest.mark.parametrize("schedule, s, t", [(SCHEDULE, 100, 1000), (Flow(), 0.2, 0.9), (EDM(), 0.5, 8.0)])
def test_a_step_up_ends_in_the_noise_of_its_time(schedule, s, t):
    (alpha_s, sigma_s), (alpha_t, sigma_t) = ([float(a) for a in schedule(u)] for u in (s, t))
    one, zero = torch.ones(()), torch.zeros(())
    signal = right_step_up(alpha_s * one, zero, alpha_s, sigma_s, alpha_t, sigma_t)
    noises = [right_step_up(sigma_s * a, b, alpha_s, sigma_s, alpha_t, sigma_t) for a, b in ((one, zero), (zero, one))]
    assert abs(signal - alpha_t) < 1e-6 and abs(sum(n * n for n in noises) - sigma_t**2) < 1e-4 * sigma_t**2


def test_the_canvas_is_the_pipelines():
    picture = Image.effect_noise((24, 32), 80).convert("RGB")
    made = Canvas.of(1, picture, margins=(8, 0, 16, 24))
    pictures, mask = right_canvas(Canvas.of(1, picture).pictures, (8, 0, 16, 24), 8)
    assert torch.equal(pictures, made.pictures) and torch.equal(mask, made.mask)


def test_no_way_down_passes_9_6():
    for n in (20, 60, 240):
        assert lesson09.outcome(tuple(trailing(1000, n).tolist()))[1] < 0.95


def test_the_blends_are_one_where_the_mask_is_hard():
    known, eps = torch.randn(2, 2, 4, 8, 8, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mask, times = (torch.arange(8) > 4).double().expand(1, 1, 8, 8), trailing(1000, 10)[3:]

    def toy(x, t):
        return torch.tanh(x + 0.3 * x.roll(1, -1) - t / 1000)

    x = y = SCHEDULE.add_noise(known, eps, times[0])
    *_, x = ddim(lambda x, t: correct(toy(x, t), known, mask), x, SCHEDULE, times)
    for t, s in zip(times, times[1:], strict=False):
        (y,) = ddim(toy, y, SCHEDULE, [t, s])
        y = put_back(y, known, eps, mask, *(float(a) for a in SCHEDULE(s)))
    assert (x - y).abs().max() < 1e-13
