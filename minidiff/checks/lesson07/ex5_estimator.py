"""7.5 DDIMStepEstimator: how many steps are enough?"""

import math

import torch

from minidiff.checks import Case
from minidiff.checks.parts import uniform, whole


def _predictor(g):
    a, b = uniform(g, 0.5, 1.0), uniform(g, 0.2, 0.6)

    def predictor(x, t):
        return torch.tanh(a * x + b * x.roll(1)) * (0.6 + 0.4 * math.cos(t / 150))

    return predictor


def cases(g):
    def case(member, *args, T=1000, predictor=None):
        made_with = T, predictor or _predictor(g), whole(g, 0, 10**6)
        return Case(f"DDIMStepEstimator.{member}", args, made_with=made_with)

    def signal(dtype=torch.float64):
        return 1.5 * torch.randn(256, generator=g, dtype=dtype) + 0.5

    def falling(*factors):
        """Errors by steps, each so many times the one before."""
        found, error = {}, uniform(g, 1, 5)
        for steps, factor in zip((5, 10, 20, 50, 100, 200, 500, 1000), (1, *factors), strict=False):
            found[steps] = error = error * factor
        return found

    def quickly(n):
        return [uniform(g, 0.2, 0.8) for _ in range(n)]

    exact = Case("DDIMStepEstimator.ddim_reconstruct", (signal(), 7), made_with=(200, None, whole(g, 0, 10**6)))
    rising = dict(zip((4, 8, 16, 32), uniform(g, 1, 2, 4).sort().values.tolist(), strict=True))
    middle = dict(zip((4, 8, 16), (3.0, 0.5, 1.0), strict=True))  # the fewest errors are not at the most steps
    return [
        case("alpha_bars", T=300),
        case("alpha_bars"),
        case("noise", signal(torch.float32)),
        case("noise", signal()),
        case("timesteps", 7),
        case("timesteps", 20, T=300),
        case("ddim_reconstruct", signal(), 7, T=300),
        case("ddim_reconstruct", signal(torch.float32), 20, T=200),
        case("ddim_reconstruct", signal(), 50, T=100),
        exact,
        case("errors", signal(), [5, 10, 25]),
        case("errors", signal(torch.float32), [8, 4], T=200),
        case("relative", falling(*quickly(7))),
        case("relative", rising),
        case("relative", middle),
        case("relative", dict(reversed(middle.items()))),
        case("find_knee", falling(*quickly(4), 0.97, 0.99, 0.5)),
        case("find_knee", falling(*quickly(3), 0.905, 0.5)),
        case("find_knee", falling(*quickly(3), 0.88, 0.96)),
        case("find_knee", falling(*quickly(6))),
        case("find_knee", falling(0.85, 0.85, 0.85, 0.85)),
        case("find_knee", falling(*quickly(2), 1.3, 0.5)),
        case("find_knee", falling(*quickly(2), 1.03, 0.5)),
        case("find_knee", rising),
    ]


HINTS = """
ddim_reconstruct: self.noise(x0), self.timesteps(num_steps), and a loop over neighbours in that list. After the last
index comes clean data, where alpha-bar is 1.

In each step: the predicted noise, the guess of the signal from it, and both put together again at the level of the next
time. The roots of alpha-bar and of one minus alpha-bar are the levels.

errors and relative are dictionary comprehensions. max of a dictionary is its largest key.

find_knee: walk over neighbours in the list of keys, and return the first number whose successor has more than nine
tenths of its error. Return 0 after the loop.
"""

