"""Lesson 07, samplers: what the exercises are checked against."""

import math
from types import SimpleNamespace
from unittest import mock

import torch

from minidiff import denoise as denoising
from minidiff import sample
from minidiff import schedule as schedules
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import betas, methods, mistakes, uniform, whole
from minidiff.schedule import Discrete, linear_betas, scaled_linear_betas


def _schedule(g, T):
    """(alpha, sigma) = schedule(t) along betas of no name, as a function, which has no copy that differs from it."""
    own = Discrete(betas(g, T))

    def schedule(t):
        return own(t)

    return schedule


# 7.1 The step of DDIM


def ddim_step(x, x0, t, s, schedule, eta, noise):
    """The reference: one step of `minidiff.sample.ddim`, which draws this very noise."""
    with mock.patch.object(sample, "noise_like", lambda x, generator: noise):
        (x,) = sample.ddim(lambda *_: x0, x, schedule, [t, s], eta)
    return x


def _step_cases(g):
    def case(t, s, eta, *shape, dtype=torch.float64):
        x, x0, noise = (m * torch.randn(shape, generator=g, dtype=dtype) for m in (1.5, 1.5, 1))
        return Case("ddim_step", (x, x0, t, s, _schedule(g, 30), eta, noise))

    return [
        case(whole(g, 20, 30), whole(g, 5, 15), uniform(g, 0.3, 0.7), 2, 3, 4),
        case(whole(g, 8, 20), whole(g, 2, 6), uniform(g, 0.3, 0.7), 5, 2),
        case(25, whole(g, 8, 12), 1.0, 3, 2, 4, 4, dtype=torch.float32),
        case(25, whole(g, 8, 12), 0.0, 4, 3),
        case(whole(g, 3, 20), 0, uniform(g, 0.3, 0.7), 3, 4),
    ]


def _std(a, s, a_s, s_s, eta):
    return eta * s_s * (1 - (a * s_s / (a_s * s)) ** 2).clamp(min=0).sqrt()


def _step(
    *,
    std=_std,
    eps=lambda x, x0, a, s, a_s, s_s: (x - a * x0) / s,
    room=lambda s_s, std: (s_s**2 - std**2).clamp(min=0).sqrt(),
    levels=lambda then, now: then,
    x0_of=lambda x0: x0,
    sum_of=lambda picture, old, new: picture + old + new,
):
    """A wrong ddim_step: each argument is one part of the right one."""

    def wrong(x, x0, t, s, schedule, eta, noise):
        (a, sigma), (a_s, s_s) = schedule(t), schedule(s)
        fresh = std(a, sigma, a_s, s_s, eta)
        guess = x0_of(x0)
        old = room(s_s, fresh) * eps(x, guess, a, sigma, a_s, s_s)
        a_s, _ = levels((a_s, s_s), (a, sigma))
        return sum_of(a_s * guess, old, fresh * noise)

    return wrong


_STEP = Exercise(
    title="a step of DDIM, from no fresh noise to DDPM's",
    reference={"ddim_step": ddim_step},
    cases=_step_cases,
    mistakes=mistakes(
        "ddim_step",
        (
            "makes no room",
            "The fresh noise comes on top of the old, so there is more noise at s than there should be: "
            "what is fresh has to replace a part of what is old.",
            _step(room=lambda s_s, std: s_s),
        ),
        (
            "makes room by subtracting deviations",
            "Deviations of independent noises do not add up, their squares do: so what is left for the old noise "
            "is found by the squares.",
            _step(room=lambda s_s, std: s_s - std),
        ),
        (
            "forgets the fresh noise",
            "The old noise makes room, but nothing moves in: the fresh noise is missing.",
            _step(sum_of=lambda picture, old, new: picture + old),
        ),
        (
            "ignores eta, always 0",
            "eta is not used: your step is the deterministic one, whatever eta says.",
            _step(std=lambda a, s, a_s, s_s, eta: _std(a, s, a_s, s_s, 0)),
        ),
        (
            "ignores eta, always 1",
            "eta is not used: your step is always that of DDPM.",
            _step(std=lambda a, s, a_s, s_s, eta: _std(a, s, a_s, s_s, 1)),
        ),
        (
            "variance for deviation",
            "You multiply the fresh noise by its variance: a standard deviation belongs there.",
            _step(std=lambda a, s, a_s, s_s, eta: _std(a, s, a_s, s_s, eta) ** 2),
        ),
        (
            "eta scales the variance",
            "eta multiplies your variance. In the paper it multiplies the standard deviation.",
            _step(std=lambda a, s, a_s, s_s, eta: _std(a, s, a_s, s_s, math.sqrt(eta))),
        ),
        (
            "the larger variance",
            "That is the larger of DDPM's two variances: the factor with the noise level at s is missing, "
            "and so your last step leaves noise in.",
            _step(std=lambda a, s, a_s, s_s, eta: eta * (1 - (a / a_s) ** 2).sqrt()),
        ),
        (
            "the ratio of sigmas",
            "In the square root, your r is sigma alone; r is sigma over alpha.",
            _step(std=lambda a, s, a_s, s_s, eta: eta * s_s * (1 - (s_s / s) ** 2).sqrt()),
        ),
        (
            "stays at t",
            "Your guess of the picture is still scaled by the alpha of t: the step ends at s.",
            _step(levels=lambda then, now: now),
        ),
        (
            "does not divide",
            "Your eps is as large as the noise in x at t: divide it by sigma, so that its size is 1.",
            _step(eps=lambda x, x0, a, s, a_s, s_s: x - a * x0),
        ),
        (
            "forgets alpha in eps",
            "To get at the noise in x, what has to be taken out is the picture as it is in x, so scaled by alpha.",
            _step(eps=lambda x, x0, a, s, a_s, s_s: (x - x0) / s),
        ),
        (
            "forgets the old noise",
            "All your noise is fresh: then nothing of x is kept but the guess of the picture.",
            lambda x, x0, t, s, schedule, eta, noise: schedule(s)[0] * x0 + schedule(s)[1] * noise,
        ),
        (
            "wrong sign",
            "The old noise has the wrong sign: it is in x, and a part of it stays there.",
            _step(sum_of=lambda picture, old, new: picture - old + new),
        ),
        (
            "clamps",
            "You clamp the guess of the picture. Nothing says that it lies between -1 and 1; latents do not.",
            _step(x0_of=lambda x0: x0.clamp(-1, 1)),
        ),
        (
            "gives the guess",
            "You gave the guess of the picture itself: the step goes only as far as s.",
            lambda x, x0, t, s, schedule, eta, noise: x0.clone(),
        ),
        ("changes its input", MUTATES, lambda x, x0, t, s, *rest: ddim_step(x.mul_(1.001), x0, t, s, *rest)),
    ),
    hints=(
        "Three parts: the guess of the picture at the level of s, what is left of the old noise, and the fresh noise.",
        "The old noise, with size 1, is what x holds besides the picture: solve the line that makes x from x_0 and eps "
        "for eps.",
        "First the deviation of the fresh noise, by the formula with eta. Then the old noise gets the rest: the "
        "squares of both together are the square of sigma at s.",
        "schedule(t) gives two numbers, alpha and sigma; so does schedule(s). The tensor method .sqrt takes a root. "
        "At s = 0 sigma is 0, and so is all noise: no special case is needed.",
    ),
)


