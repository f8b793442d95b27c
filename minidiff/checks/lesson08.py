"""Lesson 08, latent diffusion: what the exercises are checked against."""

import math
from functools import cache

import torch

from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import mistakes, random_alpha_bars, uniform, whole
from minidiff.denoise import V, loss
from minidiff.schedule import Discrete
from minidiff.train.run import update_average

# 8.1 The loss of a training step


def training_loss(net, mean, factor, states, empty, left_out, t, eps, alpha_bar):
    """The reference: `denoise.loss`, of scaled latents and of captions of which some are empty."""
    schedule = Discrete(1 - alpha_bar[1:] / alpha_bar[:-1])
    told = torch.where(left_out[:, None, None], empty, states)
    return loss(net, factor * mean, t, told, schedule, V, eps=eps).mean()


def _loss(
    latents=lambda mean, factor: factor * mean,
    told=lambda states, empty, out: torch.where(out[:, None, None], empty, states),
    levels=lambda bar: (bar.sqrt(), (1 - bar).sqrt()),
    index=lambda t: t,
    state=lambda z, eps, a, s: a * z + s * eps,
    time=lambda t: t - 1,
    target=lambda z, eps, a, s: a * eps - s * z,
    reduce=lambda error: error.square().mean(),
):
    """A wrong `training_loss`, from its parts."""

    def wrong(net, mean, factor, states, empty, left_out, t, eps, alpha_bar):
        z = latents(mean, factor)
        a, s = (level[:, None, None, None] for level in levels(alpha_bar[index(t)].to(mean)))
        answer = net(state(z, eps, a, s), time(t), told(states, empty, left_out))
        return reduce(answer - target(z, eps, a, s))

    return wrong


def _toy(x, t, states):
    """A stand-in for a U-Net: its answer depends on the state, the time and every state of the text."""
    text = (states * torch.arange(1, states.shape[1] + 1)[:, None].to(x)).mean((1, 2))
    return torch.tanh(0.8 * x + 0.3 * x.roll(1, -1) + text[:, None, None, None]) - 0.02 * t.to(x)[:, None, None, None]


def _loss_cases(g):
    cases = []
    for dtype in (torch.float64, torch.float32, torch.float64):
        b, side, T = whole(g, 4, 6), whole(g, 3, 5), whole(g, 20, 40)
        mean, eps = torch.randn(2, b, 4, side, side, generator=g, dtype=dtype)
        states = torch.randn(b, 5, 6, generator=g, dtype=dtype)
        empty = torch.randn(1, 5, 6, generator=g, dtype=dtype)
        left_out = torch.randperm(b, generator=g) < 1  # one of them, so that all, none and the others differ
        t = torch.randperm(T - 2, generator=g)[:b] + 2
        args = (_toy, 2 * mean + 1, uniform(g, 0.3, 0.6), states, empty, left_out, t, eps, random_alpha_bars(g, T))
        cases.append(Case("training_loss", args))
    return cases


