"""7.3 DPM-Solver++ 2M."""

import math

from minidiff import sample
from minidiff.checks.lesson07 import sampler_cases, the_end, whole_list, whole_times, with_start

EQUIVALENT = """
zip(ts[:-1], ts[1:], strict=True) -> zip(ts[:-1], ts[1:])
    both lists are equally long
zip(ts[:-1], ts[1:], strict=True) -> zip(ts[:-1], ts[1:], strict=False)
    the two lists of zip are equally long
"""


def cases(g):
    return sampler_cases("dpmpp_2m", g)


HINTS = """
Begin without the correction: with D equal to the guess it should give the states of DDIM.

lambda is the logarithm of alpha over sigma, and h is lambda at s minus lambda at t. At s = 0 it is infinite, and e to
the minus h is 0: that is fine.

Two variables live from one step to the next: the last guess and the last h. Before the first step they are None.

Correct only if there is a last guess, and if sigma at s is above 0. Update both variables at the end of every step.
"""

_H = "(alpha_s / sigma_s).log() - (alpha / sigma).log()"
_SMALL = """A small number keeps your h finite in the step to clean data. It is large all the same, and so is your correction:
    there, take the guess as it is."""
_GUARDED = [
    h.replace("SMALL", small)
    for small in ("1e-12", "1e-10", "1e-8", "1e-6")
    for h in (
        "(alpha_s / (sigma_s + SMALL)).log() - (alpha / (sigma + SMALL)).log()",
        "(alpha_s / sigma_s.clamp(min=SMALL)).log() - (alpha / sigma).log()",
    )
]
MISTAKES = r"""
dpmpp_2m := sample.ddim
    Your sampler never uses the guess of the step before: this is DDIM.
D = x0 + h / -> D = x0 - h /
    The line leads back into the past: the guess goes on in the direction in which it came.
h / (2 * h_last) -> h / h_last
    You follow the line for a whole step: over the step the guess is, on average, where the line is halfway.
h / (2 * h_last) -> h_last / (2 * h)
    The ratio of the two h is upside down: after a short step and before a long one, the line has far to go.
h / (2 * h_last) -> 1 / 2
    You take the steps for equally long. In h they hardly ever are, so the correction depends on both h.
D = x0 + h / (2 * h_last) * (x0 - x0_last) -> D = (x0 + x0_last) / 2
    D is the mean of the last two guesses, which looks back. The line through them is to be followed ahead.
D = x0 + h / (2 * h_last) * (x0 - x0_last) -> D = h / (2 * h_last) * (x0 - x0_last)
    D is the correction alone: it belongs on top of the newest guess.
D = x0 + h / (2 * h_last) -> D = x0_last + h / (2 * h_last)
    The line is followed from the older of the two guesses: begin at the newest one.
x0_last, h_last = x0, h -> x0_last, h_last = x0, h_last or h
    h of the last step is that of the first step for ever: remember the newest.
x0_last, h_last = x0, h -> x0_last, h_last = x0 if x0_last is None else x0_last, h
    The guess of the last step is that of the first step for ever: remember the newest.
x0_last, h_last = x0, h -> x0_last, h_last = D, h
    What you remember is D. The line goes through the guesses themselves.
+ alpha_s * (1 - -> + alpha * (1 -
    The guess is scaled by alpha at t: the step ends at s.
+ alpha_s * (1 - -> + (1 -
    The guess is not scaled by the alpha of s: in the state, the picture is.
sigma_s / sigma * x + -> x +
    x itself comes along unchanged: the noise in it has to shrink to the level of s.
sigma_s / sigma * x + -> alpha_s / alpha * x +
    x is scaled by the ratio of the alphas: that belongs to the version that guesses noise. Here it is the ratio of the
    sigmas.
sigma_s / sigma * x + -> sigma / sigma_s * x +
    The noise in x grows: the ratio of the sigmas is upside down.
(1 - (-h).exp()) -> h.clamp(max=1)
    The weight of the guess is linear in h in yours. It is the exact integral of an exponential.
(1 - (-h).exp()) -> (1 - h.exp())
    In the weight of the guess the exponent has the wrong sign: h, from t to s, is above 0, and e to the minus h is
    meant.
(1 - (-h).exp()) -> ((-h).exp() - 1)
    The weight of the guess has the wrong sign: it lies between 0 and 1.
h = (alpha_s / sigma_s).log() - (alpha / sigma).log() -> h = 2 * ((alpha_s / sigma_s).log() - (alpha / sigma).log())
    Your h is twice as large as it should be: it is of the ratio of alpha and sigma, not of their squares.
if x0_last is not None and sigma_s > 0: -> if x0_last is not None:
    h is infinite in a step to clean data, and so is your correction: there, take the guess as it is.
if x0_last is not None and sigma_s > 0: -> if x0_last is not None and s != ts[-1]:
    The last step is not corrected, although noise is left after it. Only a step to clean data has to do without.
yield x -> yield D
    You yield the guesses: the states are asked for.
dpmpp_2m := with_start(dpmpp_2m)
    You yield the state that you were given as well: begin with the one after the first step.
dpmpp_2m := the_end(dpmpp_2m)
    You gave only the last state: yield each one, in the loop.
dpmpp_2m := sample.heun
    That is Heun's method, which looks ahead. Here the guess of the step before is used.
h / (2 * h_last) -> h / (2 * ((alpha / sigma).log() - (schedule(ts[0])[0] / schedule(ts[0])[1]).log()))
    What you take for the last h is the whole way from the first time on. It is that of the last step alone.
if x0_last is not None and sigma_s > 0:\n            D = x0 + h / (2 * h_last) -> if x0_last is not None:\n            D = x0 + (h / h_last if sigma_s > 0 else 1) / 2
    A step to clean data is corrected, too: there, take the guess as it is.
x0 = D = denoise(x, t) -> x0 = D = denoise(x, s)
    denoise is told the time that the step goes to. The state is still at t.
dpmpp_2m := whole_times(dpmpp_2m)
    You make whole numbers of the times before the schedule is asked. They need not be whole, and it knows those
    between.
dpmpp_2m := whole_list(dpmpp_2m)
    You make whole numbers of the times. They need not be whole.
h / (2 * h_last) -> h / 2 * h_last
    You multiply by the last h: parentheses are missing around what stands below the line.
h = (alpha_s / sigma_s).log() - (alpha / sigma).log() -> h = (alpha_s / sigma_s).log10() - (alpha / sigma).log10()
    Your logarithm is that of base 10. The natural one is meant: e stands in the weight of the guess.
h = (alpha_s / sigma_s).log() - (alpha / sigma).log() -> h = (alpha_s / sigma_s).log2() - (alpha / sigma).log2()
    Your logarithm is that of base 2. The natural one is meant: e stands in the weight of the guess.
h = (alpha_s / sigma_s).log() - (alpha / sigma).log() -> h = alpha_s / sigma_s - alpha / sigma
    Your h is a difference of ratios: the logarithm is missing.
dpmpp_2m := lambda *args: by_eps(*args, first=2)
    The second step is not corrected. There is a last guess already: that of the first step.
x0 = D = denoise(x, t) -> x0 = D = denoise(x, t).clamp(-1, 1)
    You clamp the guess of the picture. Nothing says that it lies between -1 and 1; latents do not.
""" + "\n".join(
    f"h = {_H} -> h = {h} && if x0_last is not None and sigma_s > 0: -> if x0_last is not None:\n    {_SMALL}"
    for h in _GUARDED
)

