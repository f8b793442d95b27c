"""Lesson 01, noise schedules: what the exercises are checked against."""

import math
import re

import torch

from minidiff import schedule
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import betas, methods, mistakes, random_alpha_bars, uniform, whole
from minidiff.schedule import Discrete, cosine_betas, linear_betas, scaled_linear_betas, zero_terminal_snr

# 1.1 Three schedules


def _f(T, s, power=2):
    return torch.cos((torch.arange(T + 1, dtype=torch.float64) / T + s) / (1 + s) * math.pi / 2) ** power


def _cosine(f, most=0.999):
    return (1 - f[1:] / f[:-1]).clamp(max=most)


def alpha_bars(betas):
    """The reference: `Discrete` computes them."""
    return Discrete(betas).alpha_bar


def _schedule_cases(g):
    ranges = [(whole(g, 12, 40), uniform(g, 0.001, 0.01), uniform(g, 0.05, 0.2)) for _ in range(3)]
    return [
        *(Case("linear_betas", args) for args in ranges),
        *(Case("scaled_linear_betas", args) for args in ranges),
        *(Case("cosine_betas", (whole(g, 12, 40), uniform(g, 0.005, 0.05))) for _ in range(3)),
        *(Case("alpha_bars", (betas(g, whole(g, 12, 40)),)) for _ in range(3)),
    ]


_SCHEDULES = Exercise(
    title="three schedules: betas, and the alpha-bars they lead to",
    reference={
        "linear_betas": linear_betas,
        "scaled_linear_betas": scaled_linear_betas,
        "cosine_betas": cosine_betas,
        "alpha_bars": alpha_bars,
    },
    cases=_schedule_cases,
    mistakes=(
        *mistakes(
            "linear_betas",
            (
                "ignores T",
                "linear_betas always gives a thousand values: how many there are is the first argument, T.",
                lambda T, start, end: linear_betas(1000, start, end),
            ),
            (
                "swaps start and end",
                "linear_betas runs backwards: "
                "the noise should come slowly at first, so the first beta is the small one.",
                lambda T, start, end: linear_betas(T, end, start),
            ),
            (
                "never reaches the end",
                "The last of the linear_betas is one step short of `end`: T values have T - 1 gaps between them.",
                lambda T, start, end: start + (end - start) * torch.arange(T, dtype=torch.float64) / T,
            ),
            (
                "returns zeros",
                "linear_betas gives only zeros: with those, nothing would ever become noisy.",
                lambda T, start, end: torch.zeros(T, dtype=torch.float64),
            ),
            (
                "returns alphas",
                "linear_betas gives what is kept at each step, the alphas; "
                "beta is the other part, the noise that comes in.",
                lambda T, start, end: 1 - linear_betas(T, start, end),
            ),
        ),
        *mistakes(
            "scaled_linear_betas",
            (
                "is the linear schedule",
                "scaled_linear_betas gives the plain linear schedule: "
                "here it is not beta that goes in a straight line.",
                linear_betas,
            ),
            (
                "forgets to square",
                "scaled_linear_betas has the straight line of square roots, "
                "but they have not been turned back into betas.",
                lambda T, start, end: scaled_linear_betas(T, start, end).sqrt(),
            ),
            (
                "forgets a square root",
                "scaled_linear_betas ends at wrong values: "
                "the line has to start and end at the square roots of the two betas.",
                lambda T, start, end: linear_betas(T, start, end) ** 2,
            ),
        ),
        *mistakes(
            "cosine_betas",
            (
                "ignores s",
                "cosine_betas does not use s: without that offset the first betas are too small to matter.",
                lambda T, s: cosine_betas(T, 0.0),
            ),
            (
                "forgets to square the cosine",
                "In cosine_betas f is the square of the cosine, and yours is the cosine itself.",
                lambda T, s: _cosine(_f(T, s, power=1)),
            ),
            (
                "forgets the limit",
                "The last of the cosine_betas is not limited: "
                "the paper cuts betas off just below 1, so that something is left.",
                lambda T, s: _cosine(_f(T, s), most=math.inf),
            ),
            (
                "returns alpha-bars",
                "cosine_betas gives alpha-bars. The cosine is their curve; "
                "a beta is what is lost from one to the next.",
                lambda T, s: (_f(T, s) / _f(T, s)[0])[1:],
            ),
            (
                "turns the fraction over",
                "In cosine_betas the fraction is upside down: you divide each f by the one after it.",
                lambda T, s: 1 - _f(T, s)[:-1] / _f(T, s)[1:],
            ),
        ),
        *mistakes(
            "alpha_bars",
            (
                "forgets the clean start",
                "alpha_bars begins one step late: t = 0 is clean data, "
                "so the first entry is 1, and there are T + 1 of them.",
                lambda betas: alpha_bars(betas)[1:],
            ),
            (
                "sums for a product",
                "alpha_bars subtracts the betas one after another. "
                "Each step takes its part of what is still there: multiply.",
                lambda betas: torch.cat([torch.ones(1, dtype=torch.float64), 1 - betas.cumsum(0)]),
            ),
            (
                "multiplies betas",
                "alpha_bars multiplies the betas; a beta is what each step takes away, and you want what is left.",
                lambda betas: torch.cat([torch.ones(1, dtype=torch.float64), betas.cumprod(0)]),
            ),
            (
                "does not accumulate",
                "alpha_bars gives the alpha of each single step; the bar means all the steps up to t together.",
                lambda betas: torch.cat([torch.ones(1, dtype=torch.float64), 1 - betas]),
            ),
            (
                "takes the square root",
                "alpha_bars gives square roots, which is what x_0 is multiplied by later. "
                "Here alpha-bar itself is asked for.",
                lambda betas: alpha_bars(betas).sqrt(),
            ),
            (
                "returns sigma squared",
                "alpha_bars gives how much noise there is; alpha-bar says how much of the picture is left.",
                lambda betas: 1 - alpha_bars(betas),
            ),
            (
                "changes its input",
                MUTATES,
                lambda betas: alpha_bars(betas.add_(1e-3)),
            ),
        ),
    ),
    hints=(
        "torch.linspace(a, b, T) gives T evenly spaced numbers, "
        "both ends included. Two of the three schedules need it.",
        "Scaled-linear: take the square root of both ends, go in a straight line, and undo the root.",
        "Cosine: compute f at all T + 1 times 0, 1, ..., T at once. "
        "f[1:] and f[:-1] are then each f and the one before it.",
        "torch.cumprod multiplies up, torch.cat puts a 1 in front. "
        "All in float64: say dtype=torch.float64 where numbers begin.",
    ),
)