_TRAINING = Exercise(
    title="the loss of a training step, in latents",
    reference={"training_loss": training_loss},
    cases=_loss_cases,
    mistakes=mistakes(
        "training_loss",
        (
            "forgets the factor",
            "The latents come as the VAE gives them: the scaling factor is missing.",
            _loss(latents=lambda mean, factor: mean),
        ),
        (
            "divides by the factor",
            "You divide by the scaling factor, which is what the decoder's side does. On the way in it multiplies.",
            _loss(latents=lambda mean, factor: mean / factor),
        ),
        (
            "asks for the noise",
            "Your target is the noise. This network is asked for the velocity.",
            _loss(target=lambda z, eps, a, s: eps),
        ),
        (
            "asks for the picture",
            "Your target is the clean latents. This network is asked for the velocity.",
            _loss(target=lambda z, eps, a, s: z),
        ),
        (
            "turns the velocity around",
            "The velocity has the wrong sign: the noise counts positive in it.",
            _loss(target=lambda z, eps, a, s: s * z - a * eps),
        ),
        (
            "swaps the factors of the velocity",
            "In the velocity alpha and sigma have changed places.",
            _loss(target=lambda z, eps, a, s: s * eps - a * z),
        ),
        (
            "adds in the velocity",
            "The velocity is a difference. Your target is a sum, which the network has been given already.",
            _loss(target=lambda z, eps, a, s: a * z + s * eps),
        ),
        (
            "forgets the roots",
            "The roots are missing: alpha_bar and its complement are variances.",
            _loss(levels=lambda bar: (bar, 1 - bar)),
        ),
        (
            "sigma is one minus alpha",
            "The noise has the wrong strength: the squares of alpha and sigma add up to 1, not the two themselves.",
            _loss(levels=lambda bar: (bar.sqrt(), 1 - bar.sqrt())),
        ),
        (
            "swaps alpha and sigma",
            "Alpha and sigma have changed places, everywhere: at small t there should be little noise.",
            _loss(levels=lambda bar: ((1 - bar).sqrt(), bar.sqrt())),
        ),
        (
            "swaps signal and noise",
            "In the noisy latents alpha and sigma have changed places. The target has them right.",
            _loss(state=lambda z, eps, a, s: s * z + a * eps),
        ),
        (
            "one time too early",
            "The noise is that of the time before: alpha_bar has its clean entry at 0, and t counts from there.",
            _loss(index=lambda t: t - 1),
        ),
        (
            "tells the time itself",
            "The network is told t. It was built to be told the index of the papers, which is one less.",
            _loss(time=lambda t: t),
        ),
        (
            "shows clean latents",
            "The network is shown the clean latents: there is no noise to find in them.",
            _loss(state=lambda z, eps, a, s: z),
        ),
        (
            "leaves no caption out",
            "Every caption is told, also those that should be left out, so guidance would have nothing to lean on.",
            _loss(told=lambda states, empty, out: states),
        ),
        (
            "leaves all captions out",
            "No caption is told at all: only those marked should be left out.",
            _loss(told=lambda states, empty, out: empty.expand_as(states)),
        ),
        (
            "leaves out the others",
            "The wrong captions are left out: True marks those that are.",
            _loss(told=lambda states, empty, out: torch.where(out[:, None, None], states, empty)),
        ),
        (
            "silence for the empty caption",
            "A caption that is left out becomes zeros. The empty caption has states of its own, used in drawing.",
            _loss(told=lambda states, empty, out: states.masked_fill(out[:, None, None], 0.0)),
        ),
        (
            "sums",
            "You took the sum of the squares: the loss would grow with the size of batch and picture. Take the mean.",
            _loss(reduce=lambda error: error.square().sum()),
        ),
        (
            "sums over a picture",
            "You took the mean over the batch and the sum over each picture's numbers. Take the mean over both.",
            _loss(reduce=lambda error: error.square().flatten(1).sum(1).mean()),
        ),
        (
            "one loss for each",
            "You gave one loss for each sample. One number is asked for, the mean over all.",
            _loss(reduce=lambda error: error.square().flatten(1).mean(1)),
        ),
        (
            "absolute errors",
            "You took absolute errors. They lead to the median of what may be under the noise, squares to its mean.",
            _loss(reduce=lambda error: error.abs().mean()),
        ),
        (
            "the root of it",
            "You took the root of the mean square.",
            _loss(reduce=lambda error: error.square().mean().sqrt()),
        ),
        (
            "squares the mean",
            "You squared after taking the mean: errors up and down cancel in that.",
            _loss(reduce=lambda error: error.mean().square()),
        ),
        (
            "changes its input",
            MUTATES,
            lambda net, mean, factor, *others: training_loss(net, mean.mul_(factor), 1.0, *others),
        ),
    ),
    hints=(
        "Five lines: the latents scaled, the captions with some of them emptied, alpha and sigma of each sample's "
        "time, the noisy latents, and the squared error against the velocity.",
        "torch.where chooses between two tensors by a bool. It must be told along which axis the samples lie: index "
        "with None.",
        "Entries of alpha_bar are variances of the signal, and it is in float64: bring it to the dtype of the latents.",
        "The lesson's table has the velocity. Its alpha and sigma are those of the same time as in the noisy latents.",
    ),
)


# 8.2 The average of the weights


def ema(first, later, most):
    """The reference: what minidiff.train does after each step. A test compares it with diffusers' EMAModel."""
    average = {i: tensor.clone() for i, tensor in enumerate(first)}
    for step, weights in enumerate(later):
        update_average(average, dict(enumerate(weights)), step, most)
    return list(average.values())


