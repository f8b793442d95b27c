"""7.2 two solvers of the curve: Euler and Heun."""

from minidiff import sample
from minidiff.checks.lesson07 import one_tensor, sampler_cases, the_end, whole_list, whole_times, with_start

EQUIVALENT = """
zip(ts[:-1], ts[1:], strict=True) -> zip(ts[:-1], ts[1:])
    both lists are equally long
zip(ts[:-1], ts[1:], strict=True) -> zip(ts[:-1], ts[1:], strict=False)
    the two lists of zip are equally long
"""


def cases(g):
    return [*sampler_cases("euler", g), *sampler_cases("heun", g)]


HINTS = """
Both are a loop over pairs of neighbouring times. zip of ts[:-1] and ts[1:] gives them.

The slope at t is eps: x without the guessed picture as it is in x, over sigma. Write it as a function; heun needs it
twice.

The move: x over alpha, plus the change of r times the slope; and then times the alpha of s, to have x again.

heun: slope, move, slope at the place and time you came to, mean of both, move again from x. Ask schedule(s) whether
there is noise left before you look a second time.
"""

MISTAKES = r"""
x = alpha_s * (x / alpha + (sigma_s / alpha_s - sigma / alpha) * eps) -> x = x + (sigma_s - sigma) * eps
    euler adds the change of sigma times eps to x itself. The curve is that of x over alpha, and its clock is r.
x = alpha_s * (x / alpha + (sigma_s / alpha_s - sigma / alpha) * eps) -> x = alpha_s * (x / alpha + (sigma_s - sigma) * eps)
    euler measures its step in sigma. The clock of the curve is r, which is sigma over alpha.
* eps)\n        yield x -> * eps)\n        yield x / alpha_s
    euler yields x over alpha: bring each state back before you yield it. The next call of denoise, too, wants x.
x = alpha_s * (x / alpha -> x = (x / alpha
    euler never comes back from x over alpha: times the alpha of s, it is x again, which the next step takes it for.
x = alpha_s * (x / alpha + -> x = alpha_s * (x + 
    euler walks along the curve of x over alpha, but begins at x itself: divide it by alpha first.
x = alpha_s * (x / alpha + -> x = alpha_s * (x / alpha -
    euler walks the wrong way: r falls, so its change is negative.
denoise(x, t)) / sigma\n        x = -> denoise(x, s)) / sigma\n        x =
    euler tells denoise the time it goes to. The state is still at t.
denoise(x, t)) / sigma\n        x = -> denoise(x, ts[0])) / sigma\n        x =
    euler always tells denoise the first time: it changes with every step.
eps = (x - alpha * denoise(x, t)) / sigma\n        x = -> eps = (x - denoise(x, t)) / sigma\n        x =
    The slope in euler takes out the guess itself. In x the picture is scaled by alpha.
denoise(x, t)) / sigma\n        x = -> denoise(x, t))\n        x =
    The slope in euler is the noise as large as it is in x: divide by sigma.
eps = (x - alpha * denoise(x, t)) / sigma\n        x = -> eps = denoise(x, t)\n        x =
    euler walks along the guess of the picture. The slope is the noise that this guess leaves.
eps = (x - alpha * denoise(x, t)) / sigma\n        x = -> x0 = denoise(x, t)\n        yield x0\n        eps = (x - alpha * x0) / sigma\n        x = && * eps)\n        yield x -> * eps)
    euler yields the guesses of the picture: the states are asked for.
euler := with_start(euler)
    euler yields the state it was given as well: begin with the one after the first step.
euler := the_end(euler)
    euler gives only the last state: yield each one, in the loop.
euler := lambda *args: [*euler(*args)][:-1]
    euler is one state short: the last step goes to the last time.
euler := heun
    euler looks a second time: that is Heun's method.
heun := euler
    heun never looks a second time: this is Euler's method.
tried = alpha_s * (x / alpha + (sigma_s / alpha_s - sigma / alpha) * eps)\n        x = tried -> tried = alpha_s * (tried / alpha + (sigma_s / alpha_s - sigma / alpha) * eps)\n        x = tried
    heun takes its second walk from where the first one ended. It goes back to x and walks once more.
tried = alpha_s * (x / alpha + (sigma_s / alpha_s - sigma / alpha) * eps)\n        x = tried -> tried = alpha_s * (tried / alpha_s + (sigma_s / alpha_s - sigma / alpha) * eps)\n        x = tried
    heun walks on from where its first walk ended, so twice as far. It goes back to x and walks once more.
eps = (eps + (tried - alpha_s * denoise(tried, s)) / sigma_s) / 2 -> eps = (tried - alpha_s * denoise(tried, s)) / sigma_s
    heun walks along the second slope alone: the mean of both is what makes the error so small.
denoise(tried, s)) / sigma_s) / 2 -> denoise(tried, s)) / sigma_s)
    heun walks along the sum of the slopes, twice as far as it should.
(tried - alpha_s * denoise(tried, s)) / sigma_s) / 2 -> (x - alpha_s * denoise(x, s)) / sigma_s) / 2
    The second look of heun goes to the same state as the first, at another time: look at the state that was tried.
(tried - alpha_s * denoise(tried, s)) / sigma_s) / 2 -> (x - alpha * denoise(x, s)) / sigma) / 2
    The second look of heun goes to the state at t, with its levels, and is told the time s: look at the state that was
    tried.
(tried - alpha_s * denoise(tried, s)) / sigma_s) / 2 -> (tried - alpha * denoise(tried, t)) / sigma) / 2
    The second look of heun is told the time t. The state that was tried is at s.
alpha_s * denoise(tried, s)) -> alpha_s * denoise(tried, t))
    The second slope of heun asks denoise at t about a state that is at s.
(tried - alpha_s * denoise(tried, s)) / sigma_s) / 2 -> (tried - alpha * denoise(tried, s)) / sigma) / 2
    The second slope of heun asks at s but is computed with alpha and sigma of t.
heun := mean_of_guesses
    heun takes the mean of the two guesses of the picture. It is the slopes that have to be averaged.
if sigma_s > 0: -> if True:
    heun asks for the slope where no noise is left, and divides by 0: there, Euler's step is all there is.
if sigma_s > 0: -> if s > ts[-1]:
    heun never looks again in its last step. Only where that step ends in clean data it must not; a list of times may
    end before.
heun := with_start(heun)
    heun yields the state it was given as well: begin with the one after the first step.
heun := the_end(heun)
    heun gives only the last state: yield each one, in the loop.
heun := lambda *args: [*heun(*args)][:-1]
    heun is one state short: the last step goes to the last time.
x = tried\n        yield x -> x = tried\n        yield x / alpha_s
    heun yields x over alpha: bring each state back before you yield it.
euler := one_tensor(euler)
    euler yields one and the same tensor at every step, and changes it afterwards: make a new one (x = x - y, not x -=
    y).
heun := one_tensor(heun)
    heun yields one and the same tensor at every step, and changes it afterwards: make a new one (x = x - y, not x -=
    y).
if sigma_s > 0: -> if sigma_s > 0:\n            yield tried
    heun yields what it has tried as well: one state belongs to each step, the one after the second walk.
eps = (x - alpha * denoise(x, t)) / sigma\n        tried -> eps = (x - alpha * denoise(x, t)) / sigma if t == ts[0] else second\n        tried && eps = (eps + (tried - alpha_s * denoise(tried, s)) / sigma_s) / 2 -> second = (tried - alpha_s * denoise(tried, s)) / sigma_s\n            eps = (eps + second) / 2
    heun begins a step with the second slope of the step before. That was looked at in another state: look again.
if sigma_s > 0: -> if s > 1:
    heun does not look again where the step ends at time 1. Only where no noise is left at s it must not.
euler := whole_times(euler)
    euler makes whole numbers of the times before the schedule is asked. They need not be whole, and it knows those
    between.
euler := whole_list(euler)
    euler makes whole numbers of the times. They need not be whole.
heun := whole_times(heun)
    heun makes whole numbers of the times before the schedule is asked. They need not be whole, and it knows those
    between.
heun := whole_list(heun)
    heun makes whole numbers of the times. They need not be whole.
heun := midpoint
    heun looks again half way along the step, and follows that slope alone. Its second look is at the end of the step,
    and the mean of both slopes counts.
heun := lambda *args: midpoint(*args, to_the_end=True)
    heun looks again half way along the step, and follows that slope alone. Its second look is at the end of the step,
    and the mean of both slopes counts.
if sigma_s > 0: -> rough = tried\n        if sigma_s > 0: && x = tried\n        yield x -> x = rough\n        yield tried
    heun yields what it should, but begins the next step from where the first walk ended: begin from the state you
    yield.
if sigma_s > 0: -> rough = tried\n        if sigma_s > 0: && x = tried\n        yield x -> x = tried\n        yield rough
    heun yields where its first walk ended, though it goes on from where the second did: yield that one.
denoise(tried, s)) / sigma_s) / 2 -> denoise(tried, s)) / sigma) / 2
    The second slope of heun is divided by sigma at t. The state that was tried is at s.
alpha_s * denoise(tried, s)) -> alpha * denoise(tried, s))
    The second slope of heun takes out the guess with the alpha of t. The state that was tried is at s.
eps = (x - alpha * denoise(x, t)) / sigma\n        x = -> eps = x - alpha * denoise(x, t) / sigma\n        x =
    In the slope of euler only the guess is divided by sigma: parentheses are missing around the difference.
eps = (x - alpha * denoise(x, t)) / sigma\n        tried -> eps = x - alpha * denoise(x, t) / sigma\n        tried
    In the first slope of heun only the guess is divided by sigma: parentheses are missing around the difference.
eps = (eps + (tried - alpha_s * denoise(tried, s)) / sigma_s) / 2 -> eps = eps + (tried - alpha_s * denoise(tried, s)) / sigma_s / 2
    heun halves the second slope only: parentheses are missing around the sum.
euler := once
    euler takes the slope once, in the beginning, and follows it to the end. The curve bends: ask again at each time.
heun := lambda *args: [*once(*args)]
    heun takes the slope once, in the beginning, and follows it to the end. The curve bends: ask again at each time.
euler := lambda denoise, *args: euler(lambda x, t: denoise(x, t).clamp(-1, 1), *args)
    euler clamps the guess of the picture. Nothing says that it lies between -1 and 1; latents do not.
heun := lambda denoise, *args: heun(lambda x, t: denoise(x, t).clamp(-1, 1), *args)
    heun clamps the guess of the picture. Nothing says that it lies between -1 and 1; latents do not.
"""

