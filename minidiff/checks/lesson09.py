"""Lesson 09, editing: what the exercises are checked against."""

import math
from functools import cache

import torch
import torch.nn.functional as F

from minidiff.arguments import skipped_steps
from minidiff.canvas import Canvas
from minidiff.checks import Case, Exercise
from minidiff.checks.attempt import MUTATES
from minidiff.checks.parts import mistakes, random_alpha_bars, uniform, whole
from minidiff.guide import inpaint
from minidiff.pipeline import SCHEDULE
from minidiff.sample import ddim
from minidiff.schedule import Discrete, noise_like, trailing
from minidiff.show import to_pil

# 9.1 Where image to image begins


def start(z, eps, alpha_bar, times, strength):
    """The reference: the pipeline's count of steps, and `Discrete.add_noise`."""
    left = times[skipped_steps(len(times) - 1, strength) :]
    return Discrete(1 - alpha_bar[1:] / alpha_bar[:-1]).add_noise(z, eps, left[0]), left


def _begun(
    done=lambda n, strength: int(n * strength),
    left=lambda times, done: times[len(times) - 1 - done :],
    at=lambda times, left: left[0],
    level=lambda a, t: a[t],
    mix=lambda z, eps, a, strength: a.sqrt() * z + (1 - a).sqrt() * eps,
):
    """A wrong `start`, from how many steps are done, what is left, when it begins, and how the noise is mixed in."""

    def wrong(z, eps, alpha_bar, times, strength):
        rest = left(times, done(len(times) - 1, strength))
        a = level(alpha_bar, int(at(times, rest)))
        return mix(z, eps, a.to(z), strength), rest

    return wrong