MISTAKES = r"""
return x\n -> return x0.clone()\n
    ddim_reconstruct gives the signal itself, whatever the predictor says: either nothing is noised at all, or
    self.predictor is never asked.
x = bars[0].sqrt() * x0 + (1 - bars[0]).sqrt() * noise -> x = noise
    ddim_reconstruct starts from noise alone. The signal is noised at the last time, so a little of it is left there.
x = bars[0].sqrt() * x0 + (1 - bars[0]).sqrt() * noise -> x = x0
    ddim_reconstruct starts from the clean signal: noise it first, at the last time.
x = bars[0].sqrt() * x0 + (1 - bars[0]).sqrt() * noise -> x = bars[0] * x0 + (1 - bars[0]) * noise
    ddim_reconstruct noises the signal without the roots: alpha-bar and what is missing to 1 are variances.
x = bars[0].sqrt() * x0 + (1 - bars[0]).sqrt() * noise -> x = bars[0].sqrt() * x0 + (1 - bars[0].sqrt()) * noise
    ddim_reconstruct noises the signal with one minus the root: the squares of the two levels add up to 1.
self.predictor(x, t) -> self.predictor(x, t + 1)
    ddim_reconstruct tells the predictor our t. Here it wants the index from 0, one lower.
guess = (x - (1 - bar).sqrt() * eps) / bar.sqrt() -> guess = ((x - (1 - bar).sqrt() * eps) / bar.sqrt()).clamp(-1, 1)
    ddim_reconstruct clamps the guess of the signal, as the tutorial does. That cuts off all that is louder than 1.
guess = (x - (1 - bar).sqrt() * eps) / bar.sqrt() -> guess = x - (1 - bar).sqrt() * eps
    The guess in ddim_reconstruct is the signal as it is in x: divide by its level.
guess = (x - (1 - bar).sqrt() * eps) / bar.sqrt() -> guess = (x - (1 - bar) * eps) / bar
    The guess in ddim_reconstruct lacks the roots: alpha-bar and what is missing to 1 are variances.
x = bar_s.sqrt() * guess + (1 - bar_s).sqrt() * eps -> x = bar_s * guess + (1 - bar_s) * eps
    Going on to the next time, ddim_reconstruct lacks the roots: alpha-bar and what is missing to 1 are variances.
x = bar_s.sqrt() * guess + (1 - bar_s).sqrt() * eps -> x = bar_s.sqrt() * guess + (1 - bar_s).sqrt() * noise
    ddim_reconstruct goes on with the noise that was put on. It is the predicted noise that stays in the state.
torch.ones((), dtype=torch.float64)] -> self.alpha_bars[0]]
    The last step of ddim_reconstruct goes to the first of the alpha-bars, where a little noise is left. It leads to
    clean data.
self.noise(x0), self.timesteps(num_steps) -> self.noise(x0), list(range(len(self.alpha_bars)))[::-1]
    ddim_reconstruct takes every time, whatever num_steps is.
bars = [*self.alpha_bars[times], torch.ones((), dtype=torch.float64)] -> after = [*(self.alpha_bars[t - 1] if t else torch.tensor(1.0).double() for t in times)]\n        bars = [*self.alpha_bars[times]] && zip(times, bars, bars[1:], strict=False) -> zip(times, bars, after)
    ddim_reconstruct goes down by 1 from each time. The next stop is the next time in the list.
bars = [*self.alpha_bars[times], torch.ones((), dtype=torch.float64)] -> bars = [*self.alpha_bars[times]]
    ddim_reconstruct stops at the last time of the list, where noise is left: one more step leads to the clean signal.
self.noise(x0), self.timesteps(num_steps) -> self.noise(x0), [i * (len(self.alpha_bars) // num_steps) for i in range(num_steps)][::-1]
    ddim_reconstruct begins before the last time: timesteps says where to stop.
return {n: (self.ddim_reconstruct(x0, n) - x0).square().mean().item() for -> return {n: (self.ddim_reconstruct(x0, n) - x0).square().mean().sqrt().item() for
    errors takes a root: the mean squared error is asked for.
.square().mean().item() for -> .square().sum().item() for
    errors sums the squares: take their mean, or a longer signal counts more.
.square().mean().item() for -> .abs().mean().item() for
    errors uses absolute values: square the differences.
.square().mean().item() for -> .mean().square().item() for
    errors squares the mean difference: errors up and down would cancel. Square first.
.square().mean().item() for -> .square().max().item() for
    errors gives the largest squared error: their mean is asked for.
n: error / errors[max(errors)] for -> n: errors[max(errors)] / error for
    relative is upside down: the error of the most steps is what the others are divided by.
errors[max(errors)] -> errors[min(errors)]
    relative divides by the error of the fewest steps: take the most.
errors[max(errors)] -> min(errors.values())
    relative divides by the smallest error. That need not be the one of the most steps.
errors[max(errors)] -> max(errors.values())
    relative divides by the largest error: take that of the most steps.
errors[max(errors)] -> list(errors.values())[-1]
    relative divides by the last error of the dictionary: the most steps need not come last.
error / errors[max(errors)] -> error - errors[max(errors)]
    relative subtracts: how many times as large is asked for.
error / errors[max(errors)] -> error / errors[max(errors)] - 1
    relative says by how much an error is larger: how many times as large is asked for, so 1 for the most steps.
error / errors[max(errors)] -> 100 * error / errors[max(errors)]
    relative gives per cent: how many times as large is asked for, so 1 for the most steps.
return n\n        return 0 -> return following\n        return 0
    find_knee gives the number of steps that was not worth it: the knee is the one before.
return 0 -> return None
    find_knee gives None where there is no knee: 0 is asked for.
return 0 -> return numbers[-1]
    find_knee gives the most steps where there is no knee: 0 is asked for.
errors[following] > 0.9 * errors[n] -> errors[following] >= errors[n]
    find_knee waits until nothing is gained any more: a gain below ten percent is too little already.
errors[following] > 0.9 * errors[n] -> errors[following] > 0.1 * errors[n]
    find_knee asks whether ten percent of the error are left: ask how much was gained.
errors[following] > 0.9 * errors[n] -> errors[following] < 0.9 * errors[n]
    find_knee stops where much is gained: the first step that gains too little is the knee.
errors[following] > 0.9 * errors[n] -> errors[following] > errors[n] / 1.1
    find_knee takes a gain in proportion to the new error, which is the smaller one. Ten percent of the error before it
    are meant.
errors[following] > 0.9 * errors[n] -> errors[n] - errors[following] < 0.1 * errors[numbers[0]]
    find_knee takes a gain in proportion to the first error. Ten percent of the error just before it are meant.
errors[following] > 0.9 * errors[n] -> errors[n] - errors[following] < 0.1
    find_knee compares the gain with a fixed number. Ten percent of the error before it are meant.
DDIMStepEstimator.find_knee := lambda self, errors: next((n for n, m in zip(errors, [*errors][1:]) if abs(errors[n] - errors[m]) < 0.1 * errors[n]), 0)
    find_knee takes a large rise for a gain: without abs, a rise is the smallest gain of all, one below 0.
errors[following] > 0.9 * errors[n] -> errors[n] >= errors[following] > 0.9 * errors[n]
    find_knee passes over errors that rise. A rise is the smallest gain of all, one below 0.
DDIMStepEstimator.find_knee := lambda self, errors: max([n for n, m in zip(errors, [*errors][1:]) if errors[m] > 0.9 * errors[n]], default=0)
    find_knee gives the last place where little is gained: the first one is the knee.
DDIMStepEstimator.find_knee := lambda self, errors: min(errors, key=errors.get)
    find_knee gives the number of steps with the smallest error. Most of those steps gained next to nothing.
if errors[following] > 0.9 * errors[n]:\n                return n -> if errors[following] > 0.9 * errors[n]:\n                return numbers.index(n)
    find_knee gives the place in the list: the number of steps is asked for.
self.predictor(x, t)\n -> self.predictor(x, t) if t != times[-1] or len(times) == 1 else eps\n
    ddim_reconstruct does not ask the predictor at the last of the times: each of them has a prediction of its own.
self.noise(x0), self.timesteps(num_steps) -> self.noise(x0), torch.linspace(len(self.alpha_bars) - 1, 0, num_steps, dtype=torch.float64).long().tolist()
    ddim_reconstruct makes a list of times of its own, which goes down to index 0: timesteps says where to stop.
self.noise(x0), self.timesteps(num_steps) -> self.noise(x0), torch.linspace(len(self.alpha_bars) - 1, 0, num_steps, dtype=torch.float64).round().long().tolist()
    ddim_reconstruct makes a list of times of its own, which goes down to index 0: timesteps says where to stop.
self.noise(x0), self.timesteps(num_steps) -> self.noise(x0), [len(self.alpha_bars) - 1 - i * (len(self.alpha_bars) // num_steps) for i in range(num_steps)]
    ddim_reconstruct makes a list of times of its own, with steps that are cut to whole numbers: timesteps says where to
    stop.
zip(numbers, numbers[1:], strict=False) -> zip(numbers, numbers[1:-1], strict=False)
    find_knee never looks at the last pair: the last number but one can be the knee, too.
guess = (x - (1 - bar).sqrt() * eps) / bar.sqrt() -> guess = x - (1 - bar).sqrt() * eps / bar.sqrt()
    In the guess of ddim_reconstruct only the noise is divided: parentheses are missing around the difference.
errors[following] > 0.9 * errors[n] -> errors[n] - errors[following] / errors[n] < 0.1
    find_knee divides only one of the errors: parentheses are missing around the difference.
"""