RIGHT = r"""
euler := lambda denoise, x, schedule, ts, generator=None: [*sample.ddim(denoise, x, schedule, ts)]
heun := in_r
"""

WRONG = r"""
euler := lambda *args: (x / 2 for x in euler(*args))
euler := lambda denoise, x, schedule, ts: euler(denoise, x, schedule, [ts[0], *ts[2:]])
euler := lambda denoise, *args: euler(lambda x, t: denoise(x, t).clamp(-0.5, 0.5), *args)
euler := lambda denoise, *args: euler(lambda x, t: denoise(x, t - 1), *args)
euler := lambda *args: (x.double() for x in euler(*args))
euler := sample.ddpm
heun := lambda *args: in_r(*args, weights=(0.25, 0.75))
heun := lambda *args: in_r(*args, part=0.5)
heun := sample.plms
heun := lambda *args: [*heun(*args)][::-1]
heun := lambda *args: 0.0
"""


def once(denoise, x, schedule, ts, generator=None):
    alpha, sigma = schedule(ts[0])
    eps = (x - alpha * denoise(x, ts[0])) / sigma
    for s in ts[1:]:
        alpha_s, sigma_s = schedule(s)
        yield alpha_s * (x / alpha + (sigma_s / alpha_s - sigma / alpha) * eps)