# 1.2 Signal-to-noise ratio


def snr_db(alpha_bar):
    """The reference: torch.logit is log(p / (1 - p)), in natural units."""
    return torch.logit(alpha_bar) * (10 / math.log(10))


_SNR_MISTAKES = (
    (
        "natural logarithm",
        "Your numbers are too large by one factor everywhere: decibels use the logarithm to base 10.",
        lambda a: 10 * torch.logit(a),
    ),
    (
        "amplitudes for powers",
        "Your decibels are twice too large: 20 belongs to a ratio of amplitudes, and alpha-bar is a power already.",
        lambda a: 2 * snr_db(a),
    ),
    (
        "forgets the ten",
        "You gave bels: a decibel is a tenth of one.",
        lambda a: snr_db(a) / 10,
    ),
    (
        "swaps signal and noise",
        "The sign is wrong everywhere: you divided the noise by the signal.",
        lambda a: -snr_db(a),
    ),
    (
        "takes square roots",
        "You took the ratio of alpha to sigma. The SNR is a ratio of powers, which are their squares.",
        lambda a: snr_db(a) / 2,
    ),
    (
        "ignores the noise",
        "Only the signal counts in your ratio: nothing is divided by the power of the noise.",
        lambda a: 10 * a.log10(),
    ),
    (
        "forgets the logarithm",
        "That is the ratio itself; decibels are ten times its logarithm.",
        lambda a: a / (1 - a),
    ),
    ("returns zeros", "You gave 0 dB everywhere, as if signal and noise were always equal.", torch.zeros_like),
)

