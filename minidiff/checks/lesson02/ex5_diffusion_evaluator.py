"""2.5 DiffusionEvaluator: what is a loss worth?"""

import torch

from minidiff.checks import Case
from minidiff.checks.parts import columns, table, uniform, whole
from minidiff.checks.solution import Solution


def _rows(made_with):
    """Reads what `run_evaluation` prints; the random numbers may be others, since they are drawn one after another."""
    evaluator = Solution.of("2.5").answers["DiffusionEvaluator"](*made_with)
    rows = []
    for name, tolerance in (("zero", 0.0062), ("random", 0.2), ("perfect", 0.0062)):
        _, *means = evaluator.evaluate_predictor(getattr(evaluator, f"{name}_predictor"), name).values()
        rows.append((name, means, tolerance))
    return table(*rows)


def _rounded(x):
    """float32, which is enough for what the class keeps."""
    return x.float()


def probe(xt, t):
    """A predictor that depends on all that it is given, and on which sample is which."""
    return 0.7 * xt * columns(torch.as_tensor(t) / 90 - 1, xt) + 0.3


def halves(xt, t):
    return xt / 2


def drawn_twice(evaluator):
    """What random_predictor gives for the same input, twice in a row."""
    xt, t = evaluator.xt[:4], evaluator.t[:4]
    return [evaluator.random_predictor(xt, t) for _ in range(2)]


def cases(g):
    def case(member, made_with, *args, **kwargs):
        return Case(f"DiffusionEvaluator.{member}", args, made_with=made_with, **kwargs)

    seeds = [whole(g, 1, 10**6) for _ in range(5)]
    shared = (12, 40, (2, 3), seeds[0])  # 40 samples, 12 timesteps
    many = (200, 2000, (2, 1, 3), seeds[1])  # all timesteps
    short = (90, 30, (3, 2), seeds[2])  # two bins are empty
    long = (400, 200, (1, 3, 2), seeds[2])  # half of the timesteps are in no bin
    large = (200, 60, (4, 16, 16))  # so many pixels that the mean over a bin hardly varies
    times = Solution.of("2.5").answers["DiffusionEvaluator"](*shared).t
    x, t = torch.randn(7, 2, 3, generator=g), times[torch.randint(0, 40, (7,), generator=g)]
    return [
        *(case("x0", made) for made in (shared, short, ())),
        *(case("eps", made) for made in (shared, short, ())),
        *(case("t", made) for made in (many, shared, ())),
        *(case("alpha_bars", made, read=_rounded) for made in (shared, many, ())),
        *(case("xt", made, read=_rounded) for made in (shared, many, ())),
        case("zero_predictor", shared, x, t),
        case("zero_predictor", short, torch.randn(4, 3, 2, generator=g), torch.arange(4)),
        case("random_predictor", shared, x, t),
        case("random_predictor", short, torch.randn(4, 3, 2, generator=g), torch.arange(4)),
        Case("DiffusionEvaluator", shared, read=drawn_twice),
        case("perfect_predictor", shared, x, t),
        case("perfect_predictor", shared, x.flip(0), t.flip(0)),
        case("evaluate_predictor", many, probe, "probe"),
        case("evaluate_predictor", short, halves, "halves"),
        case("evaluate_predictor", (200, 50, (1, 5, 4), 42), probe, "another"),
        case("evaluate_predictor", long, halves, "halves"),
        *(
            case("run_evaluation", made, printed=_rows(made))
            for made in ((*large, seeds[3]), (90, *large[1:], seeds[4]), ())
        ),
        *(
            Case("best_predictor", (torch.randn(shape, generator=g, dtype=dtype), uniform(g, 0.05, 0.95, shape[0])))
            for shape, dtype in (((4, 3, 2, 4), torch.float32), ((5, 2), torch.float64), ((3, 2, 3), torch.float32))
        ),
    ]


HINTS = """
The constructor: one torch.Generator, seeded and kept as an attribute. torch.randn and torch.randint take it as
generator=. torch.manual_seed would change the random numbers of the whole notebook.

xt: exercise 1.3 again, with alpha_bars[t], because t is 0-based here and alpha_bars has no clean entry.

perfect_predictor: a dictionary from a timestep, int(t), to the noise of its sample. torch.stack makes a batch of a list.

evaluate_predictor: one error for each sample first, then a mask of the samples in a bin. The mean of no numbers is nan by
itself. .item() makes a float of a tensor.

best_predictor: x_0 and eps are independent, both with variance 1, so x_t has variance 1 too. How much of x_t goes along
with eps? The best straight line through (x_t, eps) has that slope.
"""