# 7.2 and 7.3 Whole samplers


def _states(returned):
    """The states as a list; a bare tensor stays one."""
    return returned if isinstance(returned, torch.Tensor) else list(returned)


def _denoiser(g, dtype):
    """Stands for a network: linear in neither x nor t, and mixing the numbers of a sample."""
    a, b, c = (uniform(g, low, high) for low, high in ((0.6, 1.2), (0.2, 0.5), (0.5, 1.5)))

    def denoise(x, t):
        t = torch.as_tensor(t, dtype=dtype) / 30
        return torch.tanh(a * x + b * x.roll(1, -1) - t) * (1 + 0.5 * torch.cos(3 * t + c))

    return denoise


def _sampler_cases(name):
    def cases(g):
        def case(ts, *shape, dtype=torch.float64):
            x = torch.randn(shape, generator=g, dtype=dtype)
            times = torch.tensor(ts, dtype=torch.float64)
            return Case(name, (_denoiser(g, dtype), x, _schedule(g, 30), times), read=_states)

        middle = whole(g, 14, 19)
        return [
            case([30, 24, middle, 9, 4, 0], 2, 3, 4),
            case([28, 20, middle - 4, 5], 3, 5),  # does not end in clean data
            case([30, 21, 13, 6, 0], 2, 2, 3, 3, dtype=torch.float32),
            case([25, 0], 4, 2),
        ]

    return cases


def _eps(denoise, x, t, schedule):
    alpha, sigma = schedule(t)
    return (x - alpha * denoise(x, t)) / sigma


def _move(x, eps, t, s, schedule):
    (alpha, sigma), (alpha_s, sigma_s) = schedule(t), schedule(s)
    return alpha_s * (x / alpha + (sigma_s / alpha_s - sigma / alpha) * eps)


def _pairs(ts):
    return [*zip(ts[:-1], ts[1:], strict=True)]


def _euler(slope=_eps, move=_move, seen=lambda x, t, s, schedule: x):
    """A wrong euler, from its slope, its move, and what is yielded of a state."""

    def wrong(denoise, x, schedule, ts, generator=None):
        out = []
        for t, s in _pairs(ts):
            x = move(x, slope(denoise, x, t, schedule), t, s, schedule)
            out.append(seen(x, t, s, schedule))
        return out

    return wrong


def _at_first_time(denoise, x, schedule, ts, generator=None):
    return _euler(slope=lambda d, x, t, s: (x - s(t)[0] * d(x, ts[0])) / s(t)[1])(denoise, x, schedule, ts)


def _guesses(denoise, x, schedule, ts, generator=None):
    states = [x, *sample.euler(denoise, x, schedule, ts)]
    return [denoise(x, t) for x, t in zip(states, ts[:-1], strict=False)]


def _without_alpha(x, eps, t, s, schedule):
    return x + (schedule(s)[1] - schedule(t)[1]) * eps


def _in_place(name):
    def wrong(denoise, x, schedule, ts, generator=None):
        for state in list(getattr(sample, name)(denoise, x, schedule, ts)):
            yield x.copy_(state)

    return wrong


def _heun(
    first=_eps, second=_eps, mean=lambda a, b: (a + b) / 2, from_tried=False, look=lambda s, ts, sigma: sigma > 0
):
    """A wrong heun, from its two slopes, their mean, and where it looks again."""

    def wrong(denoise, x, schedule, ts, generator=None):
        for t, s in _pairs(ts):
            eps = first(denoise, x, t, schedule)
            tried = _move(x, eps, t, s, schedule)
            if look(s, ts, schedule(s)[1]):
                eps = mean(eps, second(denoise, tried, s, schedule))
                tried = _move(tried if from_tried else x, eps, t, s, schedule)
            x = tried
            yield x

    return wrong


def _heun_of(change):
    """A wrong heun, from what its second look gives."""

    def wrong(denoise, x, schedule, ts, generator=None):
        for t, s in _pairs(ts):
            eps = _eps(denoise, x, t, schedule)
            tried = _move(x, eps, t, s, schedule)
            if schedule(s)[1] > 0:
                eps = (eps + change(denoise, x, tried, t, s, schedule)) / 2
                tried = _move(x, eps, t, s, schedule)
            x = tried
            yield x

    return wrong


def _mean_of_guesses(denoise, x, schedule, ts, generator=None):
    for t, s in _pairs(ts):
        (alpha, sigma), (alpha_s, sigma_s) = schedule(t), schedule(s)
        x0 = denoise(x, t)
        if sigma_s > 0:
            x0 = (x0 + denoise(_move(x, (x - alpha * x0) / sigma, t, s, schedule), s)) / 2
        x = alpha_s * x0 + sigma_s * (x - alpha * x0) / sigma
        yield x


def _last(name):
    return lambda denoise, x, schedule, ts, generator=None: [*getattr(sample, name)(denoise, x, schedule, ts)][-1]


