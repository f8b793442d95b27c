"""1.5 ScheduleComparator: linear against cosine."""

import re

import torch

from minidiff.checks import Case
from minidiff.checks.lesson01 import decibels
from minidiff.checks.parts import table, uniform, whole
from minidiff.checks.solution import Solution


def _comparison(T):
    """Reads what `compare` prints for T steps, against the solution's own numbers, and what stands under the table."""
    theirs = Solution.of("1.5").answers["ScheduleComparator"]()
    linear, cosine = theirs.linear_schedule(T), theirs.cosine_schedule(T)
    rows, by_kind, powers = [], [], []
    for t in (0, 100, 250, 500, 750, 900, 999):
        a, b, c, d = (n.item() for x in (linear, cosine) for n in (x[t], theirs.signal_to_noise_ratio(x[t])))
        last = [] if t == T - 1 else [d]  # which comes from a limited beta, or not: both are right
        rows.append((str(t), [t, a, b, c, *last], 0.051))
        by_kind.append((str(t), [t, a, c, b, *last], 0.051))  # both alpha-bars first, then both ratios
        powers.append((str(t), [t, a, c], 0.0051))
    crossings = map(theirs.find_zero_crossing, (linear, cosine))
    wanted, other = {row[0]: row[1] for row in rows}, {row[0]: row[1] for row in by_kind}

    def read(text, crossings=tuple(crossings)):
        found = table(*rows)(text)
        if table(*by_kind)(text) == other:
            found.update(wanted)
        return {
            "the table": found,
            "its alpha-bars": table(*powers)(text),
            "below the table": _below(text, *crossings),
        }

    return read


def _below(text, linear, cosine):
    """Which crossing is which, and their difference. Two numbers without a name are the linear one, then the cosine."""
    text = text.lower().rpartition("999")[2]

    def place(pattern):
        found = re.search(rf"(?<![\w.]){pattern}(?!\w|\.\d)", text)
        return found.start() if found else len(text)

    places = place(linear), place(cosine)
    names = [place(name) for name in ("linear", "cosine")]
    named = max(names) < max(places)  # both names stand before the second number
    first = names[0] < names[1] if named else True
    if max(places) == len(text):
        return "not both crossings"
    if (places[0] < places[1]) != first:
        return f"linear {cosine}, cosine {linear}"
    sign = re.search(rf"(?<![\w.])([-−]?) *{cosine - linear}(?!\w|\.\d)", text)
    return f"linear {linear}, cosine {cosine}, " + (f"{sign[1]}{cosine - linear} longer" if sign else "no difference")


def _unlimited(alpha_bars):
    """The last alpha-bar may come from a limited beta, or not: such small ones are taken for 0."""
    return alpha_bars.where(alpha_bars > 1e-6, 0.0) if isinstance(alpha_bars, torch.Tensor) else alpha_bars


def cases(g):
    def case(method, *args, **kwargs):
        return Case(f"ScheduleComparator.{method}", args, **kwargs)

    def crossing(*alpha_bars):
        return case("find_zero_crossing", torch.tensor(alpha_bars, dtype=torch.float64))

    T = whole(g, 300, 900)
    return [
        case("linear_schedule", T, 2e-4, uniform(g, 0.01, 0.03)),
        case("linear_schedule", 1000),
        case("cosine_schedule", T, uniform(g, 0.005, 0.05), read=_unlimited),
        case("cosine_schedule", 1000, read=_unlimited),
        case("signal_to_noise_ratio", uniform(g, 0.01, 0.99, 7)),
        case("signal_to_noise_ratio", uniform(g, 0.01, 0.99, 3)),
        case("signal_to_noise_ratio", torch.tensor(uniform(g, 0.01, 0.99), dtype=torch.float64)),  # as `compare` asks
        crossing(*uniform(g, 0.01, 1, 50).sort(descending=True).values.tolist()),
        crossing(0.9, 0.7, 0.51, 0.2, 0.1),  # the nearest to a half is one too early; in the next one it is right
        crossing(0.9, 0.8, 0.48, 0.3),
        crossing(0.9, 0.7, 0.5, 0.2),
        crossing(0.4, 0.3, 0.1),
        crossing(*uniform(g, 0.6, 0.99, 9).sort(descending=True).values.tolist()),
        case("compare", printed=_comparison(1000)),
        case("compare", T := whole(g, 1100, 1600), printed=_comparison(T)),
    ]