_EPS = "self.eps = torch.randn(n_samples, *img_shape, generator=self.generator)"
_T = "self.t = torch.randint(0, T, (n_samples,), generator=self.generator)"
_BARS = "self.alpha_bars = (1 - torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).cumprod(0)"
_MIXED = "self.xt = a.sqrt() * self.x0 + (1 - a).sqrt() * self.eps"
_LOOKED_UP = "return torch.stack([self.noise_at[int(i)] for i in t])"
_INSIDE = "(low <= self.t) & (self.t < low + 50)"
_MEAN = "errors[inside].mean().item()"
_PRINT = """print(f"{row.pop('name'):12}", *(f"{value:9.4f}" for value in row.values()))"""
_BEST = "return (1 - alpha_bar).sqrt().to(xt).reshape(-1, *[1] * (xt.ndim - 1)) * xt"
_ANEW = "random_predictor starts a generator of its own: go on with the one that drew x0, eps and t."
MISTAKES = rf"""
\n        {_EPS} ->  && self.x0 = torch.randn( -> {_EPS}\n        self.x0 = torch.randn(
    You drew eps before x0: with one seed the order matters, and x0 comes first.
\n        {_T} ->  && self.x0 = torch.randn( -> {_T}\n        self.x0 = torch.randn(
    You drew t before x0: with one seed the order matters, and t comes last.
\n        {_T} ->  && self.eps = torch.randn( -> {_T}\n        self.eps = torch.randn(
    You drew t before eps: with one seed the order matters, and t comes last.
manual_seed(seed) -> manual_seed(42)
    Your numbers do not depend on the seed that is given.
self.x0 = torch.randn( -> self.x0 = torch.rand(
    Your x0 is drawn evenly between 0 and 1: normally distributed numbers are asked for.
{_EPS} -> self.eps = self.x0.clone()
    Your x0 and eps are the same numbers: draw twice from one generator.
torch.randint(0, T, -> torch.randint(1, T + 1,
    Your timesteps run from 1 to T. Here they are 0-based: from 0 to one less than T.
torch.randint(0, T, -> torch.randint(0, T + 1,
    Your timesteps may be T itself, for which there is no alpha-bar: the last one is one less.
torch.randint(0, T, -> torch.randint(0, 200,
    Your timesteps do not depend on T.
torch.randint(0, T, -> torch.randint(0, T - 1,
    Your timesteps never reach the last one: the upper limit of randint does not count itself.
{_T} -> self.t = torch.randint(0, T, (n_samples,), generator=torch.Generator().manual_seed(seed))
    Your timesteps come from a generator of their own: go on with the one that drew x0 and eps.
{_BARS} -> self.alpha_bars = 1 - torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
    alpha_bars has the alphas of single steps: they are products of all the alphas so far.
{_BARS} -> self.alpha_bars = torch.linspace(1e-4, 0.02, T, dtype=torch.float64)
    alpha_bars has the betas: alpha-bar is what is left after all the steps so far.
{_BARS} -> self.alpha_bars = torch.linspace(1e-4, 0.02, T, dtype=torch.float64).cumprod(0)
    alpha_bars multiplies the betas; what a step leaves is one minus beta.
{_BARS} -> self.alpha_bars = (1 - torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).cumprod(0).sqrt()
    alpha_bars has square roots, which is what x0 is multiplied by: alpha-bar itself is to be kept.
{_BARS} -> self.alpha_bars = torch.cat([torch.ones(1), (1 - torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).cumprod(0)])
    alpha_bars begins with the clean 1: with the 0-based t of this exercise, t = 0 is after the first step.
{_BARS} -> self.alpha_bars = torch.cat([torch.ones(1), (1 - torch.linspace(1e-4, 0.02, T, dtype=torch.float64)).cumprod(0)[:-1]])
    alpha_bars begins with the clean 1 and leaves the last step out: here t = 0 is after the first step.
torch.linspace(1e-4, 0.02, T, dtype=torch.float64) -> torch.linspace(1e-2, 0.02**0.5, T, dtype=torch.float64) ** 2
    Your betas are not linear: here they go in a straight line from 1e-4 to 0.02.
torch.linspace(1e-4, 0.02, T, dtype=torch.float64) -> torch.linspace(1e-4, 0.02, 200, dtype=torch.float64)
    The number of your betas does not depend on T.
torch.linspace(1e-4, 0.02, T, dtype=torch.float64) -> torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)[:T]
    Your betas are the first of a thousand: here T of them go all the way.
torch.linspace(1e-4, 0.02, T, dtype=torch.float64) -> torch.linspace(1e-4, 0.2, T, dtype=torch.float64)
    Your betas end ten times too high: the last one is 0.02.
{_MIXED} -> self.xt = a * self.x0 + (1 - a) * self.eps
    xt is mixed with powers; picture and noise are multiplied by amplitudes.
{_MIXED} -> self.xt = a.sqrt() * self.x0 + (1 - a) * self.eps
    In xt the noise is multiplied by its variance, where a standard deviation belongs.
{_MIXED} -> self.xt = (1 - a).sqrt() * self.x0 + a.sqrt() * self.eps
    In xt picture and noise have changed places: at small t it should be nearly clean.
{_MIXED} -> self.xt = self.x0 + (1 - a).sqrt() * self.eps
    In xt the picture stays whole: it fades as the noise comes.
self.alpha_bars[self.t].float() -> self.alpha_bars[self.t - 1].float()
    xt is one step too clean: t is the index here.
return torch.zeros_like(xt) -> return xt.clone()
    zero_predictor gives the noisy picture back: it should guess that there is no noise at all.
return torch.zeros_like(xt) -> return torch.ones_like(xt)
    zero_predictor gives ones.
return torch.randn(xt.shape, generator=self.generator) -> return self.x0.flatten()[: xt.numel()].reshape(xt.shape)
    random_predictor gives the numbers of x0 once more: a second generator with the same seed repeats the first. Go on with the one that you have.
return torch.randn(xt.shape, generator=self.generator) -> return torch.rand(xt.shape, generator=self.generator)
    random_predictor draws evenly between 0 and 1; noise is normally distributed.
return torch.randn(xt.shape, generator=self.generator) -> return torch.randn(xt.shape[1:], generator=self.generator).expand_as(xt)
    random_predictor gives every sample the same noise.
return torch.randn(xt.shape, generator=self.generator) -> return xt + torch.randn(xt.shape, generator=self.generator)
    random_predictor adds its noise to the picture; it should not look at the picture at all.
{_LOOKED_UP} -> return torch.stack([self.eps[(self.t == i).int().argmax()] for i in t])
    Where two samples share a timestep, perfect_predictor should give the noise of the later one.
{_LOOKED_UP} -> return torch.stack([self.xt[(self.t == i).nonzero()[-1, 0]] for i in t])
    perfect_predictor keeps the noisy pictures; the noise in them is what it should give.
{_LOOKED_UP} -> return torch.stack([self.x0[(self.t == i).nonzero()[-1, 0]] for i in t])
    perfect_predictor keeps the clean pictures; the noise is what it should give.
{_LOOKED_UP} -> return self.eps[: len(xt)]
    perfect_predictor goes by the place in the batch; the tutorial's looks up by timestep, and is handed other batches here.
{_LOOKED_UP} -> return self.eps.clone()
    perfect_predictor goes by the place in the batch; the tutorial's looks up by timestep, and is handed other batches here.
{_LOOKED_UP} -> return self.eps[t]
    perfect_predictor takes the timestep for the number of a sample: look for the sample that has this timestep.
{_LOOKED_UP} -> return torch.stack([self.noise_at[int(t[0])] for i in t])
    perfect_predictor looks only at the first t: each sample has its own.
{_LOOKED_UP} -> a = self.alpha_bars[t].float().reshape(-1, *[1] * (xt.ndim - 1))\n        return (xt - a.sqrt() * self.x0) / (1 - a).sqrt()
    perfect_predictor works the noise out from all the clean pictures: it is handed other batches here, so look it up by timestep.
.square().flatten(1).mean(1) -> .square().flatten(1).sum(1)
    evaluate_predictor sums over the pixels: a mean is asked for.
{_MEAN} -> errors[inside].sum().item() if inside.any() else float("nan")
    evaluate_predictor sums over the samples of a bin; a mean is asked for.
{_MEAN} -> (errors[inside].sum() / len(errors)).item()
    evaluate_predictor divides by the number of all samples: each bin has its own number of them.
.square().flatten(1).mean(1) -> .abs().flatten(1).mean(1)
    evaluate_predictor averages absolute errors, not their squares.
{_MEAN} -> errors[inside].mean().sqrt().item()
    evaluate_predictor takes a square root at the end: the mean of the squares is asked for.
self.t) - self.eps) -> self.t) - self.x0)
    evaluate_predictor compares with x0: the truth here is the noise.
self.t) - self.eps) -> self.t) - self.xt)
    evaluate_predictor compares with xt: the truth here is the noise.
predictor(self.xt, self.t) -> predictor(self.x0, self.t)
    evaluate_predictor shows the predictor clean pictures: it should see the noisy ones.
predictor(self.xt, self.t) -> predictor(self.xt, self.t + 1)
    evaluate_predictor tells the predictor times that are one too high: here t is 0-based.
{_INSIDE} -> (low - (low == 0) < self.t) & (self.t <= low + 50)
    A timestep of exactly 50, 100 or 150 is in the wrong bin: it begins a new one.
{_INSIDE} -> (low <= self.t) & (self.t <= low + 50)
    A timestep of exactly 50, 100 or 150 is in two bins: it begins a new one.
{_INSIDE} -> (low < self.t) & (self.t < low + 50)
    The first timestep of each bin is left out.
{_INSIDE} -> (low <= self.t) & (self.t < low + 49)
    The last timestep of each bin, 49 for the first, is left out.
{_INSIDE} -> self.t * 4 // len(self.alpha_bars) == low // 50
    Your bins are the quarters of T. Their edges are as their names say, for every T.
{_INSIDE} -> self.t >= 0
    All four of your bins hold the same number: each has its own samples.
{_INSIDE} -> self.t < low + 50
    Your bins hold everything up to their upper end; each begins where the one before it stops.
{_MEAN} -> {_MEAN} if inside.any() else 0.0
    An empty bin gives 0, as if the predictor were perfect there: nothing is known, so give nan.
{_MEAN} -> {_MEAN} if inside.any() else None
    An empty bin gives None: nothing is known there, so give nan, which is a float.
("zero", "random", "perfect") -> ("zero", "random")
    run_evaluation does not print all three predictors.
{{value:9.4f}} -> {{value:9.0f}}
    run_evaluation prints too few digits: two after the point, at least.
{{value:9.4f}} -> {{value:9.1f}}
    run_evaluation prints too few digits: two after the point, at least.
{_PRINT} -> print(row.pop("name"), sum(row.values()) / 4)
    run_evaluation prints one number a predictor: the four bins are asked for.
{_PRINT} -> row.pop("name"), print(*row.values())
    run_evaluation prints the numbers without the predictor's name.
{_PRINT} -> print(row.pop("name"), *list(row.values())[::-1])
    run_evaluation prints the bins from the last to the first: the one at the smallest t comes first.
print(f"{{row.pop('name'):12}}" -> print({{"zero": "perfect", "perfect": "zero"}}.get(row.pop("name"), "random")
    run_evaluation has a wrong name on the lines of the zero and the perfect predictor.
{_BEST} -> return xt.clone()
    best_predictor takes all of x_t for noise. Part of it is the picture: how large is the noise's part?
{_BEST} -> return alpha_bar.sqrt().to(xt).reshape(-1, *[1] * (xt.ndim - 1)) * xt
    best_predictor is large where x_t is clean: you took the picture's amplitude for that of the noise.
{_BEST} -> return (1 - alpha_bar).to(xt).reshape(-1, *[1] * (xt.ndim - 1)) * xt
    best_predictor multiplies by the noise's variance; what eps and x_t have in common is its amplitude.
{_BEST} -> return xt / (1 - alpha_bar).sqrt().to(xt).reshape(-1, *[1] * (xt.ndim - 1))
    best_predictor acts as if x_t were all noise and divides by its amplitude: the less noise there is, the wilder its guess.
{_BEST} -> return (1 - alpha_bar[0]).sqrt().to(xt) * xt
    best_predictor uses the first alpha-bar for all samples: each has its own.
{_BEST} -> return 0 * xt
    best_predictor gives zeros: it can do better than that.
{_BEST} -> return (1 - alpha_bar).sqrt().to(xt) * xt
    In best_predictor the levels run along the last axis of xt, not along the batch: torch lines shapes up from the right.
{_BEST} -> return (1 - alpha_bar).sqrt().to(xt).reshape(-1, 1, 1, 1) * xt
    The levels of best_predictor fit samples of one number of dimensions only: xt may have fewer or more.
{_BEST} -> return (1 - alpha_bar).sqrt().to(xt).reshape(-1, 1, 1) * xt
    The levels of best_predictor fit samples of one number of dimensions only: xt may have fewer or more.
{_BEST} -> return (1 - alpha_bar).sqrt().to(xt)[:, None] * xt
    The levels of best_predictor fit samples of one number of dimensions only: xt may have fewer or more.
{_BEST} -> a = alpha_bar.to(xt).reshape(-1, *[1] * (xt.ndim - 1))\n    return (1 - a).sqrt() / a.sqrt() * xt
    best_predictor divides by the picture's amplitude: x_t has variance 1 already, so nothing is left to divide by.
{_BEST} -> return -(1 - alpha_bar).sqrt().to(xt).reshape(-1, *[1] * (xt.ndim - 1)) * xt
    best_predictor has the wrong sign: where the noise is large and positive, so is x_t.
{_INSIDE} -> (low <= self.t) & ((self.t < low + 50) | (low == 150))
    Your last bin holds all the later timesteps, too: as its name says, it ends at 199.
return torch.randn(xt.shape, generator=self.generator) -> return torch.randn(xt.shape, generator=torch.Generator().manual_seed(42))
    {_ANEW}
return torch.randn(xt.shape, generator=self.generator) -> return torch.randn(xt.shape, generator=torch.Generator().manual_seed(0))
    {_ANEW}
DiffusionEvaluator.random_predictor := _drawn_once
    random_predictor gives the same noise at each call: it should draw anew, with the generator that goes on.
{_LOOKED_UP} -> a = self.alpha_bars[t].float().reshape(-1, *[1] * (xt.ndim - 1))\n        return (xt - a.sqrt() * self.x0[: len(xt)]) / (1 - a).sqrt()
    perfect_predictor works the noise out from all the clean pictures: it is handed other batches here, so look it up by timestep.
{_LOOKED_UP} -> a = self.alpha_bars[t].reshape(-1, *[1] * (xt.ndim - 1))\n        return ((xt - a.sqrt() * self.x0[: len(xt)]) / (1 - a).sqrt()).float()
    perfect_predictor works the noise out from all the clean pictures: it is handed other batches here, so look it up by timestep.
{_LOOKED_UP} -> return torch.stack([self.noise_at[int(i)] for i in self.t[: len(t)]])
    perfect_predictor looks up the timesteps of the class, not those that it is given.
torch.linspace(1e-4, 0.02, T, dtype=torch.float64) -> torch.linspace(0.1 / T, 20 / T, T, dtype=torch.float64)
    Your betas are larger where T is small, as some programs make them. Here they go from 1e-4 to 0.02 for every T.
getattr(self, f"{{name}}_predictor") -> self.zero_predictor
    run_evaluation asks the zero predictor each time: each line has its own predictor.
getattr(self, f"{{name}}_predictor") -> self.perfect_predictor
    run_evaluation asks the perfect predictor each time: each line has its own predictor.
"""