RIGHT = r"""
h = (alpha_s / sigma_s).log() - (alpha / sigma).log() -> h = (sigma / alpha).log() - (sigma_s / alpha_s).log()
dpmpp_2m := by_eps
"""

WRONG = r"""
dpmpp_2m := lambda *args: by_eps(*args, half=3.0)
dpmpp_2m := sample.plms
dpmpp_2m := lambda *args: ((100 * x).round() / 100 for x in dpmpp_2m(*args))
dpmpp_2m := lambda *args: (x * (1 + 0.1 * (i > 3)) for i, x in enumerate(dpmpp_2m(*args)))
"""


def by_eps(denoise, x, schedule, ts, generator=None, first=1, half=2.0):
    """By e^-h as a ratio, and with a list of all guesses."""
    guesses, log_snr, out = [], [], []
    for t, s in zip(ts, ts[1:], strict=False):
        (a, sigma), (a_s, sigma_s) = schedule(t), schedule(s)
        guesses.append(denoise(x, t))
        log_snr.append(math.log(a / sigma))
        D = guesses[-1]
        if len(guesses) > first and sigma_s > 0:
            h, before = math.log(a_s / sigma_s) - log_snr[-1], log_snr[-1] - log_snr[-2]
            D = (1 + h / (half * before)) * guesses[-1] - h / (half * before) * guesses[-2]
        k = (sigma_s / sigma).item()
        x = k * x + (a_s - k * a).item() * D
        out.append(x)
    return tuple(out)