def midpoint(denoise, x, schedule, ts, generator=None, to_the_end=False):
    """The slope half way along each step in t; `to_the_end`, also where no noise is left at s."""
    for t, s in zip(ts[:-1], ts[1:], strict=True):
        (alpha, sigma), (alpha_s, sigma_s), (a, b) = schedule(t), schedule(s), schedule((t + s) / 2)
        eps = (x - alpha * denoise(x, t)) / sigma
        if sigma_s > 0 or to_the_end:
            tried = a * (x / alpha + (b / a - sigma / alpha) * eps)
            eps = (tried - a * denoise(tried, (t + s) / 2)) / b
        x = alpha_s * (x / alpha + (sigma_s / alpha_s - sigma / alpha) * eps)
        yield x


def mean_of_guesses(denoise, x, schedule, ts, generator=None):
    for t, s in zip(ts[:-1], ts[1:], strict=True):
        (alpha, sigma), (alpha_s, sigma_s) = schedule(t), schedule(s)
        x0 = denoise(x, t)
        if sigma_s > 0:
            x0 = (x0 + denoise(alpha_s * x0 + sigma_s * (x - alpha * x0) / sigma, s)) / 2
        x = alpha_s * x0 + sigma_s * (x - alpha * x0) / sigma
        yield x


def in_r(denoise, x, schedule, ts, generator=None, weights=(0.5, 0.5), part=1.0):
    """Heun in y = x / alpha: a general method of two slopes, the second `part` of the step ahead."""
    y, out = x / schedule(ts[0])[0], []
    for t, s in zip(ts, ts[1:], strict=False):
        (a, sigma), (a_s, sigma_s) = schedule(t), schedule(s)
        r, r_s = (sigma / a).item(), (sigma_s / a_s).item()
        slope = (y - denoise(y * a, t)) / r
        if r_s > 0:
            tried = y + part * (r_s - r) * slope
            slope = weights[0] * slope + weights[1] * (tried - denoise(tried * a_s, s)) / r_s
        y = y + (r_s - r) * slope
        out.append(y * a_s)
    return out
