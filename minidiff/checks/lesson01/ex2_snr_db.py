"""1.2 the signal-to-noise ratio, in dB."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson01 import decibels
from minidiff.checks.parts import uniform

ATOL = 1e-7  # a guard of 1e-12 against a division by 0 may stay


def cases(g):
    ends = torch.tensor([0.25, 3e-7, 1e-4, 0.5, 1 - 1e-4], dtype=torch.float64)  # -65 to 40 dB, as the next cell draws
    limits = torch.tensor([1, 0.75, 0], dtype=torch.float64)
    return [
        Case("snr_db", (torch.cat([ends, uniform(g, 0.01, 0.99, 4)]),)),
        Case("snr_db", (limits,), read=_far),
        *(Case("snr_db", (uniform(g, 0.01, 0.99, *shape),)) for shape in ((3, 5), (1,))),
    ]


def _far(db):
    """All from 100 dB on is infinite: a guard of 1e-12 may stay, and gives 120."""
    return db.where(db.abs() < 100, db.sign() * torch.inf) if isinstance(db, torch.Tensor) else db


HINTS = """
Which part of x_t is signal, and which is noise? alpha-bar is the power (the variance) of one of them.

The two powers add up to 1. Divide one by the other, and decide which is on top.

Decibels: ten times the logarithm to base 10 of a ratio of powers. torch.log10 works on whole tensors.
"""

_LOG = "10 * torch.log10(alpha_bar / (1 - alpha_bar))"
_ENDS = (
    "Clean data has no noise, so its ratio is infinite, and that of pure noise minus infinite: leave both as they come."
)
_CUT = "Your decibels stop at a limit: very clean and very noisy alpha-bars have a ratio, too."
_GUARD = "The small number that you add where you divide changes the ratio of clean pictures: it should be far smaller."
_ROUND = "You round your decibels: give all the digits that come out."
_RATIO = "alpha_bar / (1 - alpha_bar)"
MISTAKES = "\n".join(
    [
        decibels("alpha_bar"),
        *(f"{_RATIO} -> ({_RATIO}).clamp(1e-{n}, 1e{n})\n    {_CUT}" for n in (2, 3, 5)),
        *(f"snr_db := lambda a: snr_db(a.clamp(1e-{n}, 1 - 1e-{n}))\n    {_CUT}" for n in (2, 3, 4, 5, 6)),
        f"{_LOG} -> {_LOG}.nan_to_num(posinf=0.0, neginf=0.0)\n    {_ENDS}",
        f"{_LOG} -> {_LOG}.nan_to_num(posinf=0.0)\n    {_ENDS}",
        *(f"{_RATIO} -> alpha_bar / (1 - alpha_bar + 1e-{n})\n    {_GUARD}" for n in (3, 4, 5, 6, 8)),
        *(f"{_LOG} -> ({_LOG}).round(decimals={n})\n    {_ROUND}" for n in range(4)),
        "snr_db := lambda a: snr_db(a.float()).to(a)\n    You calculate in float32: alpha-bar is float64, and very clean "
        "pictures need all its digits.",
    ]
)

RIGHT = """
snr_db := lambda a: 10 * a.log10() - 10 * (1 - a).log10()
snr_db := lambda a: torch.logit(a) * 10 / torch.log(torch.tensor(10.0, dtype=a.dtype))
snr_db := lambda a: 10 * torch.log10(a / (1 - a + 1e-12))
"""

WRONG = """
(1 - alpha_bar)) -> (1 - alpha_bar)).round()
(1 - alpha_bar)) -> (1 - alpha_bar)).float()
snr_db := lambda a: 10 * __import__("math").log10(a / (1 - a))
snr_db := lambda a: 1.0
"""