RIGHT = r"""
errors[following] > 0.9 * errors[n] -> (errors[n] - errors[following]) / errors[n] < 0.1
DDIMStepEstimator.ddim_reconstruct := by_hand
"""

WRONG = r"""
torch.ones((), dtype=torch.float64)] -> torch.tensor(0.999, dtype=torch.float64)]
self.predictor(x, t) -> self.predictor(x, t) / 2
return x\n -> return x.double()\n
.square().mean().item() for -> .square().mean() for
.square().mean().item() for -> .square().median().item() for
return {n: (self.ddim_reconstruct(x0, n) - x0).square().mean().item() for n in steps} -> return [(self.ddim_reconstruct(x0, n) - x0).square().mean().item() for n in steps]
return {n: (self.ddim_reconstruct(x0, n) - -> return {n: (self.ddim_reconstruct(x0, steps[0]) -
> 0.9 * errors[n] -> > 0.99 * errors[n]
> 0.9 * errors[n] -> > 0.5 * errors[n]
numbers = list(errors) -> numbers = list(errors)[1:]
DDIMStepEstimator.find_knee := lambda self, errors: 10
torch.Generator().manual_seed(self.seed) -> torch.Generator().manual_seed(42)
"""

EQUIVALENT = """
torch.ones((), dtype=torch.float64) -> torch.ones(())
    a single number takes the dtype of the tensor next to it
zip(times, bars, bars[1:], strict=False) -> zip(times, bars, bars[1:])
    that is what zip does by itself
zip(numbers, numbers[1:], strict=False) -> zip(numbers, numbers[1:])
    that is what zip does by itself
self.ddim_reconstruct(x0, n) - x0 -> x0 - self.ddim_reconstruct(x0, n)
    a square has no sign
errors[following] > 0.9 * errors[n] -> errors[following] >= 0.9 * errors[n]
    a gain of exactly ten percent is a matter of rounding
"""


def by_hand(self, x0, num_steps):
    noise, times = self.noise(x0), self.timesteps(num_steps)
    x = self.alpha_bars[times[0]].sqrt() * x0 + (1 - self.alpha_bars[times[0]]).sqrt() * noise
    for i, t in enumerate(times):
        a = self.alpha_bars[t].item()
        a_s = self.alpha_bars[times[i + 1]].item() if i + 1 < len(times) else 1.0
        eps = self.predictor(x, t) if self.predictor else noise
        x = math.sqrt(a_s) * (x - math.sqrt(1 - a) * eps) / math.sqrt(a) + math.sqrt(1 - a_s) * eps
    return x