def _averaged(
    decay=lambda n, most: min(most, (1 + n) / (10 + n)),
    mix=lambda old, new, d: d * old + (1 - d) * new,
    begin=lambda first, later: first,
    shown=lambda first, later: later,
    each=False,
):
    """A wrong `ema`, from its parts; with `each`, a step is counted for each tensor."""

    def wrong(first, later, most):
        average, n = [tensor.clone() for tensor in begin(first, later)], 0
        for weights in shown(first, later):
            for i, new in enumerate(weights):
                average[i] = mix(average[i], new, decay(n, most))
                n += each
            n += not each
        return average

    return wrong


def _ema_cases(g):
    cases = []
    for steps, most, dtype in (
        (whole(g, 3, 5), 0.999, torch.float64),
        (whole(g, 60, 80), uniform(g, 0.8, 0.85), torch.float64),
        (whole(g, 20, 30), uniform(g, 0.5, 0.6), torch.float32),
    ):
        shapes = [(whole(g, 2, 3), 3), (whole(g, 2, 4),), (2, 1, 2)]
        draws = [[torch.randn(shape, generator=g, dtype=dtype) for shape in shapes] for _ in range(steps + 1)]
        cases.append(Case("ema", ([tensor + 2 for tensor in draws[0]], draws[1:], most)))
    return cases


def _in_place(first, later, most):
    for n, weights in enumerate(later):
        for old, new in zip(first, weights, strict=True):
            old.lerp_(new, 1 - min(most, (1 + n) / (10 + n)))
    return first


def _live(first, later, most):
    """The training goes on from the average: each new step is taken from there."""
    average, before = [tensor.clone() for tensor in first], first
    for n, weights in enumerate(later):
        d = min(most, (1 + n) / (10 + n))
        moved = [a + new - old for a, new, old in zip(average, weights, before, strict=True)]
        average = [d * a + (1 - d) * m for a, m in zip(average, moved, strict=True)]
        before = weights
    return average


_EMA = Exercise(
    title="the average of the weights",
    reference={"ema": ema},
    cases=_ema_cases,
    mistakes=mistakes(
        "ema",
        (
            "swaps the two",
            "The new weights get the share that the average should keep. So it hardly remembers anything.",
            _averaged(mix=lambda old, new, d: (1 - d) * old + d * new),
        ),
        (
            "no warm-up",
            "The decay is at its highest from the first step on, so the random weights of the beginning stay too long.",
            _averaged(decay=lambda n, most: most),
        ),
        (
            "no highest decay",
            "The decay grows without end: it should stop at the highest one that you were given.",
            _averaged(decay=lambda n, most: (1 + n) / (10 + n)),
        ),
        (
            "the larger decay",
            "You took the larger of the two decays. The smaller one lets the average be quick at the beginning.",
            _averaged(decay=lambda n, most: max(most, (1 + n) / (10 + n))),
        ),
        (
            "counts from one",
            "Your count of the steps is one ahead: at the first step n is 0.",
            _averaged(decay=lambda n, most: min(most, (2 + n) / (11 + n))),
        ),
        (
            "counts tensors",
            "n counts steps. Yours grows with each tensor, so the decays within a step differ.",
            _averaged(each=True),
        ),
        (
            "starts from zero",
            "The average begins at zero instead of at the first weights.",
            _averaged(begin=lambda first, later: [torch.zeros_like(tensor) for tensor in first]),
        ),
        (
            "starts after a step",
            "The average begins at the weights after the first step, not at those before it.",
            _averaged(begin=lambda first, later: later[0]),
        ),
        (
            "one step late",
            "The average sees each step one too late: the last weights are not in it.",
            _averaged(shown=lambda first, later: [first, *later[:-1]]),
        ),
        (
            "no average",
            "These are the last weights, without any average.",
            lambda first, later, most: [tensor.clone() for tensor in later[-1]],
        ),
        (
            "the first weights",
            "These are the weights of the beginning: the average never moved.",
            lambda first, later, most: [tensor.clone() for tensor in first],
        ),
        (
            "all steps alike",
            "This is the plain mean over all steps. An exponential one forgets the old ones.",
            lambda first, later, most: [torch.stack(each).mean(0) for each in zip(first, *later, strict=True)],
        ),
        (
            "adds the new weights in full",
            "The new weights enter in full, so the average becomes far too large.",
            _averaged(mix=lambda old, new, d: d * old + new),
        ),
        (
            "keeps the old ones in full",
            "The old average stays in full while new weights come on top.",
            _averaged(mix=lambda old, new, d: old + (1 - d) * new),
        ),
        (
            "steps away",
            "The average moves away from the new weights: the difference has the wrong sign.",
            _averaged(mix=lambda old, new, d: old + (1 - d) * (old - new)),
        ),
        (
            "trains the average",
            "You let the training go on from the average. It should only watch: each new weight is as it was given.",
            _live,
        ),
        ("changes the first weights", MUTATES, _in_place),
    ),
    hints=(
        "Begin with copies of the first weights. For each step, for each tensor: old and new, mixed.",
        "The decay is the share that the average keeps; it depends on how many steps came before, and has a highest "
        "value.",
        "tensor.lerp(other, share) gives a new tensor that lies by that share of the way towards the other one.",
    ),
)


