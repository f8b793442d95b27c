"""Lesson 07's exercises: wrong answers that are no named mistake are rejected, other right ways to write it pass."""

import math

import numpy as np
import torch
from answers import accepted, one_of, rejected

from minidiff import sample, schedule
from minidiff.checks import lesson07
from minidiff.checks.lesson07 import CALLS, DDIMStepEstimator, my_sampler, times_even_in_a_root

EXERCISES = lesson07.EXERCISES


def step(x, x0, t, s, schedule, eta, noise, std=lambda std: std, old=1.0, guess=1.0, now=0):
    """7.1 in the papers' symbols, with room for an error."""
    (bar, bar_s), e = ((schedule(i)[0] ** 2).item() for i in (t - now, s)), eta
    deviation = std(e * math.sqrt((1 - bar_s) / (1 - bar)) * math.sqrt(1 - bar / bar_s))
    eps = (x - math.sqrt(bar) * guess * x0) / math.sqrt(1 - bar)
    room = math.sqrt(max(1 - bar_s - deviation**2, 0))
    return math.sqrt(bar_s) * guess * x0 + old * room * eps + deviation * noise


def states(solver, change=lambda x, i: x, ts=lambda ts: ts, ask=lambda denoise: denoise):
    def wrong(denoise, x, schedule, times, generator=None):
        for i, state in enumerate(solver(ask(denoise), x, schedule, ts(times))):
            yield change(state, i)

    return wrong


def slope(denoise, x, t, schedule):
    alpha, sigma = (a.item() for a in schedule(t))
    return (x / alpha - denoise(x, t)) / (sigma / alpha)


def r(schedule, t):
    alpha, sigma = schedule(t)
    return (sigma / alpha).item()


def in_r(denoise, x, schedule, ts, generator=None, weights=(0.5, 0.5), part=1.0):
    """Heun in y = x / alpha: a general method of two slopes, the second `part` of the step ahead."""
    y, out = x / schedule(ts[0])[0], []
    for t, s in zip(ts, ts[1:], strict=False):
        h = r(schedule, s) - r(schedule, t)
        first = slope(denoise, y * schedule(t)[0], t, schedule)
        tried = y + part * h * first
        if schedule(s)[1] > 0:
            second = slope(denoise, tried * schedule(s)[0], s, schedule)
            y = y + h * (weights[0] * first + weights[1] * second)
        else:
            y = y + h * first
        out.append(y * schedule(s)[0])
    return out


def by_eps(denoise, x, schedule, ts, generator=None, third=False, half=2.0):
    """DPM-Solver++ 2M by e^-h as a ratio, and with a list of all guesses."""
    guesses, log_snr, out = [], [], []
    for t, s in zip(ts, ts[1:], strict=False):
        (a, sigma), (a_s, sigma_s) = schedule(t), schedule(s)
        guesses.append(denoise(x, t))
        log_snr.append(math.log(a / sigma))
        D = guesses[-1]
        if len(guesses) > 1 + third and sigma_s > 0:
            h, before = math.log(a_s / sigma_s) - log_snr[-1], log_snr[-1] - log_snr[-2]
            D = (1 + h / (half * before)) * guesses[-1] - h / (half * before) * guesses[-2]
        k = (sigma_s / sigma).item()
        x = k * x + (a_s - k * a).item() * D
        out.append(x)
    return tuple(out)


def grid(times):
    return torch.tensor([*times], dtype=torch.float64)


def estimator(**methods):
    return one_of("7.5", DDIMStepEstimator=type("Theirs", (DDIMStepEstimator,), methods))


def reconstruct(self, x0, num_steps, end=1.0, level=lambda a: a, mix=1.0):
    noise, times = self.noise(x0), self.timesteps(num_steps)
    x = self.alpha_bars[times[0]].sqrt() * x0 + (1 - self.alpha_bars[times[0]]).sqrt() * noise
    for i, t in enumerate(times):
        a = level(self.alpha_bars[t])
        a_s = self.alpha_bars[times[i + 1]] if i + 1 < len(times) else torch.tensor(end, dtype=torch.float64)
        eps = mix * self.predictor(x, t) if self.predictor else noise
        x = a_s.sqrt() * ((x - (1 - a).sqrt() * eps) / a.sqrt()) + (1 - a_s).sqrt() * eps
    return x


def gains(limit, start=0):
    def wrong(self, errors):
        pairs = [*zip(errors, [*errors][1:], strict=False)][start:]
        return next((n for n, m in pairs if errors[m] > limit * errors[n]), 0)

    return wrong