def _with_first(name):
    return lambda denoise, x, schedule, ts, generator=None: [x, *getattr(sample, name)(denoise, x, schedule, ts)]


def _solver_cases(g):
    return [*_sampler_cases("euler")(g), *_sampler_cases("heun")(g)]


_SOLVERS = Exercise(
    title="two solvers of the curve: Euler and Heun",
    reference={"euler": sample.euler, "heun": sample.heun},
    cases=_solver_cases,
    mistakes=(
        *mistakes(
            "euler",
            (
                "steps in sigma",
                "euler adds the change of sigma times eps to x itself. "
                "The curve is that of x over alpha, and its clock is r.",
                _euler(move=_without_alpha),
            ),
            (
                "yields x over alpha",
                "euler yields x over alpha: bring each state back before you yield it. The next call of denoise, too, "
                "wants x.",
                _euler(seen=lambda x, t, s, schedule: x / schedule(s)[0]),
            ),
            (
                "wrong sign",
                "euler walks the wrong way: r falls, so its change is negative.",
                _euler(move=lambda x, eps, t, s, schedule: _move(x, -eps, t, s, schedule)),
            ),
            (
                "asks at s",
                "euler tells denoise the time it goes to. The state is still at t.",
                lambda denoise, x, schedule, ts, generator=None: _shifted_time(denoise, x, schedule, ts),
            ),
            (
                "asks at the first time",
                "euler always tells denoise the first time: it changes with every step.",
                _at_first_time,
            ),
            (
                "forgets alpha in eps",
                "The slope in euler takes out the guess itself. In x the picture is scaled by alpha.",
                _euler(slope=lambda denoise, x, t, schedule: (x - denoise(x, t)) / schedule(t)[1]),
            ),
            (
                "does not divide",
                "The slope in euler is the noise as large as it is in x: divide by sigma.",
                _euler(slope=lambda denoise, x, t, schedule: x - schedule(t)[0] * denoise(x, t)),
            ),
            (
                "the guess for the slope",
                "euler walks along the guess of the picture. The slope is the noise that this guess leaves.",
                _euler(slope=lambda denoise, x, t, schedule: denoise(x, t)),
            ),
            ("yields guesses", "euler yields the guesses of the picture: the states are asked for.", _guesses),
            (
                "yields the start",
                "euler yields the state it was given as well: begin with the one after the first step.",
                _with_first("euler"),
            ),
            (
                "returns the end",
                "euler gives only the last state: yield each one, in the loop.",
                _last("euler"),
            ),
            (
                "stops early",
                "euler is one state short: the last step goes to the last time.",
                lambda denoise, x, schedule, ts, generator=None: [*sample.euler(denoise, x, schedule, ts)][:-1],
            ),
            ("changes its input", MUTATES, _in_place("euler")),
        ),
        *mistakes(
            "heun",
            (
                "is Euler",
                "heun never looks a second time: this is Euler's method.",
                lambda denoise, x, schedule, ts, generator=None: sample.euler(denoise, x, schedule, ts),
            ),
            (
                "walks on",
                "heun takes its second walk from where the first one ended. It goes back to x and walks once more.",
                _heun(from_tried=True),
            ),
            (
                "the second slope alone",
                "heun walks along the second slope alone: the mean of both is what makes the error so small.",
                _heun(mean=lambda a, b: b),
            ),
            (
                "the sum of the slopes",
                "heun walks along the sum of the slopes, twice as far as it should.",
                _heun(mean=lambda a, b: a + b),
            ),
            (
                "looks again at x",
                "The second look of heun goes to the same state as the first, at another time: "
                "look at the state that was tried.",
                _heun_of(lambda denoise, x, tried, t, s, schedule: _eps(denoise, x, s, schedule)),
            ),
            (
                "looks again at t",
                "The second look of heun is told the time t. The state that was tried is at s.",
                _heun_of(lambda denoise, x, tried, t, s, schedule: _eps(denoise, tried, t, schedule)),
            ),
            (
                "old levels",
                "The second slope of heun asks at s but is computed with alpha and sigma of t.",
                _heun_of(
                    lambda denoise, x, tried, t, s, schedule: (
                        (tried - schedule(t)[0] * denoise(tried, s)) / schedule(t)[1]
                    )
                ),
            ),
            (
                "means the guesses",
                "heun takes the mean of the two guesses of the picture. It is the slopes that have to be averaged.",
                _mean_of_guesses,
            ),
            (
                "looks again at clean data",
                "heun asks for the slope where no noise is left, and divides by 0: "
                "there, Euler's step is all there is.",
                _heun(look=lambda s, ts, sigma: True),
            ),
            (
                "spares the last look",
                "heun never looks again in its last step. Only where that step ends in clean data it must not; "
                "a list of times may end before.",
                _heun(look=lambda s, ts, sigma: s > ts[-1]),
            ),
            (
                "yields the start",
                "heun yields the state it was given as well: begin with the one after the first step.",
                _with_first("heun"),
            ),
            ("returns the end", "heun gives only the last state: yield each one, in the loop.", _last("heun")),
            ("changes its input", MUTATES, _in_place("heun")),
        ),
    ),
    hints=(
        "Both are a loop over pairs of neighbouring times. zip of ts[:-1] and ts[1:] gives them.",
        "The slope at t is eps: x without the guessed picture as it is in x, over sigma. Write it as a function; heun "
        "needs it twice.",
        "The move: x over alpha, plus the change of r times the slope; and then times the alpha of s, to have x again.",
        "heun: slope, move, slope at the place and time you came to, mean of both, move again from x. Ask "
        "schedule(s) whether there is noise left before you look a second time.",
    ),
)


def _shifted_time(denoise, x, schedule, ts):
    out = []
    for t, s in _pairs(ts):
        (alpha, sigma) = schedule(t)
        x = _move(x, (x - alpha * denoise(x, s)) / sigma, t, s, schedule)
        out.append(x)
    return out


# 7.3 DPM-Solver++ 2M