# 8.3 Min-SNR


def min_snr(snr, gamma, asked_for):
    """The reference. Hang et al. 2023, section 3.4; as factors of the losses on noise, picture and velocity."""
    if asked_for == "noise":
        return (gamma / snr).clamp(max=1)
    capped = snr.clamp(max=gamma)
    return capped if asked_for == "picture" else capped / (snr + 1)


def _weights(noise=None, picture=None, velocity=None):
    """A wrong `min_snr`, from what differs."""
    wrong = {"noise": noise, "picture": picture, "velocity": velocity}
    return lambda snr, gamma, asked_for: (wrong[asked_for] or (lambda s, g: min_snr(s, g, asked_for)))(snr, gamma)


def _of_the_picture(cap):
    """A wrong `min_snr`, from a wrong weight of the picture's error."""
    return lambda snr, gamma, asked_for: (
        cap(snr, gamma) / {"noise": snr, "picture": torch.ones_like(snr), "velocity": snr + 1}[asked_for]
    )


def _snr_cases(g):
    cases = []
    for asked_for in ("noise", "picture", "velocity"):
        for dark, dtype in ((False, torch.float64), (False, torch.float32), (True, torch.float64)):
            snr = torch.cat([uniform(g, 0.05, 2, 4), uniform(g, 8, 100, 4)])
            snr = torch.cat([snr, torch.zeros(1)]) if dark else snr
            snr = snr[torch.randperm(len(snr), generator=g)].to(dtype)
            cases.append(Case("min_snr", (snr, uniform(g, 3, 7), asked_for)))
    return cases