def end_of(solver, ts, **options):
    def sampler(denoise, x, schedule):
        *_, x = solver(denoise, x, schedule, ts, **options)
        return x

    return sampler


def batched(denoise, x, schedule):
    """Twenty calls in ten: two copies of the points at once."""
    *_, x = sample.plms(lambda y, t: denoise(torch.cat([y, y]), t)[: len(y)], x, schedule, times_even_in_a_root(9))
    return x


seeded = torch.Generator().manual_seed
WRONG = {
    "7.1 std and a half": one_of("7.1", ddim_step=lambda *a: step(*a, std=lambda d: 1.5 * d)),
    "7.1 faint old noise": one_of("7.1", ddim_step=lambda *a: step(*a, old=0.9)),
    "7.1 louder guess": one_of("7.1", ddim_step=lambda *a: step(*a, guess=1.1)),
    "7.1 a time early": one_of("7.1", ddim_step=lambda *a: step(*a, now=1)),
    "7.1 own noise": one_of("7.1", ddim_step=lambda x, *a: step(x, *a[:-1], torch.randn_like(x))),
    "7.1 float64": one_of("7.1", ddim_step=lambda *a: step(*a).double()),
    "7.1 eta from 0 to 100": one_of("7.1", ddim_step=lambda *a: step(*a, std=lambda d: d / 100)),
    "7.1 a pair": one_of("7.1", ddim_step=lambda *a: (step(*a), a[1])),
    "7.2 euler halves": one_of("7.2", euler=states(sample.euler, change=lambda x, i: x / 2)),
    "7.2 euler skips": one_of("7.2", euler=states(sample.euler, ts=lambda ts: [ts[0], *ts[2:]])),
    "7.2 euler clamps the guess": one_of(
        "7.2", euler=states(sample.euler, ask=lambda d: lambda x, t: d(x, t).clamp(-0.5, 0.5))
    ),
    "7.2 euler in float64": one_of("7.2", euler=states(sample.euler, change=lambda x, i: x.double())),
    "7.2 euler is heun": one_of("7.2", euler=sample.heun),
    "7.2 euler is random": one_of("7.2", euler=sample.ddpm),
    "7.2 euler counts from 0": one_of("7.2", euler=states(sample.euler, ask=lambda d: lambda x, t: d(x, t - 1))),
    "7.2 heun unevenly": one_of("7.2", heun=lambda *a: in_r(*a, weights=(0.25, 0.75))),
    "7.2 heun looks halfway": one_of("7.2", heun=lambda *a: in_r(*a, part=0.5)),
    "7.2 heun is plms": one_of("7.2", heun=sample.plms),
    "7.2 heun backwards": one_of("7.2", heun=lambda *a: [*sample.heun(*a)][::-1]),
    "7.2 heun a number": one_of("7.2", heun=lambda *a: 0.0),
    "7.3 a third": one_of("7.3", dpmpp_2m=lambda *a: by_eps(*a, half=3.0)),
    "7.3 corrects late": one_of("7.3", dpmpp_2m=lambda *a: by_eps(*a, third=True)),
    "7.3 is heun": one_of("7.3", dpmpp_2m=sample.heun),
    "7.3 is plms": one_of("7.3", dpmpp_2m=sample.plms),
    "7.3 rounds": one_of("7.3", dpmpp_2m=states(sample.dpmpp_2m, change=lambda x, i: (100 * x).round() / 100)),
    "7.3 the last wrong": one_of("7.3", dpmpp_2m=states(sample.dpmpp_2m, change=lambda x, i: x * (1 + 0.1 * (i > 3)))),
    "7.4 trailing in float32": one_of("7.4", trailing=lambda T, n: schedule.trailing(T, n).float()),
    "7.4 trailing a list": one_of("7.4", trailing=lambda T, n: schedule.trailing(T, n).tolist()),
    "7.4 trailing up": one_of("7.4", trailing=lambda T, n: grid([*(math.ceil(T - i * T / n) for i in range(n)), 0])),
    "7.4 trailing of 1000": one_of("7.4", trailing=lambda T, n: schedule.trailing(1000, n)),
    "7.4 leading from 2": one_of("7.4", leading=lambda T, n: grid([*(schedule.leading(T, n)[:-1] + 2), 0])),
    "7.4 leading even": one_of("7.4", leading=schedule.linspace),
    "7.4 karras rho 5": one_of("7.4", karras=lambda lo, hi, n: grid([*np.linspace(hi**0.2, lo**0.2, n) ** 5, 0])),
    "7.4 karras of its authors": one_of("7.4", karras=lambda lo, hi, n: schedule.karras(0.002, 80, n)),
    "7.5 ends at 0.999": estimator(ddim_reconstruct=lambda *a: reconstruct(*a, end=0.999)),
    "7.5 roots too many": estimator(ddim_reconstruct=lambda *a: reconstruct(*a, level=torch.sqrt)),
    "7.5 half the noise": estimator(ddim_reconstruct=lambda *a: reconstruct(*a, mix=0.5)),
    "7.5 float32": estimator(ddim_reconstruct=lambda *a: reconstruct(*a).float()),
    "7.5 errors of the first": estimator(
        errors=lambda self, x0, steps: dict.fromkeys(steps, DDIMStepEstimator.errors(self, x0, steps)[steps[0]])
    ),
    "7.5 errors as tensors": estimator(
        errors=lambda self, x0, steps: {n: (reconstruct(self, x0, n) - x0).square().mean() for n in steps}
    ),
    "7.5 errors of the median": estimator(
        errors=lambda self, x0, steps: {n: (reconstruct(self, x0, n) - x0).square().median().item() for n in steps}
    ),
    "7.5 relative in percent": estimator(
        relative=lambda self, errors: {n: 100 * e / errors[max(errors)] for n, e in errors.items()}
    ),
    "7.5 relative to the largest": estimator(
        relative=lambda self, errors: {n: e / max(errors.values()) for n, e in errors.items()}
    ),
    "7.5 gains one percent": estimator(find_knee=gains(0.99)),
    "7.5 gains a half": estimator(find_knee=gains(0.5)),
    "7.5 leaves out the first": estimator(find_knee=gains(0.9, start=1)),
    "7.5 always ten": estimator(find_knee=lambda self, errors: 10),
    "7.6 trailing": one_of("7.6", my_sampler=end_of(sample.dpmpp_2m, schedule.trailing(1000, CALLS))),
    "7.6 heun": one_of("7.6", my_sampler=end_of(sample.heun, times_even_in_a_root(5))),
    "7.6 other times": one_of("7.6", my_sampler=end_of(sample.ddim, times_even_in_a_root(CALLS))),
    "7.6 at random": one_of(
        "7.6", my_sampler=lambda *a: end_of(sample.ddpm, times_even_in_a_root(10), generator=seeded(0))(*a)
    ),
    "7.6 one call": one_of("7.6", my_sampler=lambda denoise, x, schedule: denoise(x, 1000)),
    "7.6 batches": one_of("7.6", my_sampler=batched),
    "7.6 eleven": one_of("7.6", my_sampler=end_of(sample.plms, times_even_in_a_root(CALLS))),
    "7.6 over alpha": one_of("7.6", my_sampler=lambda *a: my_sampler(*a) / 0.068),
    "7.6 one point": one_of("7.6", my_sampler=lambda denoise, x, schedule: my_sampler(denoise, x[:1], schedule)),
    "7.6 float32": one_of("7.6", my_sampler=lambda *a: my_sampler(*a).float()),
}