RIGHT = """
DiffusionEvaluator.evaluate_predictor := one_by_one
print(f"{row.pop('name'):12}", *(f"{value:9.4f}" for value in row.values())) -> print("|", row.pop("name").title(), "|", " | ".join(f"{value:.2f}" for value in row.values()), "|")
self.alpha_bars[self.t].float() -> self.alpha_bars[self.t]
(1 - torch.linspace(1e-4, 0.02, T, dtype=torch.float64)) -> (1 - torch.linspace(1e-4, 0.02, T))
"""

WRONG = """
self.x0 = torch.randn(n_samples, *img_shape, generator=self.generator) -> self.x0 = torch.randn(n_samples, *img_shape, generator=self.generator).sigmoid()
(n_samples,), generator=self.generator) -> (n_samples,), generator=self.generator).sort().values
self.alpha_bars = ( -> self.bars = self.alpha_bars = ( && self.noise_at = -> del self.alpha_bars\\n        self.noise_at = 
DiffusionEvaluator.zero_predictor := lambda self, xt, t: 1e-3 * xt
DiffusionEvaluator.zero_predictor := lambda self, xt, t: torch.zeros(len(xt))
DiffusionEvaluator.random_predictor := lambda self, xt, t: torch.randn_like(xt)
DiffusionEvaluator.random_predictor := lambda self, xt, t: 2 * torch.randn(xt.shape, generator=self.generator)
DiffusionEvaluator.perfect_predictor := lambda self, xt, t: torch.stack([self.eps[self.t == i].mean(0) for i in t])
.square().flatten(1).mean(1) -> .square().flatten(1)[:, 0]
self.t < low + 50 -> self.t < low + 40
row[f"{low}-{low + 49}"] = -> row[f"{low}-{low + 50}"] =
row = {"name": name} -> row = {"name": "predictor"}
return row -> return list(row.values())
print("t                0-49    50-99   100-149   150-199") -> return print("zero 1.00 1.00 1.00 1.00\\\\nrandom 2.0 2.0 2.0 2.0\\\\nperfect 0.0 0.0 0.0 0.0")
def best_predictor(xt, alpha_bar): -> def best_predictor(xt, alpha_bar):\\n    xt = xt.double()
def best_predictor(xt, alpha_bar): -> def best_predictor(xt, alpha_bar):\\n    alpha_bar = alpha_bar.mean()[None]
"""