HINTS = """
You have written most of it: exercises 1.1 and 1.2 hold the formulas. Only the index moves: this t is ours minus one.

Both schedules return T numbers. Whatever has T + 1, because it begins with clean data, loses its first entry.

find_zero_crossing: (alpha_bars <= 0.5).nonzero() lists the indices that qualify, and may be an empty list.

compare: a for loop over the seven times, an f-string for each row, then three numbers. Signs matter.
"""

MISTAKES = rf"""
return (1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)).cumprod(0) -> return 1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)
    linear_schedule gives the alpha of each single step: alpha-bar is the product of all of them so far.
return (1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)).cumprod(0) -> return torch.linspace(beta_start, beta_end, T, dtype=torch.float64)
    linear_schedule gives the betas: go on from there to alpha-bars.
(1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)).cumprod(0) -> torch.linspace(beta_start, beta_end, T, dtype=torch.float64).cumprod(0)
    linear_schedule multiplies the betas; what is left after a step is one minus beta.
(1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)).cumprod(0) -> (1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)).cumprod(0).sqrt()
    linear_schedule gives square roots; alpha-bar itself is asked for.
torch.linspace(beta_start, beta_end, T, dtype=torch.float64) -> torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
    linear_schedule does not use beta_start and beta_end.
torch.linspace(beta_start, beta_end, T, dtype=torch.float64) -> torch.linspace(beta_start, beta_end, T).double()
    linear_schedule is rounded to float32 before it becomes float64: give dtype= to what makes the line.
torch.linspace(beta_start, beta_end, T, dtype=torch.float64) -> torch.linspace(beta_start**0.5, beta_end**0.5, T, dtype=torch.float64) ** 2
    linear_schedule is scaled-linear: here beta itself goes in a straight line.
ScheduleComparator.linear_schedule := lambda self, T, start=1e-4, end=0.02: torch.cat([torch.ones(1), (1 - torch.linspace(start, end, T, dtype=torch.float64)).cumprod(0)])
    linear_schedule has an entry too many: with the 0-based t of this exercise the first one is not clean.
ScheduleComparator.linear_schedule := lambda self, T, start=1e-4, end=0.02: torch.cat([torch.ones(1), (1 - torch.linspace(start, end, T, dtype=torch.float64)).cumprod(0)])[:-1]
    linear_schedule begins with the clean 1 and leaves its last step out: with the 0-based t the first one is not clean.
(f / f[0])[1:] -> f / f[0]
    cosine_schedule has T + 1 entries: it should drop the leading 1, to match linear_schedule index by index.
(f / f[0])[1:] -> (f / f[0])[:-1]
    cosine_schedule dropped its last entry; the leading 1 is the one to drop.
(f / f[0])[1:] -> 1 - f[1:] / f[:-1]
    cosine_schedule gives betas: alpha-bars are asked for.
(f / f[0])[1:] -> (1 - f[1:] / f[:-1]).clamp(max=0.999)
    cosine_schedule gives betas: alpha-bars are asked for.
(f / f[0])[1:] -> f[1:] / f[1]
    cosine_schedule is divided by its value after the first step; it belongs over the one at t = 0.
torch.pi / 2) ** 2 -> torch.pi / 2)
    In cosine_schedule alpha-bar follows the square of a cosine, and yours the cosine itself.
(f / f[0])[1:] -> f[1:]
    cosine_schedule is not divided by its value at t = 0, so it does not begin at clean data.
(t / T + s) / (1 + s) -> (t / T + 0.008) / 1.008
    cosine_schedule does not use s.
{decibels("alpha_bar_t", "signal_to_noise_ratio: ")}
return int(below[0]) if len(below) else -> return int(below[0]) + 1 if len(below) else
    find_zero_crossing is one too high where there is a crossing: indices begin at 0.
ScheduleComparator.find_zero_crossing := lambda self, a: int((a <= 0.5).nonzero()[0]) + 1 if (a <= 0.5).any() else len(a)
    find_zero_crossing counts from one: indices begin at 0.
ScheduleComparator.find_zero_crossing := lambda self, a: max(int((a > 0.5).sum()) - 1, 0)
    find_zero_crossing gives the last index where the signal is still stronger; the next one is asked for.
ScheduleComparator.find_zero_crossing := lambda self, a: int((a > 0.5).sum()) - 1
    find_zero_crossing gives the last index where the signal is still stronger; the next one is asked for.
ScheduleComparator.find_zero_crossing := lambda self, a: int((a > 0.5).nonzero()[-1]) if (a > 0.5).any() else 0
    find_zero_crossing gives the last index where the signal is still stronger; the next one is asked for.
ScheduleComparator.find_zero_crossing := lambda self, a: int((a - 0.5).abs().argmin())
    find_zero_crossing gives the index that comes nearest to one half: the first one at or below it is asked for.
ScheduleComparator.find_zero_crossing := lambda self, a: int((a <= 0.5).nonzero()[-1]) if (a <= 0.5).any() else len(a) - 1
    find_zero_crossing gives the last index at or below one half: the first one is asked for.
(alpha_bars <= 0.5) -> (alpha_bars < 0.5)
    find_zero_crossing misses an alpha-bar of exactly one half: signal and noise are equal there, which counts.
else len(alpha_bars) - 1 -> else 0
    Where nothing crosses, find_zero_crossing gives 0, as if all were noise. Give the last index there.
else len(alpha_bars) - 1 -> else -1
    Where nothing crosses, find_zero_crossing gives a negative number: an index counted from the start is asked for.
else len(alpha_bars) - 1 -> else None
    Where nothing crosses, find_zero_crossing gives None: there the last index is asked for.
else len(alpha_bars) - 1 -> else len(alpha_bars)
    Where nothing crosses, find_zero_crossing gives an index past the end: there the last one is asked for.
return int(below[0]) if len(below) else len(alpha_bars) - 1 -> return int(below[0])
    Where nothing crosses, find_zero_crossing fails: there may be no such index, and then it is the last one.
self.linear_schedule(T), self.cosine_schedule(T) -> self.linear_schedule(1000), self.cosine_schedule(1000)
    compare does not use T.
for a in (linear, cosine)) -> for a in (cosine, linear))
    In the table of compare the two schedules have changed places: the linear one comes first.
self.signal_to_noise_ratio(a[t]):7.1f -> self.signal_to_noise_ratio(cosine[t]):7.1f
    The table of compare shows the decibels of the cosine schedule for both.
self.signal_to_noise_ratio(a[t]):7.1f -> self.signal_to_noise_ratio(linear[t]):7.1f
    The table of compare shows the decibels of the linear schedule for both.
(f"{{a[t]:.4f}} {{self.signal_to_noise_ratio(a[t]):7.1f}} dB" -> (f"{{a[t - 1]:.4f}} {{self.signal_to_noise_ratio(a[t - 1]):7.1f}} dB"
    Every row of compare's table is one step early: here t is the index.
(f"{{a[t]:.4f}} {{self.signal_to_noise_ratio(a[t]):7.1f}} dB" -> (f"{{a[max(t - 1, 0)]:.4f}} {{self.signal_to_noise_ratio(a[max(t - 1, 0)]):7.1f}} dB"
    Every row of compare's table is one step early: here t is the index.
(f"{{a[t]:.4f}} {{self.signal_to_noise_ratio(a[t]):7.1f}} dB" -> (f"{{a[t * T // 1000]:.4f}} {{self.signal_to_noise_ratio(a[t * T // 1000]):7.1f}} dB"
    compare stretches the times of its table with T: they are the same for every T.
{{a[t]:.4f}} -> {{100 * a[t]:.2f}}
    The table of compare has alpha-bar in percent: give it as it is, a number from 0 to 1.
{{a[t]:.4f}} -> {{a[t].sqrt():.4f}}
    The table of compare has the square root of alpha-bar: alpha-bar itself is asked for.
{{first}} and {{second}} -> {{second}} and {{first}}
    compare says which schedule crosses where the wrong way round: the linear one comes first.
{{second - first}} -> {{first - second}}
    compare says by how many steps the cosine schedule keeps the signal *longer*: yours is negative, so turn it round.
print(f"0 dB at t = {{first}} and {{second}}: the cosine schedule keeps the signal {{second - first}} steps longer") -> pass
    compare prints the rows of the table, but under it belong both crossings and how many steps lie between them.
: the cosine schedule keeps the signal {{second - first}} steps longer ->
    compare prints both crossings, but not how many steps longer the cosine schedule keeps the signal.
ScheduleComparator.find_zero_crossing := lambda self, a: int((a > 0.5).nonzero()[-1])
    find_zero_crossing gives the last index where the signal is still stronger; the next one is asked for.
return int(below[0]) if len(below) else -> return max(1, int(below[0])) if len(below) else
    find_zero_crossing never gives 0, but there may be more noise than signal from the first index on.
ScheduleComparator.find_zero_crossing := lambda self, a: next((i for i in range(1, len(a)) if a[i - 1] > 0.5 >= a[i]), len(a) - 1)
    find_zero_crossing looks for a change, and finds none where all is noise from the first index on: there it is 0.
self.signal_to_noise_ratio(a[t]):7.1f -> self.signal_to_noise_ratio(a[t]):7.0f
    The table of compare has whole decibels: give one digit after the point at least.
{{a[t]:.4f}} -> {{a[t]:.1f}}
    The table of compare has one digit of alpha-bar: give two after the point at least.
{{a[t]:.4f}} -> {{1 - a[t]:.4f}}
    The table of compare has one minus alpha-bar, the noise: the part of the signal is asked for.
(f"{{a[t]:.4f}} {{self.signal_to_noise_ratio(a[t]):7.1f}} dB" -> (f"{{a[min(t + 1, T - 1)]:.4f}} {{self.signal_to_noise_ratio(a[min(t + 1, T - 1)]):7.1f}} dB"
    Every row of compare's table is one step late: here t is the index.
"""

