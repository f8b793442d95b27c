"""18.2 the target, one step further down."""

import math  # noqa: F401  the edits use it

import torch

from minidiff.checks import Case
from minidiff.checks.lesson07 import noised
from minidiff.checks.lesson18 import answerer
from minidiff.checks.parts import uniform
from minidiff.schedule import EDM, Flow

LEARNS = ("a", "b")


def cases(g):
    def apart(*shape, scale=1.0, dtype=torch.float64):
        a, b = (scale * torch.randn(shape, generator=g, dtype=dtype) for _ in range(2))
        return Case("distance", (a, b))

    def loss(schedule, t, s, *shape, dtype=torch.float64):
        x0, eps = (torch.randn(shape, generator=g, dtype=dtype) for _ in range(2))
        student, target, teacher = (answerer(g, dtype) for _ in range(3))
        weight = torch.ones(3, dtype=dtype, requires_grad=True)  # of student, target and teacher: who learns?

        def weighed(i, net):
            return lambda x, t: weight[i] * net(x, t)

        def read(found):
            if not torch.is_tensor(found) or not found.requires_grad:
                return found, "learns nothing"
            return found.detach(), *torch.autograd.grad(found.sum(), weight, retain_graph=True)

        nets = (weighed(i, net) for i, net in enumerate((student, target, teacher)))
        return Case("distillation_loss", (*nets, x0, eps, t, s, noised(schedule)), read=read)

    high, low = uniform(g, 1.5, 4.0, 3), uniform(g, 0.2, 0.9, 3)
    return [
        apart(3, 2, 4, 4),
        apart(4, 5, scale=0.002),
        apart(2, 7, scale=0.001, dtype=torch.float32),
        loss(EDM(), high, low, 3, 2, 3),
        loss(Flow(), low, 0.4 * low, 3, 2, 2, 2),
        loss(EDM(), high[:2], low[:2], 2, 5, dtype=torch.float32),
    ]


HINTS = """
distance: flatten(1) makes of each sample a row. Its squares are summed, not averaged; the root is taken of each row.

The step of DDIM is lesson 07's: what is left of x_t, once the guess is taken away, is the noise times sigma. per_sample
gives the numbers the shape that multiplies a sample.

Teacher, step and target stand within `with torch.no_grad():`. f itself stands outside: it is the one who learns.
"""