EQUIVALENT = """
torch.linspace(0.0001, 0.02, T, dtype=torch.float64) -> torch.linspace(0.0001, 0.02, T)
    float32 is enough for 200 steps, and float64 is not asked for
(1 - torch.linspace(0.0001, 0.02, T, dtype=torch.float64)).cumprod(0) -> (1 - torch.linspace(0.0001, 0.02, T, dtype=torch.float64)).cumprod(-1)
    there is one axis
self.alpha_bars[self.t].float() -> self.alpha_bars[self.t]
    xt in float64 is right, too
zip(self.t, self.eps, strict=True) -> zip(self.t, self.eps)
    they are equally long
zip(self.t, self.eps, strict=True) -> zip(self.t, self.eps, strict=False)
    they are equally long
(predictor(self.xt, self.t) - self.eps).square().flatten(1).mean(1) -> (predictor(self.xt, self.t) - self.eps).square().flatten(1)
    all samples have as many pixels, so the mean of their means is the mean of all
(predictor(self.xt, self.t) - self.eps).square().flatten(1) -> (predictor(self.xt, self.t) - self.eps).square()
    all samples have as many pixels, so the mean of their means is the mean of all
(predictor(self.xt, self.t) - self.eps).square().flatten(1) -> (predictor(self.xt, self.t) - self.eps).square().flatten(2)
    all samples have as many pixels, so the mean of their means is the mean of all
predictor(self.xt, self.t) - self.eps -> self.eps - predictor(self.xt, self.t)
    the sign goes away in the square
(low <= self.t) & (self.t < low + 50) -> (self.t < low + 50) & (low <= self.t)
    the same
print('t 0-49 50-99 100-149 150-199') -> pass
    a head for the table is not asked for
print('t 0-49 50-99 100-149 150-199') -> 't 0-49 50-99 100-149 150-199'
    a head for the table is not asked for
"""


def _drawn_once(self, xt, t):
    if not hasattr(self, "drawn"):
        self.drawn = torch.randn(xt.shape, generator=self.generator)
    return self.drawn


def one_by_one(self, predictor, name):
    errors = {}
    for xt, eps, t in zip(self.xt, self.eps, self.t.tolist(), strict=True):
        error = (predictor(xt[None], torch.tensor([t]))[0] - eps).square().mean().item()
        errors.setdefault(t // 50, []).append(error)
    bins = {f"{50 * i}-{50 * i + 49}": errors.get(i, [torch.nan]) for i in range(4)}
    return {"name": name, **{bin: sum(found) / len(found) for bin, found in bins.items()}}