_SNR = Exercise(
    title="min-SNR's weights",
    reference={"min_snr": min_snr},
    cases=_snr_cases,
    mistakes=mistakes(
        "min_snr",
        (
            "not a number in the dark",
            "Where there is no signal at all, the noise's weight is no number: zero is divided by zero there. What is "
            "it just before?",
            _weights(noise=lambda s, g: s.clamp(max=g) / s),
        ),
        (
            "no signal, no weight",
            "Where there is no signal at all, the noise's weight is 0. What is it just before?",
            _weights(noise=lambda s, g: (s.clamp(max=g) / s).nan_to_num(0.0)),
        ),
        (
            "cuts from below",
            "You took the larger of the two: that makes easy times count even more.",
            _of_the_picture(lambda s, g: s.clamp(min=g)),
        ),
        (
            "does not cut",
            "The signal-to-noise ratio is not cut: gamma has no effect.",
            _of_the_picture(lambda s, g: s),
        ),
        (
            "cuts at one",
            "You cut at 1 whatever gamma is.",
            _of_the_picture(lambda s, g: s.clamp(max=1)),
        ),
        (
            "cuts softly",
            "Your weight bends where it should be cut off: below gamma it is the ratio itself.",
            _of_the_picture(lambda s, g: s * g / (s + g)),
        ),
        (
            "decibels",
            "You cut decibels. The signal-to-noise ratio is a plain number here.",
            _of_the_picture(lambda s, g: (10 * s.log10()).clamp(max=g)),
        ),
        (
            "amplitudes",
            "You took roots: the ratio that you are given is one of variances, and so is gamma's.",
            _of_the_picture(lambda s, g: s.sqrt().clamp(max=g)),
        ),
        (
            "the noise as the picture",
            "A loss on the noise already weighs the picture's error, by the ratio itself. That has to go out again.",
            _weights(noise=lambda s, g: s.clamp(max=g)),
        ),
        (
            "the velocity as the picture",
            "A loss on the velocity already weighs the picture's error, by one more than the ratio. That has to go out "
            "again.",
            _weights(velocity=lambda s, g: s.clamp(max=g)),
        ),
        (
            "the velocity as the noise",
            "For the velocity you gave the noise's weight. Its loss counts the picture's error a little differently.",
            _weights(velocity=lambda s, g: (g / s).clamp(max=1)),
        ),
        (
            "the noise as the velocity",
            "For the noise you gave the velocity's weight. Its loss counts the picture's error a little differently.",
            _weights(noise=lambda s, g: s.clamp(max=g) / (s + 1)),
        ),
        (
            "cuts the one as well",
            "For the velocity, the ratio below is cut, too. Only the weight is; what the loss does by itself is not.",
            _weights(velocity=lambda s, g: s.clamp(max=g) / (s.clamp(max=g) + 1)),
        ),
        (
            "one more above",
            "For the velocity you cut one more than the ratio. What is cut is the ratio itself.",
            _weights(velocity=lambda s, g: (s + 1).clamp(max=g) / (s + 1)),
        ),
        (
            "multiplies",
            "You multiply by what the loss does already, instead of dividing by it.",
            _weights(noise=lambda s, g: s.clamp(max=g) * s, velocity=lambda s, g: s.clamp(max=g) * (s + 1)),
        ),
        (
            "the picture gets 1",
            "For the picture you gave 1. Its loss weighs nothing by itself, so the whole weight is yours to give.",
            _weights(picture=lambda s, g: torch.ones_like(s)),
        ),
        (
            "brings them to a mean of 1",
            "You divided the weights by their mean. Then a weight would depend on the other times in the batch.",
            lambda *args: min_snr(*args) / min_snr(*args).mean(),
        ),
        (
            "changes its input",
            MUTATES,
            lambda snr, gamma, asked_for: min_snr(snr, gamma, asked_for) + 0 * snr.clamp_(max=gamma),
        ),
    ),
    hints=(
        "First the weight that the picture's error should get: the ratio, but at most gamma.",
        "The lesson shows by which factor each loss weighs the picture's error already. Your factor times that one is "
        "the weight it should get.",
        "For the noise, write the two cases down, below gamma and above it. Neither needs a division of zero by zero. "
        "A number divided by zero is infinite in torch, and can be clamped.",
    ),
)


# 8.4 Some times more often


def draw_times(u, shares):
    """The reference: the inverse of the distribution function."""
    places = torch.searchsorted(shares.cumsum(0) / shares.sum(), u, right=True)
    return places.clamp(max=len(shares) - 1) + 1


def undo(t, shares):
    """The reference. Nichol & Dhariwal 2021 (arXiv:2102.09672) eq. 18."""
    return shares.sum() / (len(shares) * shares[t - 1])