test_a_wrong_answer_without_a_name_is_rejected = rejected(WRONG)


RIGHT = {
    "7.1 by alpha-bars": one_of("7.1", ddim_step=step),
    "7.2 in y": one_of("7.2", euler=lambda *a: [*sample.ddim(*a[:4])], heun=in_r),
    "7.3 by ratios": one_of("7.3", dpmpp_2m=by_eps),
    "7.4 by torch": one_of(
        "7.4",
        trailing=lambda T, n: (T - torch.arange(n + 1, dtype=torch.float64) * T / n).round(),
        leading=lambda T, n: torch.cat([1 + torch.arange(n - 1, -1, -1).double() * (T // n), torch.zeros(1).double()]),
        karras=lambda lo, hi, n: grid(
            [*((hi ** (1 / 7) + i / (n - 1) * (lo ** (1 / 7) - hi ** (1 / 7))) ** 7 for i in range(n)), 0]
        ),
    ),
    "7.5 by hand": estimator(ddim_reconstruct=reconstruct),
    "7.6 dpmpp_2m": one_of("7.6", my_sampler=end_of(sample.dpmpp_2m, times_even_in_a_root(CALLS, 20))),
    "7.6 one's own": one_of(
        "7.6", my_sampler=lambda denoise, x, schedule: by_eps(denoise, x, schedule, times_even_in_a_root(CALLS, 14))[-1]
    ),
}


test_another_right_answer_passes = accepted(RIGHT)