_SNR = Exercise(
    title="the signal-to-noise ratio, in dB",
    reference={"snr_db": snr_db},
    cases=lambda g: [Case("snr_db", (uniform(g, 0.01, 0.99, *shape),)) for shape in ((7,), (3, 5), (1,))],
    mistakes=(
        *mistakes("snr_db", *_SNR_MISTAKES),
        *mistakes("snr_db", ("changes its input", MUTATES, lambda a: snr_db(a.div_(1 + a)))),
    ),
    hints=(
        "Which part of x_t is signal, and which is noise? alpha-bar is the power (the variance) of one of them.",
        "The two powers add up to 1. Divide one by the other, and decide which is on top.",
        "Decibels: ten times the logarithm to base 10 of a ratio of powers. torch.log10 works on whole tensors.",
    ),
)


# 1.3 Adding noise


def add_noise(x0, eps, t, alpha_bar):
    """The reference: `Discrete` adds the noise."""
    return Discrete(1 - alpha_bar[1:] / alpha_bar[:-1]).add_noise(x0, eps, t)


def _mixed(signal, noise):
    """A wrong add_noise, from what x_0 and eps are multiplied by, given alpha-bar at t."""

    def wrong(x0, eps, t, alpha_bar):
        a = alpha_bar[t].reshape(-1, *[1] * (x0.ndim - 1)).to(x0)
        return signal(a) * x0 + noise(a) * eps

    return wrong


def _along_the_width(x0, eps, t, alpha_bar):
    a = alpha_bar[t].to(x0)
    return a.sqrt() * x0 + (1 - a).sqrt() * eps


def _noise_cases(g):
    shapes = (4, 3, 2, 4), (3, 2, 5, 3), (2, 6, 2)  # the width equals the batch, so that a wrong axis raises no error
    return [
        Case(
            "add_noise",
            (
                torch.randn(shape, generator=g, dtype=dtype),
                torch.randn(shape, generator=g, dtype=dtype),
                torch.cat([torch.tensor([20]), torch.randint(1, 20, shape[:1], generator=g)])[: shape[0]],
                random_alpha_bars(g, 20),
            ),
        )
        for shape, dtype in zip(shapes, (torch.float32, torch.float64, torch.float32), strict=True)
    ]