def _shares(g):
    """Times that are drawn often, seldom and, the first and some others, never; the sum is no power of two."""
    shares = uniform(g, 0.5, 3, whole(g, 8, 12))
    shares[0] = shares[len(shares) // 2] = 0
    return shares


def _times_cases(g):
    cases = []
    for n in (6, 40):
        u = torch.cat([torch.zeros(1, dtype=torch.float64), uniform(g, 0.02, 0.98, n)])
        cases.append(Case("draw_times", (u, _shares(g))))
    for _ in range(2):
        shares = _shares(g)
        drawn = shares.nonzero()[:, 0] + 1
        t = drawn[torch.randint(len(drawn), (7,), generator=g)]
        cases.append(Case("undo", (t, shares)))
    return cases


_DRAW = (
    (
        "all alike",
        "The shares are not used: every time is as likely as every other.",
        lambda u, shares: (u * len(shares)).long() + 1,
    ),
    (
        "counts from zero",
        "Your times are one too small: the first entry belongs to t = 1.",
        lambda u, shares: draw_times(u, shares) - 1,
    ),
    (
        "one too late",
        "Your times are one too large.",
        lambda u, shares: draw_times(u, shares) + 1,
    ),
    (
        "shares that do not add up",
        "The shares need not add up to 1. Yours are treated as if they did.",
        lambda u, shares: torch.searchsorted(shares.cumsum(0), u, right=True) + 1,
    ),
    (
        "draws what is never to be drawn",
        "At the very edge you draw a time whose share is 0. On which side does a number belong that hits the edge?",
        lambda u, shares: torch.searchsorted(shares.cumsum(0) / shares.sum(), u) + 1,
    ),
    (
        "from the other end",
        "The shares are laid out from the last time to the first, so a small u gives a late time.",
        lambda u, shares: len(shares) - torch.searchsorted(shares.flip(0).cumsum(0) / shares.sum(), u, right=True),
    ),
    (
        "the likeliest",
        "You always give the likeliest time: u has no effect.",
        lambda u, shares: torch.full(u.shape, int(shares.argmax()) + 1),
    ),
    (
        "turned around",
        "Times with a large share are drawn seldom, those with a small one often.",
        lambda u, shares: draw_times(u, (shares.max() + 0.1 - shares) * (shares > 0)),
    ),
    (
        "squares",
        "The shares are squared: large ones are drawn too often.",
        lambda u, shares: draw_times(u, shares.square()),
    ),
    (
        "sorts",
        "The times come out sorted. Each number gives its own time, in the order given.",
        lambda u, shares: draw_times(u, shares).sort().values,
    ),
    (
        "changes its input",
        MUTATES,
        lambda u, shares: draw_times(u, shares.div_(shares.sum())),
    ),
)
_UNDO = (
    (
        "the likelihood itself",
        "You give a time the more weight the oftener it is drawn. It has too much already.",
        lambda t, shares: len(shares) * shares[t - 1] / shares.sum(),
    ),
    (
        "forgets how many there are",
        "The factors are too large, all alike: if every time had the same share, each should be 1.",
        lambda t, shares: shares.sum() / shares[t - 1],
    ),
    (
        "shares for likelihoods",
        "The shares need not add up to 1. Yours are treated as if they did.",
        lambda t, shares: 1 / (len(shares) * shares[t - 1]),
    ),
    (
        "against the mean of these",
        "You divided by the mean over the times drawn. A factor must not depend on the others in the batch.",
        lambda t, shares: undo(t, shares) / undo(t, shares).mean(),
    ),
    (
        "against the largest",
        "You compare with the likeliest time. It is the mean over all times that has to stay as it was.",
        lambda t, shares: shares.max() / shares[t - 1],
    ),
    (
        "the root",
        "You took a root: that undoes only a part.",
        lambda t, shares: undo(t, shares).sqrt(),
    ),
    (
        "the next time's",
        "These are the factors of the times after: the first entry belongs to t = 1.",
        lambda t, shares: undo(t % len(shares) + 1, shares),
    ),
    (
        "nothing to undo",
        "You gave 1 for all: the times that are drawn often would count more.",
        lambda t, shares: torch.ones(len(t), dtype=shares.dtype),
    ),
)

_TIMES = Exercise(
    title="some times more often",
    reference={"draw_times": draw_times, "undo": undo},
    cases=_times_cases,
    mistakes=(*mistakes("draw_times", *_DRAW), *mistakes("undo", *_UNDO)),
    hints=(
        "Lay the shares end to end on a line from 0 to 1. A number u falls into one of them: that is its time.",
        "torch.cumsum gives the ends of the pieces, torch.searchsorted says into which piece a number falls. Read what "
        "its argument `right` does.",
        "A time that is drawn twice as often as it would be by equal chances should count half. By equal chances each "
        "of T times is drawn with 1 divided by T.",
    ),
)


# 8.5 A recipe

CURVATURES = torch.logspace(0, -2, 12, dtype=torch.float64)
RUNS, BATCH_NOISE, GOAL = 256, 0.5, 0.008


@cache
def outcome(recipe):
    """(loss of the weights, loss of their average) after a training by these (rate, decay), over the loss at first.

    A valley, steep along some directions and flat along others; gradients are noisy, the more the steeper (a noisy
    quadratic model, Zhang et al. 2019, arXiv:1907.04164). Means over many runs.
    """
    g = torch.Generator().manual_seed(0)
    weights = torch.ones(RUNS, len(CURVATURES), dtype=torch.float64)
    average = weights.clone()
    for rate, decay in recipe:
        noise = torch.randn(weights.shape, generator=g, dtype=torch.float64)
        weights = weights - rate * (CURVATURES * weights + BATCH_NOISE * CURVATURES.sqrt() * noise)
        average = decay * average + (1 - decay) * weights
    losses = [(CURVATURES * w.square()).sum(1).mean() / CURVATURES.sum() for w in (weights, average)]
    return tuple(min(loss.item(), 1e9) if loss.isfinite() else 1e9 for loss in losses)


def my_recipe(steps):
    """One right answer of many: a high rate that falls along half a cosine, and an average of the last part."""
    return [
        (0.6 * (1 + math.cos(math.pi * step / steps)) / 2, min(0.98, (1 + step) / (10 + step))) for step in range(steps)
    ]


def _judged(recipe, steps):
    """[which kind: 0 fine, 1 no pairs, 2 not as many as steps, 3 rates, 4 decays; loss of weights, of the average]"""
    kind = 0
    try:
        recipe = tuple((float(rate), float(decay)) for rate, decay in recipe)
    except (TypeError, ValueError):
        kind = 1
    else:
        if len(recipe) != steps:
            kind = 2
        elif not all(0 <= rate <= 10 for rate, _ in recipe):
            kind = 3
        elif not all(0 <= decay <= 1 for _, decay in recipe):
            kind = 4
    return torch.tensor([kind, *(outcome(recipe) if kind == 0 else (1, 1))], dtype=torch.float64)


def _each(test):
    return lambda results: all(test(*result.tolist()) for _, result in results)


_OPEN = {
    "pairs": "my_recipe should give a list of pairs: the rate and the decay of each step.",
    "count": "There should be one pair for each of the steps you were given, no fewer and no more.",
    "rates": "Rates are numbers from 0 to 10.",
    "decays": "Decays are numbers from 0 to 1: the share of itself that the average keeps.",
    "apart": "The weights fly apart: the rate is too high for the steepest direction.",
    "lost": "The weights got near the bottom, but the average did not: how long does it remember the beginning?",
    "goal": "Not low enough. Flat directions need a high rate for a long time; at the end noise has to be "
    "averaged out, or the rate lowered. Which of the two is missing?",
}

_RECIPE = Exercise(
    title="open-ended: a recipe",
    reference={"my_recipe": my_recipe},
    cases=lambda g: [
        Case("my_recipe", (steps,), read=lambda recipe, steps=steps: _judged(recipe, steps))
        for steps in (400, whole(g, 401, 500))
    ],
    properties=(
        (_OPEN["pairs"], _each(lambda kind, *_: kind != 1)),
        (_OPEN["count"], _each(lambda kind, *_: kind != 2)),
        (_OPEN["rates"], _each(lambda kind, *_: kind != 3)),
        (_OPEN["decays"], _each(lambda kind, *_: kind != 4)),
        (_OPEN["apart"], _each(lambda kind, plain, mean: plain < 2)),
        (_OPEN["lost"], _each(lambda kind, plain, mean: mean < GOAL or mean < 3 * plain)),
        (_OPEN["goal"], _each(lambda kind, plain, mean: mean < GOAL)),
    ),
    mistakes=mistakes(
        "my_recipe",
        ("one rate", _OPEN["pairs"], lambda steps: 0.5),
        ("a step too few", _OPEN["count"], lambda steps: my_recipe(steps)[:-1]),
        ("negative rates", _OPEN["rates"], lambda steps: [(-0.1, 0.9)] * steps),
        ("per cent", _OPEN["decays"], lambda steps: [(0.5, 98)] * steps),
        ("too high", _OPEN["apart"], lambda steps: [(2.5, 0.9)] * steps),
        ("too long a memory", _OPEN["lost"], lambda steps: [(rate, 0.999) for rate, _ in my_recipe(steps)]),
        ("no average, one rate", _OPEN["goal"], lambda steps: [(0.5, 0.0)] * steps),
    ),
    hints=(
        "First try one rate for all steps, without an average, and print what the two losses are for a high and for a "
        "low rate.",
        "The lesson's recipe has two parts against noise: the rate falls along half a cosine, and the weights are "
        "averaged. Try each alone, then both.",
        "An average with decay d looks back about 1 divided by (1 - d) steps. How many steps at the end are good ones?",
    ),
)

EXERCISES = {
    "8.1": _TRAINING,
    "8.2": _EMA,
    "8.3": _SNR,
    "8.4": _TIMES,
    "8.5": _RECIPE,
}
