"""18.1 what stops everybody from agreeing on nothing."""

import torch

from minidiff.checks import Case
from minidiff.checks.lesson18 import answerer
from minidiff.checks.parts import uniform

LEARNS = ("x",)


def cases(g):
    def sizes():
        return uniform(g, 0.01, 0.4), uniform(g, 0.6, 1.6)

    def numbers(n, dtype=torch.float64):
        eps, sigma_d = sizes()
        return Case("skips", (eps + uniform(g, 0.1, 4.0, n, dtype=dtype), eps, sigma_d))

    def whole(*shape, dtype=torch.float64):
        x, (eps, sigma_d) = torch.randn(shape, generator=g, dtype=dtype), sizes()
        return Case("bounded", (answerer(g, dtype), x, eps + uniform(g, 0.1, 4.0, shape[0], dtype=dtype), eps, sigma_d))

    eps, sigma_d = sizes()
    at_the_end = torch.tensor([eps, eps, 2.0]).double()
    return [
        numbers(5),
        numbers(3, dtype=torch.float32),
        Case("skips", (at_the_end, eps, sigma_d)),
        whole(3, 2, 4, 4),
        whole(4, 5),
        whole(2, 3, 2, dtype=torch.float32),
        Case(
            "bounded", (answerer(g, torch.float64), torch.randn(3, 6, generator=g).double(), at_the_end, eps, sigma_d)
        ),
    ]


HINTS = """
skips: two formulas, as they stand. At the smallest time, eps, the first has to be 1 and the second 0: try it.

Below the line the first has the time less eps, squared; the second has the root of the squares of the time itself and
of sigma_d.

bounded: c_skip and c_out are (B,), and x may be (B, C, H, W). per_sample gives them the shape (B, 1, 1, 1).
"""

MISTAKES = r"""
return per_sample(c_skip, x) * x + per_sample(c_out, x) * net(x, t) -> return per_sample(c_skip, x) * net(x, t) + per_sample(c_out, x) * x
    In bounded x and the network's answer have changed places: c_skip belongs to x.
after**2 + sigma_d**2 -> (after + eps) ** 2 + sigma_d**2
    In c_skip the time counts from eps: yours is not 1 at the smallest time.
sigma_d * after / -> sigma_d * t /
    In c_out the time counts from eps: yours is not 0 at the smallest time.
(t**2 + sigma_d**2).sqrt() -> (after**2 + sigma_d**2 + 0).sqrt()
    Under the root of c_out stands the time itself, not the time less eps.
(t**2 + sigma_d**2).sqrt() -> (t**2 + sigma_d**2)
    The root in c_out is missing.
sigma_d * after / -> after /
    sigma_d is missing above the line of c_out.
c_skip = sigma_d**2 / -> c_skip = sigma_d /
    Above the line of c_skip sigma_d stands squared.
(after**2 + sigma_d**2) -> (after**2 + sigma_d**2).sqrt()
    c_skip has no root below its line.
return c_skip, c_out -> return c_out, c_skip
    c_skip and c_out have changed places: c_skip comes first.
return per_sample(c_skip, x) * x + per_sample(c_out, x) * net(x, t) -> return per_sample(c_skip, x) * x + net(x, t)
    c_out is not used: the network counts fully, even where nothing is left to do.
return per_sample(c_skip, x) * x + per_sample(c_out, x) * net(x, t) -> return x + per_sample(c_out, x) * net(x, t)
    c_skip is not used: in the strong noise all of x would stay.
return per_sample(c_skip, x) * x + per_sample(c_out, x) * net(x, t) -> return per_sample(c_out, x) * net(x, t)
    x itself is missing: at the smallest time nothing would be left.
return per_sample(c_skip, x) * x + per_sample(c_out, x) * net(x, t) -> return net(x, t)
    You give back what the network says, with no boundary condition at all.
* net(x, t) -> * net(x, t - eps)
    The network is told another time than t.
* net(x, t) -> * net(per_sample(c_skip, x) * x, t)
    The network is shown another x: it sees x as it is.
c_skip, c_out = skips(t, eps, sigma_d) -> c_skip, c_out = skips(t, eps, 0.5)
    sigma_d is not used in bounded: the data's deviation is given.
c_skip, c_out = skips(t, eps, sigma_d) -> c_skip, c_out = skips(t, 0.002, sigma_d)
    eps is not used in bounded: the smallest time is given.
c_skip = sigma_d**2 / (after**2 + sigma_d**2) -> c_skip = sigma_d / (after**2 + sigma_d)
    In c_skip sigma_d stands as it is, above and below the line: its square belongs there.
sigma_d * after / -> (sigma_d * t - eps) /
    In c_out brackets are missing: sigma_d multiplies the time less eps.
after = t - eps -> after = (t**2 - eps**2).sqrt()
    The difference of time and eps is squared: yours is the difference of their squares.
c_skip = sigma_d**2 / (after**2 + sigma_d**2) -> c_skip = sigma_d**2 / (t**2 - eps**2 + sigma_d**2)
    The difference of time and eps is squared: yours is the difference of their squares.
c_out = sigma_d * after / (t**2 + sigma_d**2).sqrt() -> c_out = (1 - c_skip**2).sqrt()
    Your c_out makes the squares of both add up to 1: it is a formula of its own.
"""

RIGHT = r"""
sigma_d * after / (t**2 + sigma_d**2).sqrt() -> sigma_d * after * (t**2 + sigma_d**2) ** -0.5
sigma_d**2 / (after**2 + sigma_d**2) -> 1 / ((after / sigma_d) ** 2 + 1)
return per_sample(c_skip, x) * x + per_sample(c_out, x) * net(x, t) -> c_skip, c_out = (c.reshape(-1, *[1] * (x.ndim - 1)) for c in (c_skip, c_out))\n    return c_skip * x + c_out * net(x, t)
"""

WRONG = r"""
per_sample(c_out, x) * net -> per_sample(c_out, x) * net(x, t).detach() + 0 * net
per_sample(c_skip, x) * x + -> c_skip[0] * x +
after**2 + sigma_d**2 -> after**2 - sigma_d**2
"""

EQUIVALENT = ""