_ADD_NOISE = Exercise(
    title="add noise to a batch, each picture at its own time",
    reference={"add_noise": add_noise},
    cases=_noise_cases,
    mistakes=mistakes(
        "add_noise",
        (
            "forgets both square roots",
            "You multiplied by the powers, alpha-bar and its complement. A picture is multiplied by an amplitude.",
            _mixed(lambda a: a, lambda a: 1 - a),
        ),
        (
            "forgets the root of the signal",
            "The noise is right; x_0 is multiplied by a power where an amplitude belongs.",
            _mixed(lambda a: a, lambda a: (1 - a).sqrt()),
        ),
        (
            "forgets the root of the noise",
            "The signal is right; eps is multiplied by a variance where a standard deviation belongs.",
            _mixed(lambda a: a.sqrt(), lambda a: 1 - a),
        ),
        (
            "weights add up to one",
            "Your two weights add up to 1, as in a cross-fade. "
            "Here their squares do: variances add, amplitudes do not.",
            _mixed(lambda a: a.sqrt(), lambda a: 1 - a.sqrt()),
        ),
        (
            "swaps picture and noise",
            "Picture and noise have changed places: at t = 0 all of x_0 should be there.",
            _mixed(lambda a: (1 - a).sqrt(), lambda a: a.sqrt()),
        ),
        (
            "wrong sign",
            "The sign of the noise is wrong: what is random cannot tell, "
            "but the network learns to find the eps you were given.",
            _mixed(lambda a: a.sqrt(), lambda a: -(1 - a).sqrt()),
        ),
        (
            "does not shrink the picture",
            "The noise is right, but x_0 is added whole: then the variance grows. Here x_0 fades as the noise comes.",
            _mixed(lambda a: torch.ones_like(a), lambda a: (1 - a).sqrt()),
        ),
        (
            "ignores the noise",
            "eps is missing: you only dimmed the picture.",
            _mixed(lambda a: a.sqrt(), torch.zeros_like),
        ),
        (
            "reads the schedule one step early",
            "You read the schedule one step early. "
            "alpha_bar has T + 1 entries and begins with the clean one: t is the index.",
            lambda x0, eps, t, alpha_bar: add_noise(x0, eps, t - 1, alpha_bar),
        ),
        (
            "one time for all",
            "Every picture got the noise of the first one: each has its own t.",
            lambda x0, eps, t, alpha_bar: add_noise(x0, eps, t[0], alpha_bar),
        ),
        (
            "wrong axis",
            "The levels run along the width of the pictures, not along the batch: "
            "torch lines shapes up from the right.",
            _along_the_width,
        ),
        ("returns zeros", "You gave zeros: neither picture nor noise.", lambda x0, *_: torch.zeros_like(x0)),
        (
            "changes its input",
            MUTATES,
            lambda x0, eps, t, alpha_bar: x0.copy_(add_noise(x0, eps, t, alpha_bar)),
        ),
    ),
    hints=(
        "alpha_bar[t] picks one number for each picture: shape (B,).",
        "To multiply a batch (B, C, H, W) by B numbers, give them the shape (B, 1, 1, 1): .reshape(-1, 1, 1, 1). "
        "A batch may have other than four dimensions: x0.ndim says how many.",
        "alpha-bar is a power. What x_0 is multiplied by is an amplitude: "
        "think of the lengths of two sides of a right angle.",
        "alpha_bar is float64, the pictures often float32: .to(x0) gives the numbers the dtype and device of x0.",
    ),
)


# 1.4 Zero terminal SNR


def _root(betas):
    return (1 - betas).cumprod(0).sqrt()


def _to_betas(root):
    return 1 - torch.cat([root[:1], root[1:] / root[:-1]]) ** 2


def _on_powers(betas):
    a = _root(betas) ** 2
    return _to_betas(((a - a[-1]) * (a[0] / (a[0] - a[-1]))).clamp(min=0).sqrt())


_ZERO_SNR = Exercise(
    title="zero terminal SNR: end in pure noise",
    reference={"zero_terminal_snr": zero_terminal_snr},
    cases=lambda g: [Case("zero_terminal_snr", (betas(g, whole(g, 10, 20)),)) for _ in range(3)],
    mistakes=mistakes(
        "zero_terminal_snr",
        (
            "only the last step",
            "You made the last step take everything, and left the others: "
            "then all the missing noise comes in one jump.",
            lambda betas: torch.cat([betas[:-1], torch.ones(1, dtype=betas.dtype)]),
        ),
        (
            "shifts without scaling",
            "The end is right, the beginning is not: "
            "after the shift, stretch the curve so that its first value is as before.",
            lambda betas: _to_betas(_root(betas) - _root(betas)[-1]),
        ),
        (
            "scales to one",
            "Your curve is stretched until it begins at 1. Its first value should stay what it was, a little less.",
            lambda betas: _to_betas((_root(betas) - _root(betas)[-1]) / (_root(betas)[0] - _root(betas)[-1])),
        ),
        (
            "forgets the square root",
            "You shifted alpha-bar itself; the paper shifts what x_0 is multiplied by, which is its square root.",
            _on_powers,
        ),
        (
            "returns alpha-bars",
            "You gave alpha-bars; betas are asked for: what each step takes away from what the step before it left.",
            lambda betas: (1 - zero_terminal_snr(betas)).cumprod(0),
        ),
        (
            "forgets to square",
            "Your betas come from the square roots of alpha-bar: "
            "square them before you go back from products to single steps.",
            lambda betas: 1 - (1 - zero_terminal_snr(betas)).sqrt(),
        ),
        ("changes nothing", "You gave the betas back as they came: the last alpha-bar is still above 0.", torch.clone),
        (
            "returns zeros",
            "You gave zeros: without any beta there is no noise, and the end is clean instead of all noise.",
            torch.zeros_like,
        ),
        ("changes its input", MUTATES, lambda betas: betas.copy_(zero_terminal_snr(betas))),
    ),
    hints=(
        "Go from betas to the square roots of alpha-bar, change that curve, and come back.",
        "Two changes make any straight map: "
        "subtract something so that the last value is 0, then multiply so that the first "
        "value is what it was.",
        "Back: square. The first alpha-bar is the first alpha; "
        "each later alpha is an alpha-bar over the one before it.",
    ),
)