RIGHT = """
(f / f[0])[1:] -> (f[1:] / f[:-1]).clamp(min=0.001).cumprod(0)
print(f"0 dB at t = {first} and {second}: the cosine schedule keeps the signal {second - first} steps longer") -> print("linear crossing:", first); print("cosine crossing:", second); print("longer by", second - first)
print(f"0 dB at t = {first} and {second}: -> print(f"cosine crosses at {second}, linear at {first}:
print(f"0 dB at t = {first} and {second}: -> print(f"crossings (linear, cosine): {first}, {second}.
print(f"0 dB at t = {first} and {second}: -> print(f"{first} (linear), {second} (cosine);
print(f"{t:4}", *columns, sep="    ") -> print(f"| t={t} |", " | ".join(columns))
columns = (f"{a[t]:.4f} {self.signal_to_noise_ratio(a[t]):7.1f} dB" for a in (linear, cosine)) -> columns = [f"{linear[t]:.3f} {cosine[t]:.3f}"] + [f"{self.signal_to_noise_ratio(a[t]):.2f}" for a in (linear, cosine)]
"""

EQUIVALENT = """
(1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)).cumprod(0) -> (1 - torch.linspace(beta_start, beta_end, T, dtype=torch.float64)).cumprod(-1)
    there is one axis
print(' t linear cosine') -> pass
    a head for the table is not asked for
print(' t linear cosine') -> ' t linear cosine'
    a head for the table is not asked for
print(f'{t:4}', *columns, sep=' ') -> print(f'{t:4}', *columns)
    how far apart the columns stand does not matter
"""

WRONG = """
print(f"{t:4}", *columns, sep="    ") -> print(f"{t:4}", *columns, sep="    ") if t - 750 else None
below = -> return (alpha_bars > 0.5).sum().clamp(max=len(alpha_bars) - 1) #
print("   t    linear            cosine") -> return "a table"
print(f"0 dB at t = {first} and {second}: -> print(f"linear {second}, cosine {first}:
"""