MISTAKES = r"""
c = 0.00054 * math.sqrt(apart.shape[1]) -> c = 0.00054 * apart.shape[1]
    c grows with the root of the number of entries, not with the number.
c = 0.00054 * math.sqrt(apart.shape[1]) -> c = 0.00054
    c does not grow with the number of entries of a sample.
c = 0.00054 * math.sqrt(apart.shape[1]) -> c = 0.00054 * math.sqrt(len(apart))
    You count the samples: D counts the numbers of one sample.
(apart.square().sum(1) + c**2).sqrt() - c -> (apart.square().sum(1) + c**2).sqrt()
    The c at the end is missing: two equal samples should be 0 apart.
(apart.square().sum(1) + c**2).sqrt() - c -> (apart.square().sum(1) + c).sqrt() - c
    Under the root c stands squared.
(apart.square().sum(1) + c**2).sqrt() - c -> (apart.square().mean(1) + c**2).sqrt() - c
    You take the mean of the squares: the norm is the root of their sum.
(apart.square().sum(1) + c**2).sqrt() - c -> apart.square().sum(1)
    That is the squared distance: it grows like the square, where the pseudo-Huber one grows like the distance.
(apart.square().sum(1) + c**2).sqrt() - c -> (apart.square().sum(1)).sqrt()
    That is the norm alone: without c its slope jumps at 0.
(apart.square().sum(1) + c**2).sqrt() - c -> apart.abs().sum(1)
    You add absolute values: the root of the sum of squares is asked for.
(apart.square().sum(1) + c**2).sqrt() - c -> ((apart.square().sum(1) + c**2).sqrt() - c).mean()
    You take the mean over the batch: each sample has a number of its own.
with torch.no_grad(): -> if True:
    A gradient flows through teacher and target: both would be pulled towards the student.
return distance(f(x_t, t), target) -> return distance(f(x_t, t).detach(), target)
    No gradient reaches the student.
return distance(f(x_t, t), target) -> return distance(f_target(x_t, t), target)
    The student is not asked: f answers at the place where the noise is stronger.
target = f_target(x_s, s) -> target = f(x_s, s)
    The target is the student's own answer: f_target is given for it.
target = f_target(x_s, s) -> target = f_target(x_s, t)
    The target is told the time t: it stands at s.
target = f_target(x_s, s) -> target = f_target(x_t, t)
    The target is asked at the same place as the student: it stands one step further down.
target = f_target(x_s, s) -> target = x_s
    The target is the place one step down, not what f_target answers there.
target = f_target(x_s, s) -> target = guess
    The target is the teacher's guess, which is the mean of all that could be.
target = f_target(x_s, s) -> target = x0
    The target is the picture that was noised: then the student would learn the best guess.
x_s = alpha_s * guess + sigma_s * (x_t - alpha * guess) / sigma -> x_s = schedule.add_noise(x0, eps, s)
    You noise the true picture to the time s, and the teacher is not used. That is consistency training; the step of the teacher is asked for.
x_s = alpha_s * guess + sigma_s * (x_t - alpha * guess) / sigma -> x_s = schedule.add_noise(guess, eps, s)
    You noise the guess by the noise that was drawn: the step keeps the noise that the guess leaves over.
sigma_s * (x_t - alpha * guess) / sigma -> sigma_s * (x_t - alpha * guess)
    What is left over is the noise times sigma: it has to be divided by that sigma.
sigma_s * (x_t - alpha * guess) / sigma -> sigma * (x_t - alpha * guess) / sigma
    The noise keeps the size that it had at t: at s it is sigma of s.
sigma_s * (x_t - alpha * guess) / sigma -> sigma_s * (x_t - alpha_s * guess) / sigma
    The guess is taken away with the alpha of s: x_t holds it with that of t.
x_s = alpha_s * guess -> x_s = alpha * guess
    The guess comes in with the alpha of t: at s it is that of s.
guess = denoise(x_t, t) -> guess = denoise(x_t, s)
    The teacher is told the time s: x_t stands at t.
guess = denoise(x_t, t) -> guess = f(x_t, t)
    The student makes the step: the teacher is asked for it.
x_t = schedule.add_noise(x0, eps, t) -> x_t = schedule.add_noise(x0, torch.randn_like(x0), t)
    You draw new noise: eps is given.
c = 0.00054 * math.sqrt(apart.shape[1]) -> c = 0.00054 * math.sqrt(apart.numel())
    You count the numbers of the whole batch: D counts those of one sample.
guess = denoise(x_t, t) -> guess = denoise(x_t, t).detach() && with torch.no_grad(): -> if True:
    A gradient flows through the target: it would be pulled towards the student.
return distance(f(x_t, t), target) -> return distance(f(x_t, s), target)
    The student is told the time s: what it sees stands at t.
return distance(f(x_t, t), target) -> return distance(f(x_s, s), target)
    The student is asked at the same place as the target: it answers where the noise is stronger.
target = f_target(x_s, s) -> target = denoise(x_s, s)
    The target is the teacher's guess one step down: f_target answers there.
c = 0.00054 * math.sqrt(apart.shape[1]) -> c = 0.00054 * math.sqrt(a.shape[1])
    You count along dimension 1 only: D counts all numbers of a sample.
(apart.square().sum(1) + c**2).sqrt() - c -> apart.square().sum(1) + c**2
    The root is missing, and the c at the end.
x_s = alpha_s * guess -> x_s = guess
    The guess is not multiplied by the alpha of s.
sigma_s * (x_t - alpha * guess) / sigma -> sigma * (x_t - alpha * guess) / sigma_s
    The two sigmas have changed places: divide by that of t, multiply by that of s.
"""

RIGHT = r"""
(apart.square().sum(1) + c**2).sqrt() - c -> torch.hypot(apart.norm(dim=1), torch.full_like(apart[:, 0], c)) - c
sigma_s * (x_t - alpha * guess) / sigma -> sigma_s / sigma * x_t - alpha * sigma_s / sigma * guess
target = f_target(x_s, s) -> target = f_target(x_s, s).detach()
"""

WRONG = r"""
0.00054 -> 0.0054
alpha, sigma = (per_sample(a, x0) -> alpha, sigma = (a[0]
return distance(f(x_t, t), target) -> return 2 * distance(f(x_t, t), target)
"""

EQUIVALENT = """
a - b -> b - a
    a distance is the same both ways
distance(f(x_t, t), target) -> distance(target, f(x_t, t))
    a distance is the same both ways
"""