# 1.5 ScheduleComparator

_ROWS = (0, 100, 250, 500, 750, 900, 999)


class ScheduleComparator:
    """The reference, from minidiff's schedules. Its t is 0-based: ours minus one."""

    def linear_schedule(self, T, beta_start=1e-4, beta_end=0.02):
        return alpha_bars(schedule.linear_betas(T, beta_start, beta_end))[1:]

    def cosine_schedule(self, T, s=0.008):
        return alpha_bars(schedule.cosine_betas(T, s))[1:]

    def signal_to_noise_ratio(self, alpha_bar_t):
        return snr_db(alpha_bar_t)

    def find_zero_crossing(self, alpha_bars):
        below = (alpha_bars <= 0.5).nonzero()
        return int(below[0]) if len(below) else len(alpha_bars) - 1

    def compare(self, T=1000):
        curves = self.linear_schedule(T), self.cosine_schedule(T)
        for t in _ROWS:
            print(t, *(f"{curve[t]:.4f} {self.signal_to_noise_ratio(curve[t]):.1f}" for curve in curves))
        linear, cosine = map(self.find_zero_crossing, curves)
        print(linear, cosine, cosine - linear)


_WANTED = {*_ROWS, 259, 496, 237}


def _whole_numbers(text):
    """The whole numbers in what compare printed, of those that should be there, with their signs."""
    found = map(int, re.findall(r"(?<![\w.])-?\d+(?!\w|\.\d)", text))
    return "the numbers " + ", ".join(map(str, sorted({number for number in found if abs(number) in _WANTED})))


def _comparator_cases(g):
    def case(method, *args, **kwargs):
        return Case(f"ScheduleComparator.{method}", args, **kwargs)

    T = whole(g, 300, 900)
    high = uniform(g, 0.6, 0.99, 9)
    return [
        case("linear_schedule", T, 2e-4, uniform(g, 0.01, 0.03)),
        case("linear_schedule", 1000),
        case("cosine_schedule", T, uniform(g, 0.005, 0.05)),
        case("cosine_schedule", 1000),
        case("signal_to_noise_ratio", uniform(g, 0.01, 0.99, 7)),
        case("signal_to_noise_ratio", uniform(g, 0.01, 0.99, 3)),
        case("find_zero_crossing", uniform(g, 0.01, 1, 50).sort(descending=True).values),
        case("find_zero_crossing", torch.tensor([0.9, 0.7, 0.5, 0.2], dtype=torch.float64)),
        case("find_zero_crossing", high.sort(descending=True).values),
        case("compare", printed=_whole_numbers),
    ]