def _dpm(
    *,
    correct=lambda x0, last, h, h_last: x0 + h / (2 * h_last) * (x0 - last),
    keep=lambda old, new: new,
    keep_h=lambda old, new: new,
    stored=lambda x0, D: x0,
    step=lambda x, D, a, s, a_s, s_s, h: s_s / s * x + a_s * (1 - torch.exp(-h)) * D,
    when=lambda i, n, sigma: i > 0 and sigma > 0,
    seen=lambda x, D: x,
):
    """A wrong dpmpp_2m: each argument is one part of the right one."""

    def wrong(denoise, x, schedule, ts, generator=None):
        last = h_last = None
        for i, (t, s) in enumerate(_pairs(ts)):
            (a, sigma), (a_s, s_s) = schedule(t), schedule(s)
            h = torch.log(sigma / a) - torch.log(s_s / a_s)
            x0 = D = denoise(x, t)
            if when(i, len(ts) - 1, s_s):
                D = correct(x0, last, h, h_last)
            x = step(x, D, a, sigma, a_s, s_s, h)
            last = stored(x0, D) if last is None else keep(last, stored(x0, D))
            h_last = h if h_last is None else keep_h(h_last, h)
            yield seen(x, D)

    return wrong


_DPM = Exercise(
    title="DPM-Solver++ 2M",
    reference={"dpmpp_2m": sample.dpmpp_2m},
    cases=_sampler_cases("dpmpp_2m"),
    mistakes=mistakes(
        "dpmpp_2m",
        (
            "is DDIM",
            "Your sampler never uses the guess of the step before: this is DDIM.",
            lambda denoise, x, schedule, ts, generator=None: sample.ddim(denoise, x, schedule, ts),
        ),
        (
            "wrong sign",
            "The line leads back into the past: the guess goes on in the direction in which it came.",
            _dpm(correct=lambda x0, last, h, h_last: x0 - h / (2 * h_last) * (x0 - last)),
        ),
        (
            "a whole step ahead",
            "You follow the line for a whole step: over the step the guess is, on average, where the line is halfway.",
            _dpm(correct=lambda x0, last, h, h_last: x0 + h / h_last * (x0 - last)),
        ),
        (
            "upside down",
            "The ratio of the two h is upside down: after a short step and before a long one, the line has far to go.",
            _dpm(correct=lambda x0, last, h, h_last: x0 + h_last / (2 * h) * (x0 - last)),
        ),
        (
            "forgets the ratio",
            "You take the steps for equally long. In h they hardly ever are, so the correction depends on both h.",
            _dpm(correct=lambda x0, last, h, h_last: x0 + (x0 - last) / 2),
        ),
        (
            "keeps the first h",
            "h of the last step is that of the first step for ever: remember the newest.",
            _dpm(keep_h=lambda old, new: old),
        ),
        (
            "keeps the first guess",
            "The guess of the last step is that of the first step for ever: remember the newest.",
            _dpm(keep=lambda old, new: old),
        ),
        (
            "remembers D",
            "What you remember is D. The line goes through the guesses themselves.",
            _dpm(stored=lambda x0, D: D),
        ),
        (
            "alpha of t",
            "The guess is scaled by alpha at t: the step ends at s.",
            _dpm(step=lambda x, D, a, s, a_s, s_s, h: s_s / s * x + a * (1 - torch.exp(-h)) * D),
        ),
        (
            "does not shrink x",
            "x itself comes along unchanged: the noise in it has to shrink to the level of s.",
            _dpm(step=lambda x, D, a, s, a_s, s_s, h: x + a_s * (1 - torch.exp(-h)) * D),
        ),
        (
            "shrinks x by alphas",
            "x is scaled by the ratio of the alphas: that belongs to the version that guesses noise. "
            "Here it is the ratio of the sigmas.",
            _dpm(step=lambda x, D, a, s, a_s, s_s, h: a_s / a * x + a_s * (1 - torch.exp(-h)) * D),
        ),
        (
            "forgets the exponential",
            "The weight of the guess is linear in h in yours. It is the exact integral of an exponential.",
            _dpm(step=lambda x, D, a, s, a_s, s_s, h: s_s / s * x + a_s * h.clamp(max=1) * D),
        ),
        (
            "corrects the last step",
            "h is infinite in a step to clean data, and so is your correction: there, take the guess as it is.",
            _dpm(when=lambda i, n, sigma: i > 0),
        ),
        (
            "never corrects the last step",
            "The last step is not corrected, although noise is left after it. "
            "Only a step to clean data has to do without.",
            _dpm(when=lambda i, n, sigma: 0 < i < n - 1),
        ),
        ("yields D", "You yield the guesses: the states are asked for.", _dpm(seen=lambda x, D: D)),
        (
            "yields the start",
            "You yield the state that you were given as well: begin with the one after the first step.",
            _with_first("dpmpp_2m"),
        ),
        ("returns the end", "You gave only the last state: yield each one, in the loop.", _last("dpmpp_2m")),
        ("changes its input", MUTATES, _in_place("dpmpp_2m")),
    ),
    hints=(
        "Begin without the correction: with D equal to the guess it should give the states of DDIM.",
        "lambda is the logarithm of alpha over sigma, and h is lambda at s minus lambda at t. At s = 0 it is infinite, "
        "and e to the minus h is 0: that is fine.",
        "Two variables live from one step to the next: the last guess and the last h. Before the first step they are "
        "None.",
        "Correct only if there is a last guess, and if sigma at s is above 0. Update both variables at the end of "
        "every step.",
    ),
)


# 7.4 Lists of times


def _list_cases(g):
    def odd():
        return 2 * whole(g, 2, 15) + 1  # so that no time lies halfway between two whole ones

    return [
        *(Case("trailing", (T, n)) for T, n in ((1000, 25), (1000, 7), (1000, odd()), (whole(g, 300, 900), odd()))),
        *(Case("leading", (T, n)) for T, n in ((1000, 25), (1000, 7), (whole(g, 300, 900), odd()))),
        *(Case("karras", (uniform(g, 0.002, 0.05), uniform(g, 10, 80), n)) for n in (2, 5, whole(g, 8, 30))),
    ]


def _ending(times, end=(0.0,)):
    return torch.tensor([*times, *end], dtype=torch.float64)