def _start_cases(g):
    cases = []
    for low, high, part, dtype in (  # where rounding, rounding up and counting entries differ from cutting
        (0.35, 0.6, 0.7, torch.float64),
        (0.65, 0.8, 0.4, torch.float32),
        (0.2, 0.35, 0.3, torch.float64),
        (1, 1, 0, torch.float64),
    ):
        n, T = whole(g, 10, 14), whole(g, 40, 60)
        chosen = torch.randperm((T - 1) // 2, generator=g)[:n].sort(descending=True).values
        times = 2 * (chosen + 1)  # the next time is not just the one before
        strength = (whole(g, math.ceil(low * n), int(high * n)) + part) / n
        z, eps = torch.randn(2, whole(g, 2, 3), 4, whole(g, 3, 5), whole(g, 3, 5), generator=g, dtype=dtype)
        times = torch.cat([times, torch.zeros(1)]).double()
        cases.append(Case("start", (2 * z + 1, eps, random_alpha_bars(g, T), times, strength)))
    return cases


_START = Exercise(
    title="where image to image begins",
    reference={"start": start},
    cases=_start_cases,
    mistakes=mistakes(
        "start",
        (
            "rounds",
            "One step too many here and there: the number of steps is cut to a whole number, not rounded.",
            _begun(done=lambda n, s: round(n * s)),
        ),
        (
            "rounds up",
            "One step too many: the number of steps is cut to a whole number, not rounded up.",
            _begun(done=lambda n, s: math.ceil(n * s)),
        ),
        (
            "counts the entries",
            "You counted the times. There is one more of them than there are steps between them.",
            _begun(done=lambda n, s: min(n, int((n + 1) * s))),
        ),
        (
            "the other share",
            "A large strength should do many steps. Yours leaves out that share and does the rest.",
            _begun(done=lambda n, s: int(n * (1 - s))),
        ),
        (
            "one step too few",
            "One step is missing at the beginning.",
            _begun(left=lambda times, done: times[len(times) - done :]),
        ),
        (
            "the first steps",
            "You kept the first steps, those in much noise, and so the picture would never become clean.",
            _begun(left=lambda times, done: times[: done + 1]),
        ),
        (
            "stops before the end",
            "The last time is missing: the steps have to end at 0.",
            _begun(left=lambda times, done: times[len(times) - 1 - done : -1], at=lambda times, left: left[0]),
        ),
        (
            "does all steps",
            "The strength is not used for the times: all of them are still there.",
            _begun(left=lambda times, done: times, at=lambda times, left: times[0]),
        ),
        (
            "noised to the top",
            "The right times are left, but the picture was noised to the very first time of the whole list.",
            _begun(at=lambda times, left: times[0]),
        ),
        (
            "noised to the next",
            "The right times are left, but the noise is that of the second of them: it begins at the first.",
            _begun(at=lambda times, left: left[1]),
        ),
        (
            "the network's time",
            "The noise is off by one: alpha_bar has its clean entry at 0 here, as the times have.",
            _begun(level=lambda a, t: a[t - 1]),
        ),
        (
            "strength is noise",
            "You took the strength for the amount of noise. It is a share of steps: how much noise there is at that "
            "time, alpha_bar says.",
            _begun(mix=lambda z, eps, a, s: (1 - s) * z + s * eps),
        ),
        (
            "forgets the roots",
            "The roots are missing: alpha_bar and its complement are variances.",
            _begun(mix=lambda z, eps, a, s: a * z + (1 - a) * eps),
        ),
        (
            "sigma is one minus alpha",
            "The noise has the wrong strength: the squares of both factors add up to 1, not the factors.",
            _begun(mix=lambda z, eps, a, s: a.sqrt() * z + (1 - a.sqrt()) * eps),
        ),
        (
            "swaps signal and noise",
            "Signal and noise have changed places.",
            _begun(mix=lambda z, eps, a, s: a.sqrt() * eps + (1 - a).sqrt() * z),
        ),
        (
            "no noise",
            "There is no noise in it, so there is nothing hidden that could be drawn anew.",
            _begun(mix=lambda z, eps, a, s: a.sqrt() * z),
        ),
        (
            "adds noise to the whole",
            "The picture is in it at full strength. It has to fade as the noise grows.",
            _begun(mix=lambda z, eps, a, s: z + (1 - a).sqrt() * eps),
        ),
        (
            "nothing of the picture",
            "That is noise alone: nothing of the picture is in it.",
            _begun(mix=lambda z, eps, a, s: (1 - a).sqrt() * eps),
        ),
        ("changes its input", MUTATES, lambda z, *others: (z.copy_(start(z, *others)[0]), start(z, *others)[1])),
    ),
    hints=(
        "How many steps does the whole list have? One fewer than it has entries.",
        "The steps that are done are the last ones. Slice the list from the right place to its end, 0 included.",
        "int(...) cuts a number to a whole one. That many steps are done, so the others are skipped.",
        "The state belongs to the first time that is left. It is whole, so it can be an index into alpha_bar: make an "
        "int of it. The rest is the forward process of lesson 01.",
    ),
)


# 9.2 A mask of latents


def latent_mask(mask, factor):
    """The reference: torch's max-pooling."""
    return F.max_pool2d(mask[None, None].float(), factor)


def _blocks(mask, factor):
    """(rows, factor, columns, factor)"""
    height, width = mask.shape
    return mask.float().reshape(height // factor, factor, width // factor, factor)


def _from_blocks(f):
    return lambda mask, factor: f(_blocks(mask, factor))[None, None]


def _wrong_blocks(mask, factor):
    height, width = mask.shape
    return mask.float().reshape(factor, height // factor, factor, width // factor).amax((0, 2))[None, None]


def _mask_cases(g):
    cases = []
    for factor, rows, columns in ((8, 5, 7), (4, 8, 6), (2, 9, 10)):
        pixels = factor * factor
        inside = torch.zeros(rows * columns, pixels, dtype=torch.bool)
        for row in inside[2 * columns :]:  # the first two rows of blocks are empty
            n = (0, 0, 0, 1, pixels // 4, pixels - pixels // 4, pixels)[whole(g, 0, 6)]
            row[torch.randperm(pixels, generator=g)[:n]] = True
        mask = inside.reshape(rows, columns, factor, factor).transpose(1, 2).reshape(rows * factor, columns * factor)
        cases.append(Case("latent_mask", (mask, factor)))
    return cases


_MASK = Exercise(
    title="a mask of latents that misses nothing",
    reference={"latent_mask": latent_mask},
    cases=_mask_cases,
    mistakes=mistakes(
        "latent_mask",
        (
            "the nearest pixel",
            "One corner of each block speaks for it, as in diffusers. Here a block counts as soon as any of its "
            "pixels does.",
            _from_blocks(lambda b: b[:, 0, :, 0].clone()),
        ),
        (
            "the last pixel",
            "The last corner of each block speaks for it. Here a block counts as soon as any of its pixels does.",
            _from_blocks(lambda b: b[:, -1, :, -1].clone()),
        ),
        (
            "the middle pixel",
            "One pixel in the middle of each block speaks for it: all of them have a say.",
            _from_blocks(lambda b: b[:, b.shape[1] // 2, :, b.shape[3] // 2].clone()),
        ),
        (
            "the majority",
            "You ask for a majority in the block. One single pixel is enough.",
            _from_blocks(lambda b: (b.mean((1, 3)) >= 0.5).float()),
        ),
        (
            "the share",
            "Your blocks are grey. A block with one pixel in it is redrawn as whole as one that is full.",
            _from_blocks(lambda b: b.mean((1, 3))),
        ),
        (
            "counts",
            "You counted the pixels of each block. The answer is only yes or no.",
            _from_blocks(lambda b: b.sum((1, 3))),
        ),
        (
            "all of them",
            "Yours is redrawn only where a whole block is marked: then a thin line is lost altogether.",
            _from_blocks(lambda b: b.amin((1, 3))),
        ),
        (
            "inverted",
            "Inside and outside have changed places.",
            _from_blocks(lambda b: 1 - b.amax((1, 3))),
        ),
        (
            "what is kept",
            "You marked the blocks in which anything is kept. Asked for are those in which anything is redrawn.",
            _from_blocks(lambda b: (1 - b).amax((1, 3))),
        ),
        (
            "blocks torn apart",
            "Your blocks are not made of neighbours: look at the order of the four sizes in the reshape.",
            _wrong_blocks,
        ),
        (
            "one row of each block",
            "You looked at the first row of each block only.",
            _from_blocks(lambda b: b[:, 0].amax(-1)),
        ),
        (
            "one column of each block",
            "You looked at the first column of each block only.",
            _from_blocks(lambda b: b[..., 0].amax(1)),
        ),
        (
            "transposed",
            "Height and width have changed places.",
            lambda mask, factor: latent_mask(mask, factor).transpose(2, 3),
        ),
        (
            "grows",
            "Your mask has grown: blocks without a marked pixel are in it, because their neighbours have one.",
            lambda mask, factor: F.max_pool2d(latent_mask(mask, factor), 3, 1, 1),
        ),
        (
            "not made smaller",
            "That is still the mask of pixels: it should be as many times smaller as the factor says.",
            lambda mask, factor: mask[None, None].float(),
        ),
        (
            "without batch and channel",
            "The numbers are right. Batch and channel are missing in front: two axes of size 1.",
            lambda mask, factor: latent_mask(mask, factor)[0, 0],
        ),
        (
            "everything",
            "Everything is redrawn, whatever the mask says.",
            lambda mask, factor: torch.ones_like(latent_mask(mask, factor)),
        ),
        ("changes its input", MUTATES, lambda mask, factor: latent_mask(mask.logical_not_(), factor)),
    ),
    hints=(
        "As soon as one of the pixels is True the block is. So of all the pixels in a block you want the largest, when "
        "True is 1 and False is 0.",
        "torch.nn.functional has a pooling of that kind. It wants floats, with batch and channel in front.",
        "Or by hand: reshape to four axes, rows of blocks, rows in a block, columns of blocks, columns in a block. "
        "Then take the largest over the second and the fourth.",
    ),
)


# 9.3 The blend


def put_back(x, known, eps, mask, alpha, sigma):
    """The reference: `guide.inpaint`, given a state in the place of an answer."""
    return correct(x, alpha * known + sigma * eps, mask)


def correct(x0, known, mask):
    """The reference: `guide.inpaint`."""
    return inpaint(lambda x, t: x0, known, mask)(None, None)


def _mix(a, b, mask):
    return mask * a + (1 - mask) * b


def _blend_cases(g):
    cases = []
    for b, one, soft, dtype in (
        (3, False, False, torch.float64),
        (2, True, True, torch.float32),
        (3, False, True, torch.float64),
    ):
        size = whole(g, 4, 6), whole(g, 4, 6)
        x, known, eps = torch.randn(3, b, 4, *size, generator=g, dtype=dtype)
        mask = uniform(g, 0, 1, 1 if one else b, 1, *size, dtype=dtype)
        mask = mask if soft else (mask < 0.4).to(dtype)
        alpha = uniform(g, 0.3, 0.9)
        cases.append((x, 1.5 * known + 1, eps, mask, alpha, math.sqrt(1 - alpha**2)))
    return [
        *(Case("put_back", case) for case in cases),
        *(Case("correct", (x, known, mask)) for x, known, _, mask, *_ in cases),
    ]


_BLEND = Exercise(
    title="the blend, on states and on answers",
    reference={"put_back": put_back, "correct": correct},
    cases=_blend_cases,
    mistakes=(
        *mistakes(
            "put_back",
            (
                "inverted",
                "In put_back the mask is the wrong way round: 1 is what is redrawn.",
                lambda x, known, eps, m, a, s: put_back(x, known, eps, 1 - m, a, s),
            ),
            (
                "clean",
                "put_back puts the known part there clean. The state has noise in it, and the network expects it "
                "everywhere.",
                lambda x, known, eps, m, a, s: _mix(x, known, m),
            ),
            (
                "faded only",
                "put_back lets the known part fade, but gives it no noise.",
                lambda x, known, eps, m, a, s: _mix(x, a * known, m),
            ),
            (
                "at full strength",
                "In put_back the known part has its noise, but has not faded.",
                lambda x, known, eps, m, a, s: _mix(x, known + s * eps, m),
            ),
            (
                "swaps alpha and sigma",
                "In put_back alpha and sigma have changed places.",
                lambda x, known, eps, m, a, s: put_back(x, known, eps, m, s, a),
            ),
            (
                "squares",
                "put_back uses squares. alpha and sigma are the factors themselves here, not variances.",
                lambda x, known, eps, m, a, s: put_back(x, known, eps, m, a * a, s * s),
            ),
            (
                "roots",
                "put_back takes roots. alpha and sigma are the factors themselves here; the roots are taken already.",
                lambda x, known, eps, m, a, s: put_back(x, known, eps, m, math.sqrt(a), math.sqrt(s)),
            ),
            (
                "adds",
                "put_back adds the known part everywhere. Where the mask is 1 nothing of it may be left.",
                lambda x, known, eps, m, a, s: m * x + a * known + s * eps,
            ),
            (
                "keeps the state below",
                "put_back lays the known part over the state without taking the state away there.",
                lambda x, known, eps, m, a, s: x + (1 - m) * (a * known + s * eps),
            ),
            (
                "noise everywhere",
                "put_back adds noise in the part that is redrawn, too. That part has its own already.",
                lambda x, known, eps, m, a, s: _mix(x, a * known, m) + s * eps,
            ),
            (
                "fades the state",
                "put_back lets the redrawn part fade. It is a state at this time already: leave it as it is.",
                lambda x, known, eps, m, a, s: _mix(a * x + s * eps, a * known + s * eps, m),
            ),
            (
                "cuts the mask",
                "put_back makes the mask hard. It may be soft: 0.3 is three parts redrawn and seven parts known.",
                lambda x, known, eps, m, a, s: put_back(x, known, eps, (m > 0.5).to(m), a, s),
            ),
            (
                "the first mask for all",
                "put_back uses the first mask for all pictures; where there is one for each, they may differ.",
                lambda x, known, eps, m, a, s: put_back(x, known, eps, m[:1], a, s),
            ),
            (
                "nothing known",
                "put_back leaves holes where the known part should be.",
                lambda x, known, eps, m, a, s: m * x,
            ),
            (
                "only the known part",
                "put_back has nothing of the state left: the mask is not used.",
                lambda x, known, eps, m, a, s: a * known + s * eps,
            ),
            ("does nothing", "put_back gives the state as it came.", lambda x, *others: x.clone()),
            (
                "changes its input",
                MUTATES,
                lambda x, known, eps, m, a, s: x.copy_(put_back(x, known, eps, m, a, s)),
            ),
        ),
        *mistakes(
            "correct",
            (
                "inverted",
                "In correct the mask is the wrong way round: 1 is what is redrawn.",
                lambda x0, known, m: _mix(known, x0, m),
            ),
            (
                "adds",
                "correct adds the known part everywhere. Where the mask is 1 nothing of it may be left.",
                lambda x0, known, m: m * x0 + known,
            ),
            (
                "the mean",
                "correct takes the mean of both everywhere. The mask says which of them counts.",
                lambda x0, known, m: (x0 + known) / 2,
            ),
            (
                "cuts the mask",
                "correct makes the mask hard. It may be soft: 0.3 is three parts redrawn and seven parts known.",
                lambda x0, known, m: torch.where(m > 0.5, x0, known),
            ),
            (
                "nothing known",
                "correct leaves holes where the known part should be.",
                lambda x0, known, m: m * x0,
            ),
            ("only the known part", "correct has nothing of the answer left.", lambda x0, known, m: known.clone()),
            ("does nothing", "correct gives the answer as it came.", lambda x0, known, m: x0.clone()),
        ),
    ),
    hints=(
        "A mask that is 1 or 0 chooses between two things: it multiplies one of them, and its complement the other.",
        "For put_back: what would the known part look like if it had been noised to this time, like everything else? "
        "That is the forward process, with the eps you are given.",
        "For correct there is no noise at all: an answer is a guess of the clean picture, and for the known part you "
        "have the clean picture.",
    ),
)


# 9.4 The canvas


def _fitting(pictures, margins, multiple):
    left, top, right, bottom = margins
    height, width = pictures.shape[2:]
    return left, top, right + -(left + width + right) % multiple, bottom + -(top + height + bottom) % multiple


def canvas(pictures, margins, multiple):
    """The reference: `Canvas.of`, with margins that fit."""
    made = Canvas.of(len(pictures), to_pil(pictures), None, _fitting(pictures, margins, multiple), multiple)
    return made.pictures, made.mask


def _padded(margins=_fitting, mode="replicate", marked=True, order=(0, 2, 1, 3)):
    """A wrong `canvas`, from its margins and how it is filled."""

    def wrong(pictures, given, multiple):
        pads = [margins(pictures, given, multiple)[i] for i in order]  # left, right, top, bottom
        larger = F.pad(pictures, pads, mode=mode)
        inside = torch.full((1, 1, *pictures.shape[2:]), not marked)
        return larger, F.pad(inside, pads, value=marked)

    return wrong


def _at_the_start(pictures, margins, multiple):
    left, top, right, bottom = _fitting(pictures, margins, multiple)
    height, width = pictures.shape[2:]
    return left + -(left + width + margins[2]) % multiple, top + -(top + height + margins[3]) % multiple, *margins[2:]


def _always_more(pictures, margins, multiple):
    left, top, right, bottom = margins
    height, width = pictures.shape[2:]
    return (
        left,
        top,
        right + multiple - (left + width + right) % multiple,
        bottom + multiple - (top + height + bottom) % multiple,
    )


def _rounded_margins(pictures, margins, multiple):
    return tuple(m + -m % multiple for m in margins)


def _changed(f):
    """A wrong `canvas`, from what is made of the right pictures and mask."""
    return lambda pictures, margins, multiple: f(*canvas(pictures, margins, multiple))


def _canvas_cases(g):
    cases = []
    for b, multiple, fits in ((2, 8, False), (1, 7, False), (3, 8, True)):
        height, width = whole(g, 26, 32), whole(g, 26, 32)
        left, top, right, bottom = (2 * i + whole(g, 0, 1) for i in (torch.randperm(4, generator=g) + 1).tolist())
        if fits:
            right, bottom = right + -(left + width + right) % multiple, bottom + -(top + height + bottom) % multiple
        else:  # neither side is a multiple
            right += (left + width + right) % multiple == 0
            bottom += (top + height + bottom) % multiple == 0
        pictures = torch.randint(256, (b, 3, height, width), generator=g).float() / 127.5 - 1
        cases.append(Case("canvas", (pictures, (left, top, right, bottom), multiple)))
    return cases


_CANVAS = Exercise(
    title="the canvas of outpainting",
    reference={"canvas": canvas},
    cases=_canvas_cases,
    mistakes=mistakes(
        "canvas",
        (
            "torch's order",
            "The margins are in another order than you pass them on: agreed is left, top, right, bottom, and torch's "
            "pad wants both sides of one axis first.",
            _padded(order=(0, 1, 2, 3)),
        ),
        (
            "left and right swapped",
            "Left and right have changed places.",
            _padded(order=(2, 0, 1, 3)),
        ),
        (
            "top and bottom swapped",
            "Top and bottom have changed places.",
            _padded(order=(0, 2, 3, 1)),
        ),
        (
            "height for width",
            "The margins of height and width have changed places.",
            _padded(order=(1, 3, 0, 2)),
        ),
        (
            "grey margins",
            "The margins are grey, 0, so there is a hard edge around the picture. Repeat its border outwards.",
            _padded(mode="constant"),
        ),
        (
            "mirrors",
            "The margins mirror the picture. Repeat only its border outwards.",
            _padded(mode="reflect"),
        ),
        (
            "wraps around",
            "The margins show the opposite side of the picture. Repeat the nearest border outwards.",
            _padded(mode="circular"),
        ),
        (
            "inverted",
            "The mask is the wrong way round: True is what is to be drawn.",
            _padded(marked=False),
        ),
        (
            "nothing to draw",
            "The mask is False everywhere: nothing would be drawn.",
            _changed(lambda pictures, mask: (pictures, torch.zeros_like(mask))),
        ),
        (
            "draws everything",
            "The mask is True everywhere: the picture itself would be drawn anew.",
            _changed(lambda pictures, mask: (pictures, torch.ones_like(mask))),
        ),
        (
            "does not make it fit",
            "The sides are no multiples of the number given: add what is missing at the right and at the bottom.",
            _padded(margins=lambda pictures, margins, multiple: margins),
        ),
        (
            "fits at the left and the top",
            "What is missing to a multiple was added at the left and at the top: agreed is right and bottom.",
            _padded(margins=_at_the_start),
        ),
        (
            "always more",
            "Where a side fits already you add a whole multiple more.",
            _padded(margins=_always_more),
        ),
        (
            "rounds the margins",
            "You rounded each margin up to a multiple. The sides of the canvas have to be multiples; the margins need "
            "not.",
            _padded(margins=_rounded_margins),
        ),
        (
            "a mask for each channel",
            "The mask has a channel for each colour: one is enough for all.",
            _changed(lambda pictures, mask: (pictures, mask.expand(-1, 3, -1, -1).clone())),
        ),
        (
            "a mask of numbers",
            "The mask holds numbers: True and False are asked for.",
            _changed(lambda pictures, mask: (pictures, mask.float())),
        ),
        (
            "the mask first",
            "The mask comes second, after the pictures.",
            _changed(lambda pictures, mask: (mask, pictures)),
        ),
        (
            "changes its input",
            MUTATES,
            lambda pictures, margins, multiple: canvas(pictures.neg_(), margins, multiple),
        ),
    ),
    hints=(
        "torch.nn.functional.pad does both, pictures and mask. Look up in which order it wants the four numbers, and "
        "which of its modes repeats the border.",
        "The mask of the picture alone is False everywhere. Pad it with True by the same margins: no mode needed, a "
        "value.",
        "How much is missing to a multiple of 8? In Python the remainder of a negative number is positive: try minus "
        "13 modulo 8.",
    ),
)


# 9.5 A step back up


def step_up(x, eps, alpha_s, sigma_s, alpha_t, sigma_t):
    """The reference: q(x_t | x_s). A test compares it with diffusers' RePaintScheduler."""
    ratio = alpha_t / alpha_s
    return ratio * x + math.sqrt(sigma_t**2 - (ratio * sigma_s) ** 2) * eps


def _up(scale, spread):
    """A wrong `step_up`, from the factors of x and eps, given alphas and sigmas."""
    return lambda x, eps, *levels: scale(*levels) * x + spread(*levels) * eps


def _ratio(alpha_s, sigma_s, alpha_t, sigma_t):
    return alpha_t / alpha_s


def _missing(alpha_s, sigma_s, alpha_t, sigma_t):
    return math.sqrt(sigma_t**2 - (alpha_t / alpha_s * sigma_s) ** 2)


def _up_cases(g):
    cases = []
    for kind, dtype in (
        ("vp", torch.float64),
        ("vp", torch.float32),
        ("flow", torch.float64),
        ("last", torch.float64),
        ("ve", torch.float64),
    ):
        s, t = uniform(g, 0.2, 0.45), uniform(g, 0.55, 0.9)
        x, eps = torch.randn(2, 2, 4, whole(g, 2, 4), whole(g, 2, 4), generator=g, dtype=dtype)
        levels = {
            "vp": (math.sqrt(1 - s * s), s, math.sqrt(1 - t * t), t),
            "flow": (1 - s, s, 1 - t, t),
            "ve": (1.0, s, 1.0, 2 * t),
            "last": (math.sqrt(1 - s * s), s, 0.0, 1.0),  # up to pure noise
        }[kind]
        cases.append(Case("step_up", (x + 1, eps, *levels)))
    return cases


_STEP_UP = Exercise(
    title="a step back up",
    reference={"step_up": step_up},
    cases=_up_cases,
    mistakes=mistakes(
        "step_up",
        (
            "from clean data",
            "You noised x as if it were clean. It has noise in it already, and has faded already.",
            _up(lambda a, s, b, t: b, lambda a, s, b, t: t),
        ),
        (
            "all the noise again",
            "The signal is right, but you added all the noise of t. A part of it is in x already.",
            _up(_ratio, lambda a, s, b, t: t),
        ),
        (
            "adds the difference",
            "You added the difference of the two sigmas. Independent noises add up by their variances.",
            _up(_ratio, lambda a, s, b, t: t - s),
        ),
        (
            "forgets that noise fades",
            "The noise in x fades with the signal when you scale x. You counted it as it was.",
            _up(_ratio, lambda a, s, b, t: math.sqrt(t * t - s * s)),
        ),
        (
            "fades by the square",
            "The noise in x fades by the same factor as the signal. That factor has to be squared in a variance, as "
            "the sigma is.",
            _up(_ratio, lambda a, s, b, t: math.sqrt(t * t - b / a * s * s)),
        ),
        (
            "only for alphas and sigmas on a circle",
            "Right where the squares of alpha and sigma add up to 1. Other schedules exist, and you were given both "
            "sigmas.",
            _up(_ratio, lambda a, s, b, t: math.sqrt(max(0.0, 1 - (b / a) ** 2))),
        ),
        (
            "forgets the root",
            "The new noise is multiplied by a variance: take the root.",
            _up(_ratio, lambda *levels: _missing(*levels) ** 2),
        ),
        (
            "does not fade",
            "x is in it as it was: from s to t the signal has to fade.",
            _up(lambda *levels: 1.0, _missing),
        ),
        (
            "the root of the fading",
            "The signal fades by the wrong factor: alpha is a factor already, and no variance.",
            _up(lambda *levels: math.sqrt(_ratio(*levels)), _missing),
        ),
        (
            "adds a difference of alphas",
            "The signal fades by the wrong factor: what brings one alpha to the other is a quotient.",
            _up(lambda a, s, b, t: 1 - (a - b), _missing),
        ),
        (
            "the wrong sign",
            "The noise has the wrong sign. The distribution is the same, but this is not the x that eps stands for.",
            _up(_ratio, lambda *levels: -_missing(*levels)),
        ),
        (
            "no noise",
            "There is no new noise in it.",
            _up(_ratio, lambda *levels: 0.0),
        ),
        (
            "stays where it was",
            "You gave x as it came.",
            lambda x, *others: x.clone(),
        ),
        (
            "changes its input",
            MUTATES,
            lambda x, *others: x.copy_(step_up(x, *others)),
        ),
    ),
    hints=(
        "x holds alpha_s times a clean picture. By what must you multiply it so that it holds alpha_t times the same "
        "picture?",
        "That factor multiplies the noise in x, too. How large is its standard deviation then?",
        "There should be noise of the standard deviation sigma_t in the end. Two independent noises have a variance "
        "that is the sum of theirs: so you know the variance of what is missing.",
        "eps has variance 1. Multiply it by the root of the variance that is missing.",
    ),
)


# 9.6 A way down, and up again

SHADES = torch.tensor([-1.5, -0.75, 0.0, 0.75, 1.5], dtype=torch.float64)
WIDTH, CALLS = 0.12, 60


def _exact(x, t):
    """The best denoiser of two pixels that always have the same shade."""
    alpha, sigma = SCHEDULE(t)
    variance = (alpha * WIDTH) ** 2 + sigma**2
    away = x[:, None] - alpha * SHADES[:, None]
    likely = (-away.square().sum(-1) / (2 * variance)).softmax(1)
    return (likely[..., None] * (SHADES[:, None] + alpha * WIDTH**2 / variance * away)).sum(1)


@cache
def outcome(times, n=600):
    """(calls, share that fits, width of those): the right pixel inpainted beside the left one along these times."""
    g, mask = torch.Generator().manual_seed(0), torch.tensor([0.0, 1.0], dtype=torch.float64)
    known = SHADES.repeat_interleave(n)[:, None].expand(-1, 2)
    x, calls = noise_like(known, g), 0
    for t, s in zip(times, times[1:], strict=False):
        if s > t:
            levels = [float(a) for a in (*SCHEDULE(t), *SCHEDULE(s))]
            x = step_up(x, noise_like(x, g), *levels)
        else:
            (x,) = ddim(_exact, x, SCHEDULE, [t, s], eta=1.0, generator=g)
            x = correct(x, SCHEDULE.add_noise(known, noise_like(known, g), s), mask)
            calls += 1
    off = x[:, 1] - known[:, 1]
    fits = off[off.abs() < 4 * WIDTH]
    return calls, len(fits) / len(off), (fits.square().mean().sqrt() / WIDTH).item() if len(fits) else 0.0


def again(n, rounds):
    """n steps down, each but the last one taken rounds(t) times."""
    grid, times = trailing(1000, n).tolist(), [1000.0]
    for t, s in zip(grid, grid[1:], strict=False):
        times += [s] + [t, s] * ((rounds(t) - 1) if s > 0 else 0)
    return times


def my_times(calls):
    """One right answer of many: half as many steps, each of them taken twice."""
    return again((calls + 1) // 2, lambda t: 2)


def _judged(times):
    """[of which kind they are, calls, share that fits, width]; the kind: 0 fine, 1 no times, 2 ends, 3 range, 4 long"""
    kind = 0
    try:
        times = tuple(float(t) for t in times)
    except (TypeError, ValueError):
        kind = 1
    else:
        if len(times) < 2 or times[0] != 1000 or times[-1] != 0:
            kind = 2
        elif not all(0 < t <= 1000 and t == int(t) for t in times[:-1]):
            kind = 3
        elif any(t == s for t, s in zip(times, times[1:], strict=False)):
            kind = 3
        elif sum(s < t for t, s in zip(times, times[1:], strict=False)) > 3 * CALLS:
            kind = 4  # too long to be tried
    return torch.tensor([kind, *(outcome(times) if kind == 0 else (0, 0, 0))], dtype=torch.float64)


def _each(test):
    return lambda results: all(test(*result.tolist(), case.args[0]) for case, result in results)


_OPEN = {
    "times": "my_times should give a list of numbers, or a tensor of them.",
    "ends": "The way has to begin at 1000, in pure noise, and to end at 0, where the picture is clean.",
    "range": "Between its ends a way stays above 0 and at most at 1000, in whole numbers, and no time follows itself.",
    "calls": "Too many calls: each step down is one, and you were told how many you may use. Steps up are free.",
    "fits": "Too often the right pixel has another shade than the left one: 97.5 % should have the same. "
    "When, on the way down, is it decided, and when is the left pixel readable? Go back where it matters.",
    "narrow": "The right shade, but too narrow: real pixels of one shade vary more than yours. Rounds at little noise, "
    "and large steps down, take away variety: at least 0.8 of the true width should be left.",
}

_PLAN = Exercise(
    title="open-ended: a way down, and up again",
    reference={"my_times": my_times},
    cases=lambda g: [Case("my_times", (calls,), read=_judged) for calls in (CALLS, whole(g, 62, 80))],
    properties=(
        (_OPEN["times"], _each(lambda kind, *_: kind != 1)),
        (_OPEN["ends"], _each(lambda kind, *_: kind != 2)),
        (_OPEN["range"], _each(lambda kind, *_: kind != 3)),
        (_OPEN["calls"], _each(lambda kind, calls, fits, wide, most: kind != 4 and calls <= most)),
        (_OPEN["fits"], _each(lambda kind, calls, fits, wide, most: fits >= 0.975)),
        (_OPEN["narrow"], _each(lambda kind, calls, fits, wide, most: wide >= 0.8)),
    ),
    mistakes=mistakes(
        "my_times",
        ("a word", _OPEN["times"], lambda calls: "down"),
        ("ends too early", _OPEN["ends"], lambda calls: my_times(calls)[:-1]),
        ("stands still", _OPEN["range"], lambda calls: [1000.0, *my_times(calls)]),
        ("spends too much", _OPEN["calls"], lambda calls: my_times(calls + 2)),
        ("one way", _OPEN["fits"], lambda calls: trailing(1000, calls).tolist()),
        ("at little noise only", _OPEN["narrow"], lambda calls: again(20, lambda t: 8 if t <= 300 else 1)),
    ),
    hints=(
        "First print what one way down gives, with all the calls you have. More steps hardly help: what does?",
        "Take fewer steps, and each of them several times: down, up again, down. A round costs one call.",
        "Must every step have as many rounds? Try rounds below some t only, or above it, and look at the share that "
        "fits and at the width together.",
    ),
)

EXERCISES = {
    "9.1": _START,
    "9.2": _MASK,
    "9.3": _BLEND,
    "9.4": _CANVAS,
    "9.5": _STEP_UP,
    "9.6": _PLAN,
}
