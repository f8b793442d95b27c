"""1.6 open-ended: a schedule of your own."""

import itertools

import torch

from minidiff.checks import Case
from minidiff.checks.parts import whole
from minidiff.schedule import Discrete, cosine_betas, linear_betas, scaled_linear_betas, zero_terminal_snr


def cases(g):
    return [Case("my_schedule", (T,)) for T in (1000, whole(g, 100, 400), 50)]


def _each(test):
    return lambda results: all(test(a) for _, a in results)


def _where(test):
    """Says for which T a property fails, if it does not for all."""

    def said(results):
        lengths = [str(case.args[0]) for case, a in results if not test(a)]
        return f"So it is with T = {' and '.join(lengths)}." if len(lengths) < len(results) else ""

    return said


def _property(sentence, test):
    return sentence, _each(test), _where(test)


def _in_use(a):
    """The share of times t = 1 ... T at which the SNR lies between -20 and 20 dB."""
    return ((a[1:] > 1 / 101) & (a[1:] < 100 / 101)).double().mean()


def _known(a):
    """Whether it is one of those of 1.1, with whatever ends or, to three digits, offset; or one that 1.4 repaired."""
    T = len(a) - 1
    betas = 1 - a[1:] / a[:-1]
    straight = any(x.diff().diff().abs().max() < 1e-6 * x.max() for x in (betas, betas.clamp(min=0).sqrt()))
    repaired = (zero_terminal_snr(b(T)) for b in (linear_betas, scaled_linear_betas, cosine_betas))
    cosines = (cosine_betas(T, s / 1000) for s in range(101))
    known = itertools.chain(repaired, cosines)
    return straight or any(torch.allclose(a, Discrete(b).alpha_bar, atol=1e-5) for b in known)


CLEAN = "alpha-bar does not begin at 1: at t = 0 the data is clean."
RANGE = "Some alpha-bars lie outside 0 to 1, but they are shares of a variance."
FALLS = "alpha-bar does not fall at every step: each adds some noise, and what was added does not go away again."
NOISE = "Your schedule stops too early: at the end less than 0.0001 of the picture's power should be left."
JUMP = "More than a tenth of the signal goes in a single step: no network can bridge that. Spread it out."
USE = (
    "Too many times are wasted, on pictures with almost no noise or almost no picture: more than 70 % of the times "
    "should lie between -20 and 20 dB."
)
OWN = "That is one of the schedules you know already. Invent one."

PROPERTIES = [
    _property(CLEAN, lambda a: abs(a[0] - 1) < 1e-9),
    _property(RANGE, lambda a: ((a >= 0) & (a <= 1)).all()),
    _property(FALLS, lambda a: (a.diff() < 0).all()),
    _property(NOISE, lambda a: a[-1] < 1e-4),
    _property(JUMP, lambda a: -a.diff().min() < 0.1),
    _property(USE, lambda a: _in_use(a) > 0.7),
    (OWN, lambda results: not any(_known(a) for _, a in results)),
]

HINTS = """
Begin with u, T + 1 numbers from 0 to 1, and think of a curve that falls from 1 to 0 over them.

Flat, steep, flat: an S. Sigmoids, powers of cosines and smooth steps look like that.

To make any falling curve begin at 1 and end at 0, do to it what exercise 1.4 did: shift, then stretch.
"""

_SOLUTION = "return (curve - curve[-1]) / (curve[0] - curve[-1])"
MISTAKES = f"""
return -> return 0.9 *
    {CLEAN}
{_SOLUTION} -> return torch.linspace(1, -1, T + 1, dtype=torch.float64)
    {RANGE}
{_SOLUTION} -> return (2 * (curve - curve[-1]) / (curve[0] - curve[-1]) - 1).abs()
    {FALLS}
return -> return 0.2 + 0.8 *
    {NOISE}
{_SOLUTION} -> return torch.cat([curve[: T // 2] / curve[0], 0.01 * (curve - curve[-1])[T // 2 :]])
    {JUMP}
{_SOLUTION} -> return ((curve - curve[-1]) / (curve[0] - curve[-1])) ** 8
    {USE}
my_schedule := lambda T: Discrete(cosine_betas(T)).alpha_bar
    {OWN}
my_schedule := lambda T: Discrete(cosine_betas(T, 0.02)).alpha_bar
    {OWN}
my_schedule := lambda T: torch.cos(torch.linspace(0, 1, T + 1).double() * torch.pi / 2) ** 2
    {OWN}
"""

RIGHT = """
my_schedule := lambda T: torch.cos(torch.linspace(0, 1, T + 1).double() * torch.pi / 2) ** 2.5
"""

WRONG = """
my_schedule := lambda T: Discrete(cosine_betas(1000)).alpha_bar
my_schedule := lambda T: Discrete(cosine_betas(T)).alpha_bar[1:]
my_schedule := lambda T: Discrete(linear_betas(T)).alpha_bar
my_schedule := lambda T: Discrete(cosine_betas(T)).alpha_bar * torch.nan
my_schedule := lambda T: torch.ones(T + 1, dtype=torch.float64)
return -> return 0.5 + 0 *
"""