def _power(lo, hi, n, there, back, count=None):
    """Times that are even in there(r)."""
    ends = (there(torch.tensor(r, dtype=torch.float64)).item() for r in (hi, lo))
    return _ending(back(torch.linspace(*ends, count or n, dtype=torch.float64)).tolist())


_LISTS = Exercise(
    title="which times: trailing, leading, Karras",
    reference={"trailing": schedules.trailing, "leading": schedules.leading, "karras": schedules.karras},
    cases=_list_cases,
    mistakes=(
        *mistakes(
            "trailing",
            (
                "counts from 0",
                "Your times are one too low: that is how diffusers counts. "
                "Here the noisy end is T itself, and 0 is clean data.",
                lambda T, n: _ending((schedules.trailing(T, n) - 1)[:-1].tolist()),
            ),
            (
                "never begins at T",
                "trailing should begin at T, the noisy end. Yours begins a step lower.",
                lambda T, n: _ending(round(T - (i + 1) * T / n) + 1 for i in range(n)),
            ),
            (
                "has no end",
                "trailing lacks the last time, 0: without it the sampler stops in a noisy picture.",
                lambda T, n: schedules.trailing(T, n)[:-1],
            ),
            ("rises", "trailing rises: samplers go from noise to data.", lambda T, n: schedules.trailing(T, n).flip(0)),
            (
                "does not round",
                "trailing gives fractions: these times should be whole numbers.",
                lambda T, n: _ending(T - i * T / n for i in range(n)),
            ),
            (
                "rounds down",
                "trailing cuts the fractions off: take the nearest whole number.",
                lambda T, n: _ending(math.floor(T - i * T / n) for i in range(n)),
            ),
            (
                "whole steps",
                "trailing goes down by a whole number, and so drifts off: the step is T over n, and each time is "
                "rounded by itself.",
                lambda T, n: _ending(T - i * (T // n) for i in range(n)),
            ),
            (
                "is linspace",
                "trailing is spread from T to 1 in yours. It goes down by the same step until one step is left.",
                lambda T, n: schedules.linspace(T, n).round(),
            ),
            (
                "a time too many",
                "trailing has a step too many: n steps have n + 1 times, with T and 0.",
                lambda T, n: schedules.trailing(T, n + 1),
            ),
        ),
        *mistakes(
            "leading",
            (
                "is trailing",
                "leading begins at T in yours: it counts from the clean end and never gets there.",
                schedules.trailing,
            ),
            (
                "counts from 0",
                "Your times are one too low: diffusers' index 0 is time 1 here.",
                lambda T, n: _ending(i * (T // n) for i in reversed(range(n))),
            ),
            (
                "begins a step late",
                "leading begins at time 1 from the clean end. Yours begins a whole step further up.",
                lambda T, n: _ending((i + 1) * (T // n) for i in reversed(range(n))),
            ),
            (
                "rounds each time",
                "leading rounds each time by itself in yours. It goes up by a whole number, T over n without its rest.",
                lambda T, n: _ending(round(1 + i * T / n) for i in reversed(range(n))),
            ),
            ("has no end", "leading lacks the last time, 0.", lambda T, n: schedules.leading(T, n)[:-1]),
            ("rises", "leading rises: samplers go from noise to data.", lambda T, n: schedules.leading(T, n).flip(0)),
            (
                "offset of Stable Diffusion",
                "leading is one time too late everywhere: that is the offset of Stable Diffusion's configuration. "
                "Here there is none.",
                lambda T, n: schedules.leading(T, n, offset=1),
            ),
        ),
        *mistakes(
            "karras",
            (
                "even in r",
                "karras is even in r itself: the power is missing, so hardly any times are left for little noise.",
                lambda lo, hi, n: _power(lo, hi, n, lambda r: r, lambda r: r),
            ),
            (
                "even in the logarithm",
                "karras is even in the logarithm of r. It should be even in a root of it, "
                "which lies between that and r itself.",
                lambda lo, hi, n: _power(lo, hi, n, torch.log, torch.exp),
            ),
            (
                "stays in the root",
                "karras gives the roots: raise them to the seventh power, to have r again.",
                lambda lo, hi, n: _power(lo, hi, n, lambda r: r ** (1 / 7), lambda r: r),
            ),
            (
                "the seventh power first",
                "karras takes the seventh power first and the root afterwards: it is the other way round.",
                lambda lo, hi, n: _power(lo, hi, n, lambda r: r**7, lambda r: r ** (1 / 7)),
            ),
            (
                "another root",
                "karras uses a cube root. The authors' rho is 7.",
                lambda lo, hi, n: _power(lo, hi, n, lambda r: r ** (1 / 3), lambda r: r**3),
            ),
            (
                "down to zero",
                "karras is spread down to 0 in yours. It is spread down to lo, and 0 comes after that.",
                lambda lo, hi, n: _ending(
                    (torch.linspace(hi ** (1 / 7), 0, n + 1, dtype=torch.float64) ** 7).tolist()[:-1]
                ),
            ),
            (
                "reaches lo too late",
                "karras has a time too many: n steps have n + 1 times, and one of them is 0.",
                lambda lo, hi, n: schedules.karras(lo, hi, n + 1),
            ),
            (
                "has no end",
                "karras lacks the last time, 0.",
                lambda lo, hi, n: schedules.karras(lo, hi, n)[:-1],
            ),
            (
                "rises",
                "karras rises: samplers go from noise to data.",
                lambda lo, hi, n: _ending(schedules.karras(lo, hi, n)[:-1].flip(0).tolist()),
            ),
        ),
    ),
    hints=(
        "All give n + 1 numbers, the last of them 0. torch.tensor with dtype=torch.float64 makes a tensor of a list.",
        "trailing: start at T, go down by T over n, round each. leading: start at 1, go up by the whole part of T over "
        "n, then turn the list round.",
        "Python's round gives the nearest whole number, // divides without the rest, reversed turns a range round.",
        "karras: from the seventh root of hi to the seventh root of lo with torch.linspace, then the seventh power, "
        "then a 0 behind it. torch.cat joins tensors.",
    ),
)


# 7.5 DDIMStepEstimator


class DDIMStepEstimator:
    """The reference: `minidiff.sample.ddim` on trailing times. No method calls another, so a mistake stays in one."""

    def __init__(self, T=1000, predictor=None, seed=42):
        self.alpha_bars = (1 - linear_betas(T)).cumprod(0)
        self.predictor, self.seed = predictor, seed

    def noise(self, x0):
        return torch.randn(x0.shape, generator=torch.Generator().manual_seed(self.seed), dtype=x0.dtype)

    def timesteps(self, num_steps):
        return [int(t) - 1 for t in schedules.trailing(len(self.alpha_bars), num_steps)[:-1]]

    def ddim_reconstruct(self, x0, num_steps):
        return _reconstruct(self, x0, num_steps)

    def errors(self, x0, steps):
        return {n: (_reconstruct(self, x0, n) - x0).square().mean().item() for n in steps}

    def relative(self, errors):
        return {n: error / errors[max(errors)] for n, error in errors.items()}

    def find_knee(self, errors):
        return next((n for n, m in _neighbours(errors) if errors[m] > 0.9 * errors[n]), 0)


def _neighbours(errors):
    return zip([*errors], [*errors][1:], strict=False)


def _reconstruct(estimator, x0, num_steps, *, eps=None, start=None, clamp=math.inf, **options):
    """The reference, and with options a wrong one."""
    T = len(estimator.alpha_bars)
    own, noise = Discrete(linear_betas(T)), estimator.noise(x0)
    predictor = eps or estimator.predictor or (lambda x, t: noise)

    def net(x, time, _):
        return predictor(x, int(time[0]))

    guess = denoising.denoiser(net, own, denoising.EPS)
    times = options.pop("times", schedules.trailing(T, num_steps))
    x = own.add_noise(x0, noise, times[0]) if start is None else start(x0, noise, own)
    *_, x = sample.ddim(lambda x, t: guess(x, t).clamp(-clamp, clamp), x, own, times, **options)
    return x


def _predictor(g):
    a, b = uniform(g, 0.5, 1.0), uniform(g, 0.2, 0.6)

    def predictor(x, t):
        return torch.tanh(a * x + b * x.roll(1)) * (0.6 + 0.4 * math.cos(t / 150))

    return predictor


def _estimator_cases(g):
    def case(method, *args, T=1000, predictor=None):
        return Case(f"DDIMStepEstimator.{method}", args, made_with=(T, predictor or _predictor(g), whole(g, 0, 10**6)))

    def signal():
        return 1.5 * torch.randn(256, generator=g, dtype=torch.float64) + 0.5

    def falling(n, low=0.2, high=0.95):
        found, error = {}, uniform(g, 1, 5)
        for steps in (5, 10, 20, 50, 100, 200, 500, 1000)[:n]:
            found[steps] = error
            error *= uniform(g, low, high)
        return found

    knee = falling(5, 0.2, 0.85)
    flat = {n: 0.97 * knee[100] * (1 if n < 1000 else 0.5) for n in (200, 500, 1000)}
    exact = Case("DDIMStepEstimator.ddim_reconstruct", (signal(), 7), made_with=(200, None, whole(g, 0, 10**6)))
    rising = dict(zip((4, 8, 16, 32), uniform(g, 1, 2, 4).sort().values.tolist(), strict=True))
    return [
        case("ddim_reconstruct", signal(), 5, T=300),
        case("ddim_reconstruct", signal(), 20, T=200),
        case("ddim_reconstruct", signal(), 50, T=100),
        exact,
        case("errors", signal(), [5, 10, 25]),
        case("errors", signal(), [4, 8], T=200),
        case("relative", falling(8)),
        case("relative", rising),
        case("find_knee", knee | flat),
        case("find_knee", falling(7, 0.2, 0.85)),
        case("find_knee", rising),
    ]


def _rebuilt(change):
    """A wrong ddim_reconstruct, from its options, given (estimator, x0, n)."""

    def wrong(self, x0, num_steps):
        return _reconstruct(self, x0, num_steps, **change(self, x0, num_steps))

    return wrong


def _error(of):
    return lambda self, x0, steps: {n: of(_reconstruct(self, x0, n) - x0) for n in steps}


def _knee(test, which=0):
    def wrong(self, errors):
        return next((pair[which] for pair in _neighbours(errors) if test(*(errors[n] for n in pair))), 0)

    return wrong


def _T(estimator):
    return len(estimator.alpha_bars)


_ESTIMATOR = Exercise(
    title="DDIMStepEstimator: how many steps are enough?",
    reference={"DDIMStepEstimator": DDIMStepEstimator},
    cases=_estimator_cases,
    mistakes=(
        *methods(
            DDIMStepEstimator,
            "ddim_reconstruct",
            (
                "gives the signal",
                "ddim_reconstruct gives the signal itself, whatever the predictor says: "
                "either nothing is noised at all, or self.predictor is never asked.",
                lambda self, x0, num_steps: x0.clone(),
            ),
            (
                "starts from pure noise",
                "ddim_reconstruct starts from noise alone. The signal is noised at the last time, so a little of it "
                "is left there.",
                _rebuilt(lambda *_: {"start": lambda x0, noise, own: noise}),
            ),
            (
                "does not noise the signal",
                "ddim_reconstruct starts from the clean signal: noise it first, at the last time.",
                _rebuilt(lambda *_: {"start": lambda x0, noise, own: x0}),
            ),
            (
                "tells t plus one",
                "ddim_reconstruct tells the predictor our t. Here it wants the index from 0, one lower.",
                _rebuilt(lambda self, *_: {"eps": self.predictor and (lambda x, t: self.predictor(x, t + 1))}),
            ),
            (
                "clamps",
                "ddim_reconstruct clamps the guess of the signal, as the tutorial does. That cuts off all that is "
                "louder than 1.",
                _rebuilt(lambda *_: {"clamp": 1.0}),
            ),
            (
                "always all steps",
                "ddim_reconstruct takes every time, whatever num_steps is.",
                _rebuilt(lambda self, *_: {"times": schedules.trailing(_T(self), _T(self))}),
            ),
            (
                "one step down only",
                "ddim_reconstruct goes down by 1 from each time. The next stop is the next time in the list.",
                lambda self, x0, num_steps: _one_down(self, x0, num_steps),
            ),
            (
                "stops before the end",
                "ddim_reconstruct stops at the last time of the list, where noise is left: "
                "one more step leads to the clean signal.",
                lambda self, x0, num_steps: _one_short(self, x0, num_steps),
            ),
            (
                "leading times",
                "ddim_reconstruct begins before the last time: timesteps says where to stop.",
                _rebuilt(lambda self, x0, n: {"times": schedules.leading(_T(self), n)}),
            ),
        ),
        *methods(
            DDIMStepEstimator,
            "errors",
            (
                "takes the root",
                "errors takes a root: the mean squared error is asked for.",
                _error(lambda d: d.square().mean().sqrt().item()),
            ),
            (
                "sums",
                "errors sums the squares: take their mean, or a longer signal counts more.",
                _error(lambda d: d.square().sum().item()),
            ),
            (
                "absolute values",
                "errors uses absolute values: square the differences.",
                _error(lambda d: d.abs().mean().item()),
            ),
            (
                "squares the mean",
                "errors squares the mean difference: errors up and down would cancel. Square first.",
                _error(lambda d: d.mean().square().item()),
            ),
            (
                "a list",
                "errors gives a list: a dictionary is asked for, from the number of steps to the error.",
                lambda self, x0, steps: list(DDIMStepEstimator.errors(self, x0, steps).values()),
            ),
        ),
        *methods(
            DDIMStepEstimator,
            "relative",
            (
                "upside down",
                "relative is upside down: the error of the most steps is what the others are divided by.",
                lambda self, errors: {n: errors[max(errors)] / e for n, e in errors.items()},
            ),
            (
                "to the fewest",
                "relative divides by the error of the fewest steps: take the most.",
                lambda self, errors: {n: e / errors[min(errors)] for n, e in errors.items()},
            ),
            (
                "to the smallest",
                "relative divides by the smallest error. That need not be the one of the most steps.",
                lambda self, errors: {n: e / min(errors.values()) for n, e in errors.items()},
            ),
            (
                "subtracts",
                "relative subtracts: how many times as large is asked for.",
                lambda self, errors: {n: e - errors[max(errors)] for n, e in errors.items()},
            ),
        ),
        *methods(
            DDIMStepEstimator,
            "find_knee",
            (
                "the number after it",
                "find_knee gives the number of steps that was not worth it: the knee is the one before.",
                _knee(lambda now, after: after > 0.9 * now, which=1),
            ),
            (
                "gains at all",
                "find_knee waits until nothing is gained any more: a gain below ten percent is too little already.",
                _knee(lambda now, after: after >= now),
            ),
            (
                "ten percent left",
                "find_knee asks whether ten percent of the error are left: ask how much was gained.",
                _knee(lambda now, after: after > 0.1 * now),
            ),
            (
                "only falling errors",
                "find_knee passes over errors that rise. A rise is the smallest gain of all, one below 0.",
                _knee(lambda now, after: now >= after > 0.9 * now),
            ),
            (
                "the last of them",
                "find_knee gives the last place where little is gained: the first one is the knee.",
                lambda self, errors: max([n for n, m in _neighbours(errors) if errors[m] > 0.9 * errors[n]], default=0),
            ),
            (
                "the smallest error",
                "find_knee gives the number of steps with the smallest error. "
                "Most of those steps gained next to nothing.",
                lambda self, errors: min(errors, key=errors.get),
            ),
        ),
    ),
    hints=(
        "ddim_reconstruct: self.noise(x0), self.timesteps(num_steps), and a loop over neighbours in that list. After "
        "the last index comes clean data, where alpha-bar is 1.",
        "In each step: the predicted noise, the guess of the signal from it, and both put together again at the "
        "level of the next time. The roots of alpha-bar and of one minus alpha-bar are the levels.",
        "errors and relative are dictionary comprehensions. max of a dictionary is its largest key.",
        "find_knee: walk over neighbours in the list of keys, and return the first number whose successor has more "
        "than nine tenths of its error. Return 0 after the loop.",
    ),
)


def _one_down(estimator, x0, num_steps):
    times = schedules.trailing(_T(estimator), num_steps)[:-1].tolist()
    x, own = None, Discrete(linear_betas(_T(estimator)))
    for t in times:
        start = (lambda x0, noise, own: own.add_noise(x0, noise, t)) if x is None else (lambda *_, x=x: x)  # noqa: B023
        x = _reconstruct(estimator, x0, num_steps, start=start, times=[t, t - 1])
    return x if own.T else None


def _one_short(estimator, x0, num_steps):
    return _reconstruct(estimator, x0, num_steps, times=schedules.trailing(_T(estimator), num_steps)[:-1])


# 7.6 A sampler of their own

CALLS = 10
STABLE = Discrete(scaled_linear_betas())
_ALPHA, _SIGMA = STABLE(torch.arange(1001))
_R = _SIGMA / _ALPHA


def _at(r):
    """The times at which sigma / alpha is r, within the schedule."""
    i = torch.searchsorted(_R, r.clamp(_R[1], _R[-1])).clamp(1, 1000)
    return i - 1 + (r.clamp(_R[1], _R[-1]) - _R[i - 1]) / (_R[i] - _R[i - 1])


def times_even_in_a_root(n, rho=7):
    """n + 1 times from 1000 down to 1, then 0: even in r^(1/rho)."""
    r = torch.linspace(_R[-1] ** (1 / rho), _R[1] ** (1 / rho), n, dtype=torch.float64) ** rho
    return torch.cat([_at(r), torch.zeros(1, dtype=torch.float64)])


def stable(t):
    """(alpha, sigma) of Stable Diffusion's schedule."""
    return STABLE(t)


def mixture(g, n=6):
    """E[x_0 | x_t] of n random blobs on the plane, for x of (B, 2) and t a number or (B,)."""
    weight = uniform(g, 0.3, 1.3, n)
    centre, width = uniform(g, -1.7, 1.7, n, 2), uniform(g, 0.15, 0.35, n)

    def denoise(x, t):
        alpha, sigma = (torch.as_tensor(a).reshape(-1, 1) for a in stable(t))
        variance = (alpha * width) ** 2 + sigma**2  #                                   (1 or B, 6)
        gap = x[:, None] - alpha[:, :, None] * centre  #                                (B, 6, 2)
        p = (weight.log() - variance.log() - gap.square().sum(2) / (2 * variance)).softmax(1)
        return (p[:, :, None] * (centre + (alpha * width**2 / variance)[:, :, None] * gap)).sum(1)

    return denoise


def _counted(denoise):
    """(the denoiser, how many guesses it gave for each of n points)"""
    found = SimpleNamespace(rows=0)

    def counting(x, t):
        found.rows += len(x)
        return denoise(x, t)

    return counting, found


def my_sampler(denoise, x, schedule):
    """One right answer of many: PLMS, 9 steps and so 10 calls, at times even in a root of r."""
    *_, x = sample.plms(denoise, x, schedule, times_even_in_a_root(CALLS - 1))
    return x


def _race_cases(g):
    """The calls first, then the ends for three mixtures."""
    cases = []
    for i in range(4):
        denoise, x = mixture(g), torch.randn(100, 2, generator=g, dtype=torch.float64)
        if i == 0:
            counting, found = _counted(denoise)
            cases.append(Case("my_sampler", (counting, x, stable), read=_calls(found, len(x))))
        else:
            cases.append(Case("my_sampler", (denoise, x, stable)))
    return cases


def _calls(found, n):
    def read(_):
        calls, found.rows = found.rows / n, 0
        return float(calls)

    return read


def _end(sampler, case, ts):
    denoise, x, schedule = case.args
    *_, x = sampler(denoise, x, schedule, ts)
    return x


def _typical(a, b):
    return (a - b).square().sum(1).sqrt().median().item()


def _ends(case):
    """(the exact end, DDIM's end, where the exact curves are halfway), computed once for each mixture."""
    denoise, _, _ = case.args
    if not hasattr(denoise, "ends"):
        fine = _at(torch.logspace(math.log10(_R[-1]), math.log10(_R[1]), 100, dtype=torch.float64))
        fine = torch.cat([fine, torch.linspace(0.9, 0, 10, dtype=torch.float64)])
        denoise.ends = (
            _end(sample.heun, case, fine),
            _end(sample.ddim, case, schedules.trailing(1000, CALLS)),
            _end(sample.heun, case, [1000, 900, 800, 700, 600, 500, 400]),
        )
    return denoise.ends


def _ratio(results):
    """Your error over DDIM's: the geometric mean over the mixtures."""
    races = [(got, *_ends(case)) for case, got in results[1:]]
    logs = [math.log(max(_typical(got, exact), 1e-12) / _typical(ddim, exact)) for got, exact, ddim, _ in races]
    return math.exp(sum(logs) / len(logs))


def _has_arrived(results):
    """Whether the points are nearer to the end of their curves than to the middle."""
    races = [(got, *_ends(case)) for case, got in results[1:]]
    return all(_typical(got, exact) < _typical(got, halfway) for got, exact, _, halfway in races)


_OPEN = {
    "calls": f"More than {CALLS} calls of denoise for a point: a call with a batch counts once for each point in it.",
    "none": "denoise is never called: without asking it, nobody knows where the data are.",
    "finite": "Some of the points are no finite numbers.",
    "start": "The points have hardly moved from where they began.",
    "noisy": "The points have stopped halfway, in the noise: the last time is 0.",
    "better": "Not better enough: the typical error should be at most half of DDIM's, with as many calls.",
}

_SAMPLER = Exercise(
    title="open-ended: beat DDIM with ten calls",
    reference={"my_sampler": my_sampler},
    cases=_race_cases,
    properties=(
        (_OPEN["calls"], lambda results: results[0][1] <= CALLS),
        (_OPEN["none"], lambda results: results[0][1] > 0),
        (_OPEN["finite"], lambda results: all(got.isfinite().all() for _, got in results[1:])),
        (_OPEN["start"], lambda results: all(_typical(got, case.args[1]) > 0.05 for case, got in results[1:])),
        (_OPEN["noisy"], _has_arrived),
        (_OPEN["better"], lambda results: _ratio(results) <= 0.5),
    ),
    mistakes=mistakes(
        "my_sampler",
        (
            "asks too often",
            _OPEN["calls"],
            lambda denoise, x, schedule: _end(
                sample.heun, SimpleNamespace(args=(denoise, x, schedule)), times_even_in_a_root(10)
            ),
        ),
        ("never asks", _OPEN["none"], lambda denoise, x, schedule: 0.1 * x),
        ("divides by zero", _OPEN["finite"], lambda denoise, x, schedule: denoise(x, 1000) / 0),
        ("does nothing", _OPEN["start"], lambda denoise, x, schedule: x + 0 * denoise(x, 1000)),
        (
            "stops halfway",
            _OPEN["noisy"],
            lambda denoise, x, schedule: _end(
                sample.heun, SimpleNamespace(args=(denoise, x, schedule)), [1000, 850, 700, 550, 400]
            ),
        ),
        (
            "is DDIM",
            _OPEN["better"],
            lambda denoise, x, schedule: _end(
                sample.ddim, SimpleNamespace(args=(denoise, x, schedule)), schedules.trailing(1000, CALLS)
            ),
        ),
    ),
    hints=(
        "Two dials: how you walk, and where you stop. Change one at a time, and measure with the cell above.",
        "Where you stop: the trailing list takes out a third of the noise in its last step, which any solver does "
        "badly. Spend more of the ten on little noise. times_at turns levels of noise into times.",
        "How you walk: Heun pays twice. A sampler that looks back, such as DPM-Solver++ 2M or PLMS, has order 2 for "
        "one call a step. You may also remember more than one guess.",
        "minidiff.sample has all of them; they are generators, so take the last state. PLMS needs one call more than "
        "it has steps. Try other roots than the seventh.",
    ),
)


EXERCISES = {
    "7.1": _STEP,
    "7.2": _SOLVERS,
    "7.3": _DPM,
    "7.4": _LISTS,
    "7.5": _ESTIMATOR,
    "7.6": _SAMPLER,
}