_COMPARATOR = Exercise(
    title="ScheduleComparator: linear against cosine",
    reference={"ScheduleComparator": ScheduleComparator},
    cases=_comparator_cases,
    mistakes=(
        *methods(
            ScheduleComparator,
            "linear_schedule",
            (
                "does not accumulate",
                "linear_schedule gives the alpha of each single step: alpha-bar is the product of all of them so far.",
                lambda self, T, start=1e-4, end=0.02: 1 - linear_betas(T, start, end),
            ),
            (
                "returns betas",
                "linear_schedule gives the betas: go on from there to alpha-bars.",
                lambda self, T, start=1e-4, end=0.02: linear_betas(T, start, end),
            ),
            (
                "ignores its range",
                "linear_schedule does not use beta_start and beta_end.",
                lambda self, T, start=1e-4, end=0.02: alpha_bars(linear_betas(T))[1:],
            ),
            (
                "keeps the clean start",
                "linear_schedule has an entry too many: "
                "with the 0-based t of this exercise the first one is not clean.",
                lambda self, T, start=1e-4, end=0.02: alpha_bars(linear_betas(T, start, end)),
            ),
        ),
        *methods(
            ScheduleComparator,
            "cosine_schedule",
            (
                "keeps its leading 1",
                "cosine_schedule has T + 1 entries: "
                "it should drop the leading 1, to match linear_schedule index by index.",
                lambda self, T, s=0.008: alpha_bars(cosine_betas(T, s)),
            ),
            (
                "drops the last one",
                "cosine_schedule dropped its last entry; the leading 1 is the one to drop.",
                lambda self, T, s=0.008: alpha_bars(cosine_betas(T, s))[:-1],
            ),
            (
                "forgets to square the cosine",
                "In cosine_schedule alpha-bar follows the square of a cosine, and yours the cosine itself.",
                lambda self, T, s=0.008: (_f(T, s, power=1) / _f(T, s, power=1)[0])[1:],
            ),
            (
                "does not start from 1",
                "cosine_schedule is not divided by its value at t = 0, so it does not begin at clean data.",
                lambda self, T, s=0.008: _f(T, s)[1:],
            ),
            (
                "ignores s",
                "cosine_schedule does not use s.",
                lambda self, T, s=0.008: alpha_bars(cosine_betas(T))[1:],
            ),
        ),
        *methods(
            ScheduleComparator,
            "signal_to_noise_ratio",
            *(
                (which, f"signal_to_noise_ratio: {sentence}", lambda self, alpha_bar_t, wrong=wrong: wrong(alpha_bar_t))
                for which, sentence, wrong in _SNR_MISTAKES
            ),
        ),
        *methods(
            ScheduleComparator,
            "find_zero_crossing",
            (
                "counts from one",
                "find_zero_crossing is one too high: indices begin at 0.",
                lambda self, a: ScheduleComparator.find_zero_crossing(self, a) + 1,
            ),
            (
                "last index above",
                "find_zero_crossing gives the last index where the signal is still stronger; "
                "the next one is asked for.",
                lambda self, a: max(int((a > 0.5).sum()) - 1, 0),
            ),
            (
                "strictly below",
                "find_zero_crossing misses an alpha-bar of exactly one half: "
                "signal and noise are equal there, which counts.",
                lambda self, a: int((a < 0.5).nonzero()[0]) if (a < 0.5).any() else len(a) - 1,
            ),
            (
                "zero if there is none",
                "Where nothing crosses, find_zero_crossing gives 0, as if all were noise: "
                "argmax of only False is 0. Give the last index there.",
                lambda self, a: int((a <= 0.5).int().argmax()),
            ),
            (
                "past the end if there is none",
                "Where nothing crosses, find_zero_crossing gives an index past the end: "
                "there the last one is asked for.",
                lambda self, a: int((a > 0.5).sum()),
            ),
        ),
        *methods(
            ScheduleComparator,
            "compare",
            (
                "subtracts the wrong way",
                "compare says by how many steps the cosine schedule keeps the signal *longer*: "
                "yours is negative, so turn it round.",
                lambda self, T=1000: print(*_ROWS, 259, 496, -237),
            ),
            (
                "leaves out the crossings",
                "compare prints the rows of the table, "
                "but under it belong both crossings and how many steps lie between them.",
                lambda self, T=1000: print(*_ROWS),
            ),
            (
                "leaves out the difference",
                "compare prints both crossings, but not how many steps longer the cosine schedule keeps the signal.",
                lambda self, T=1000: print(*_ROWS, 259, 496),
            ),
        ),
    ),
    hints=(
        "You have written most of it: exercises 1.1 and 1.2 hold the formulas. "
        "Only the index moves: this t is ours minus one.",
        "Both schedules return T numbers. Whatever has T + 1, "
        "because it begins with clean data, loses its first entry.",
        "find_zero_crossing: (alpha_bars <= 0.5).nonzero() lists the indices that qualify, and may be an empty list.",
        "compare: a for loop over the seven times, an f-string for each row, then three numbers. Signs matter.",
    ),
    atol=1e-6,  # the cosine schedule with and without its limit on beta: both are right here
)


# 1.6 A schedule of your own


def in_use(alpha_bar):
    """The share of times t = 1 ... T at which the SNR lies between -20 and 20 dB."""
    return ((alpha_bar[1:] > 1 / 101) & (alpha_bar[1:] < 100 / 101)).double().mean().item()


def _sigmoid(T):
    u = torch.linspace(4, -4, T + 1, dtype=torch.float64).sigmoid()
    return (u - u[-1]) / (u[0] - u[-1])


def _each(test):
    return lambda results: all(test(a) for _, a in results)


_KNOWN = linear_betas, scaled_linear_betas, cosine_betas, lambda T: zero_terminal_snr(linear_betas(T))
_OPEN = {
    "clean": "alpha-bar does not begin at 1: at t = 0 the data is clean.",
    "range": "Some alpha-bars lie outside 0 to 1, but they are shares of a variance.",
    "falls": "alpha-bar does not fall at every step: noise that was added does not go away again.",
    "noise": "Your schedule stops too early: at the end less than 0.0001 of the picture's power should be left.",
    "jump": "More than a tenth of the signal goes in a single step: no network can bridge that. Spread it out.",
    "use": "Too many times are wasted, on pictures with almost no noise or almost no picture: "
    "more than 70 % of the times "
    "should lie between -20 and 20 dB.",
    "own": "That is one of the schedules you know already. Invent one.",
}

_DESIGN = Exercise(
    title="open-ended: a schedule of your own",
    reference={"my_schedule": _sigmoid},
    cases=lambda g: [Case("my_schedule", (T,)) for T in (1000, whole(g, 100, 400), 50)],
    properties=(
        (_OPEN["clean"], _each(lambda a: abs(a[0] - 1) < 1e-9)),
        (_OPEN["range"], _each(lambda a: ((a >= 0) & (a <= 1)).all())),
        (_OPEN["falls"], _each(lambda a: (a.diff() < 0).all())),
        (_OPEN["noise"], _each(lambda a: a[-1] < 1e-4)),
        (_OPEN["jump"], _each(lambda a: -a.diff().min() < 0.1)),
        (_OPEN["use"], _each(lambda a: in_use(a) > 0.7)),
        (_OPEN["own"], lambda results: not any(_is_known(a) for _, a in results)),
    ),
    mistakes=mistakes(
        "my_schedule",
        ("starts late", _OPEN["clean"], lambda T: 0.9 * _sigmoid(T)),
        ("leaves the range", _OPEN["range"], lambda T: torch.linspace(1, -1, T + 1, dtype=torch.float64)),
        ("rises again", _OPEN["falls"], lambda T: (2 * _sigmoid(T) - 1).abs()),
        ("stops early", _OPEN["noise"], lambda T: 0.2 + 0.8 * _sigmoid(T)),
        ("jumps", _OPEN["jump"], lambda T: torch.cat([_sigmoid(T)[: T // 2], 0.01 * _sigmoid(T)[T // 2 :]])),
        ("wastes its times", _OPEN["use"], lambda T: _sigmoid(T) ** 8),
        ("is the cosine schedule", _OPEN["own"], lambda T: alpha_bars(cosine_betas(T))),
    ),
    hints=(
        "Begin with u, T + 1 numbers from 0 to 1, and think of a curve that falls from 1 to 0 over them.",
        "Flat, steep, flat: an S. Sigmoids, powers of cosines and smooth steps look like that.",
        "To make any falling curve begin at 1 and end at 0, do to it what exercise 1.4 did: shift, then stretch.",
    ),
)


def _is_known(a):
    return any(torch.allclose(a, alpha_bars(betas(len(a) - 1)), atol=1e-6) for betas in _KNOWN)


EXERCISES = {"1.1": _SCHEDULES, "1.2": _SNR, "1.3": _ADD_NOISE, "1.4": _ZERO_SNR, "1.5": _COMPARATOR, "1.6": _DESIGN}
